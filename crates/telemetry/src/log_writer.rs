//! Where log lines go: a bounded buffer in front of stdout, written by a thread of its own.
//!
//! A request never waits for stdout. A line costs a lock and a copy; the thread writes every 20 ms. Lines are
//! dropped and counted when nobody reads stdout and the buffer is full, and when stdout is closed or its disk is full.
//!
//! tracing-appender 0.2 has such a thread, but counts neither the lines that a failed write loses nor those that are
//! left at shutdown, and bounds the number of lines and not their bytes.

use std::io::{ErrorKind, Write};
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use span_export::DropReason;

use crate::delivery::Counters;

/// Bytes that may wait: about 30,000 lines.
const CAPACITY: usize = 8 << 20;
const WRITE_EVERY: Duration = Duration::from_millis(20);

/// The bounded buffer; clones share it. As an [`std::io::Write`] it takes one line a call.
#[derive(Clone)]
pub(crate) struct LogWriter {
    shared: Arc<Shared>,
}

impl Write for LogWriter {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        self.write_line(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

struct Shared {
    state: Mutex<State>,
    wake: Condvar,
    counters: Counters,
}

/// What the thread and the writers of lines share.
#[derive(Default)]
pub(crate) struct State {
    /// Lines that the thread has not taken yet.
    waiting: Vec<u8>,
    /// How many lines these are.
    waiting_lines: usize,
    /// Lines that the thread is writing.
    writing: usize,
    closed: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves at worst half a line behind.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LogWriter {
    /// A writer whose thread writes to `out`.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(crate) fn new(out: impl Write + Send + 'static, counters: Counters) -> std::io::Result<Self> {
        let shared = Arc::new(Shared { state: Mutex::default(), wake: Condvar::new(), counters });
        let of_thread = shared.clone();
        std::thread::Builder::new().name("log-writer".to_owned()).spawn(move || write_lines(&of_thread, out))?;
        Ok(Self { shared })
    }

    /// Adds one line, its line feed included, or drops it when the buffer is full.
    pub(crate) fn write_line(&self, line: &[u8]) {
        let mut state = self.shared.lock();
        if state.closed || state.waiting.len() + line.len() > CAPACITY {
            let reason = if state.closed { DropReason::Shutdown } else { DropReason::QueueFull };
            drop(state);
            return self.shared.counters.dropped(reason, 1);
        }
        state.waiting.extend_from_slice(line);
        state.waiting_lines += 1;
    }

    /// Writes what waits, within `timeout`, and counts the lines that were not written.
    pub(crate) fn close(&self, timeout: Duration) {
        self.shared.lock().closed = true;
        let mut state = self.flush(timeout);
        let lost = mem::take(&mut state.waiting_lines) + state.writing;
        state.waiting.clear();
        state.writing = 0;
        self.shared.counters.dropped(DropReason::Shutdown, lost);
    }

    /// Waits until all lines are written, for at most `timeout`.
    pub(crate) fn flush(&self, timeout: Duration) -> MutexGuard<'_, State> {
        let state = self.shared.lock();
        self.shared.wake.notify_all();
        let busy = |state: &mut State| state.writing > 0 || !state.waiting.is_empty();
        self.shared.wake.wait_timeout_while(state, timeout, busy).unwrap_or_else(PoisonError::into_inner).0
    }
}

/// The thread: takes everything, writes it outside the lock, waits.
fn write_lines(shared: &Shared, mut out: impl Write) {
    let mut lines = Vec::new();
    let mut state = shared.lock();
    loop {
        mem::swap(&mut lines, &mut state.waiting);
        state.writing = mem::take(&mut state.waiting_lines);
        drop(state);
        let written = write_all(&mut out, &lines);
        let unwritten = count(&lines[written..]);
        lines.clear();
        lines.shrink_to(64 << 10);
        state = shared.lock();
        if state.writing > 0 {
            // Else `close` has given these lines up and counted them.
            shared.counters.dropped(DropReason::ExportFailed, unwritten);
            state.writing = 0;
        }
        shared.wake.notify_all();
        if state.closed && state.waiting.is_empty() {
            return;
        }
        if !state.closed {
            state = shared.wake.wait_timeout(state, WRITE_EVERY).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Writes until an error; returns how many bytes were written. A closed stdout is no reason to stop serving.
fn write_all(out: &mut impl Write, bytes: &[u8]) -> usize {
    let mut written = 0;
    while written < bytes.len() {
        match out.write(&bytes[written..]) {
            Ok(0) => break,
            Ok(count) => written += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => (),
            Err(_) => break,
        }
    }
    if written > 0 && out.flush().is_err() { 0 } else { written }
}

fn count(lines: &[u8]) -> usize {
    lines.iter().filter(|byte| **byte == b'\n').count()
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

    /// Takes so many bytes, then fails as a full disk does.
    struct FullAfter(usize);

    impl Write for FullAfter {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let fits = bytes.len().min(self.0);
            self.0 -= fits;
            if fits == 0 { Err(ErrorKind::StorageFull.into()) } else { Ok(fits) }
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
    fn blocked_reader_costs_lines_and_no_time() {
        let registry = prometheus::Registry::new();
        let (release, blocked) = mpsc::channel();
        let (written, taken) = mpsc::channel();
        let writer = LogWriter::new(Blocked(blocked, written), Counters::register(&registry).unwrap().1).unwrap();

        let line = [b"x".repeat(1023), b"\n".to_vec()].concat();
        for _ in 0..40_000 {
            writer.write_line(&line); // 40 MB: this returns although nothing is read
        }
        let lost = dropped(&registry, "queue_full");
        assert!(lost >= 40_000.0 - 2.0 * (CAPACITY / 1024) as f64 && lost < 40_000.0, "lost {lost}");

        drop(release); // the reader is back
        writer.close(Duration::from_secs(30));
        let arrived: usize = taken.try_iter().map(|bytes| bytes.len() / 1024).sum();
        assert_eq!(arrived as f64 + lost, 40_000.0);
    }

    #[test]
    fn close_counts_lines_in_the_buffer_and_in_a_blocked_write() {
        let registry = prometheus::Registry::new();
        let (_release, blocked) = mpsc::channel();
        let (written, _taken) = mpsc::channel();
        let writer = LogWriter::new(Blocked(blocked, written), Counters::register(&registry).unwrap().1).unwrap();
        writer.write_line(b"first\n");
        while writer.shared.lock().writing == 0 {
            std::thread::yield_now();
        }
        writer.write_line(b"second\n");
        writer.close(Duration::from_millis(1));
        assert_eq!(dropped(&registry, "shutdown"), 2.0);
        writer.write_line(b"third\n");
        assert_eq!(dropped(&registry, "shutdown"), 3.0);
    }

    #[test]
    fn lines_that_a_full_disk_refuses_are_counted() {
        let registry = prometheus::Registry::new();
        let writer = LogWriter::new(FullAfter(13), Counters::register(&registry).unwrap().1).unwrap();
        for _ in 0..5 {
            writer.write_line(b"a line\n"); // one fits, and the beginning of a second one
        }
        writer.close(Duration::from_secs(30));
        assert_eq!((dropped(&registry, "export_failed"), dropped(&registry, "shutdown")), (4.0, 0.0));
    }
}
