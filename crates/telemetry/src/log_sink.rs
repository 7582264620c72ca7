//! Where log lines go: a bounded buffer in front of stdout, emptied by a thread of its own.
//!
//! A request never waits for stdout. A line costs a lock and a copy; the thread writes every 20 ms, or at once when
//! half of the buffer is full. When nobody reads stdout the buffer fills up, further lines are dropped and counted, and
//! requests go on as before.

use std::io::Write;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::delivery::{Delivery, Loss};

/// Bytes that may wait: about 30,000 lines.
const CAPACITY: usize = 8 << 20;
const FLUSH_EVERY: Duration = Duration::from_millis(20);

/// The bounded buffer; clones share it.
#[derive(Clone)]
pub(crate) struct LogSink {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    wake: Condvar,
    delivery: Delivery,
}

/// What the thread and the writers of lines share.
#[derive(Default)]
pub(crate) struct State {
    /// Lines that nobody has taken yet.
    waiting: Vec<u8>,
    /// Whether the thread is inside a write.
    writing: bool,
    closed: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves at worst half a line behind.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LogSink {
    /// A sink that a thread empties into `out`.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(crate) fn new(out: impl Write + Send + 'static, delivery: Delivery) -> std::io::Result<Self> {
        let shared = Arc::new(Shared { state: Mutex::default(), wake: Condvar::new(), delivery });
        let of_thread = shared.clone();
        std::thread::Builder::new().name("log-writer".to_owned()).spawn(move || write_out(&of_thread, out))?;
        Ok(Self { shared })
    }

    /// Adds one line, its line feed included, or drops it when the buffer is full.
    pub(crate) fn line(&self, line: &[u8]) {
        let mut state = self.shared.lock();
        if state.waiting.len() + line.len() > CAPACITY || state.closed {
            drop(state);
            self.shared.delivery.logs_dropped(Loss::QueueFull, 1);
            return;
        }
        let was_below_half = state.waiting.len() < CAPACITY / 2;
        state.waiting.extend_from_slice(line);
        if was_below_half && state.waiting.len() >= CAPACITY / 2 {
            self.shared.wake.notify_all();
        }
    }

    /// Writes what waits, for at most `limit`, and counts the lines that nobody took.
    pub(crate) fn close(&self, limit: Duration) {
        self.shared.lock().closed = true;
        let state = self.drain(limit);
        let lost = state.waiting.iter().filter(|byte| **byte == b'\n').count();
        self.shared.delivery.logs_dropped(Loss::Shutdown, lost);
    }

    /// Waits until all lines are written, for at most `limit`.
    pub(crate) fn drain(&self, limit: Duration) -> MutexGuard<'_, State> {
        let deadline = Instant::now() + limit;
        let mut state = self.shared.lock();
        self.shared.wake.notify_all();
        while state.writing || !state.waiting.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.shared.wake.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state
    }
}

/// The thread: take everything, write it outside the lock, wait.
fn write_out(shared: &Shared, mut out: impl Write) {
    let mut lines = Vec::new();
    let mut state = shared.lock();
    loop {
        std::mem::swap(&mut lines, &mut state.waiting);
        state.writing = !lines.is_empty();
        let closed = state.closed;
        drop(state);
        if !lines.is_empty() {
            // A closed stdout is no reason to stop serving; nobody is left to tell.
            let _ = out.write_all(&lines).and_then(|()| out.flush());
            lines.clear();
            lines.shrink_to(64 << 10);
        }
        state = shared.lock();
        state.writing = false;
        shared.wake.notify_all();
        if closed && state.waiting.is_empty() {
            return;
        }
        if !closed && state.waiting.len() < CAPACITY / 2 {
            state = shared.wake.wait_timeout(state, FLUSH_EVERY).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Takes nothing until it is allowed to.
    struct Blocked(mpsc::Receiver<()>, mpsc::Sender<Vec<u8>>);

    impl Write for Blocked {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let _ = self.0.recv();
            let _ = self.1.send(bytes.to_vec());
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn dropped(registry: &prometheus::Registry, reason: &str) -> f64 {
        let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        let name = format!("telemetry_log_records_dropped_total{{reason=\"{reason}\"}} ");
        text.lines().find_map(|line| line.strip_prefix(&name)).unwrap().parse().unwrap()
    }

    #[test]
    fn a_blocked_reader_costs_lines_and_never_time() {
        let registry = prometheus::Registry::new();
        let (release, blocked) = mpsc::channel();
        let (written, taken) = mpsc::channel();
        let sink = LogSink::new(Blocked(blocked, written), Delivery::new(&registry).unwrap()).unwrap();

        let line = [b"x".repeat(1023), b"\n".to_vec()].concat();
        for _ in 0..40_000 {
            sink.line(&line); // 40 MB: this returns although nothing is read
        }
        let lost = dropped(&registry, "queue_full");
        assert!(lost >= 40_000.0 - 2.0 * (CAPACITY / 1024) as f64 && lost < 40_000.0, "lost {lost}");

        drop(release); // the reader is back
        sink.close(Duration::from_secs(30));
        let arrived: usize = taken.try_iter().map(|bytes| bytes.len() / 1024).sum();
        assert_eq!(arrived as f64 + lost, 40_000.0);
    }

    #[test]
    fn close_gives_up_on_a_reader_that_never_comes_and_counts() {
        let registry = prometheus::Registry::new();
        let (_release, blocked) = mpsc::channel();
        let (written, _taken) = mpsc::channel();
        let sink = LogSink::new(Blocked(blocked, written), Delivery::new(&registry).unwrap()).unwrap();
        sink.line(b"first\n");
        while !sink.shared.lock().writing {
            std::thread::yield_now();
        }
        sink.line(b"second\n");
        sink.close(Duration::from_millis(1));
        assert_eq!(dropped(&registry, "shutdown"), 1.0);
    }
}
