//! The queue between those who finish spans and log records and the thread that sends them away in batches.
//!
//! The SDK has such processors; these differ in what an operator asks for. The SDK's queue is allocated whole when the
//! process starts (131,072 spans: 45 MB), drops what does not fit with one warning, and calls a refused export a success
//! at shutdown. Here memory grows with what waits, up to the bound, and every loss is counted with its reason
//! (`delivery.rs`).

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use opentelemetry::Context;

use crate::delivery::Loss;

/// How much may wait, and when it is sent. The names are those of `OTEL_BSP_*`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) max_queue_size: usize,
    pub(crate) max_export_batch_size: usize,
    pub(crate) schedule_delay: Duration,
}

/// A bounded queue that a thread of its own empties.
pub(crate) struct Batcher<T> {
    shared: Arc<Shared<T>>,
}

struct Shared<T> {
    state: Mutex<State<T>>,
    wake: Condvar,
    bounds: Bounds,
    lost: Box<dyn Fn(Loss, usize) + Send + Sync>,
}

struct State<T> {
    waiting: VecDeque<T>,
    /// How many are in the export that is under way.
    leaving: usize,
    /// Somebody waits for the queue to be empty.
    flushing: bool,
    closed: bool,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Nothing under this lock can panic half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Send + 'static> Batcher<T> {
    /// Starts the thread `name`, which hands each batch to `export` and is told how many were refused; `lost` hears of
    /// every item that does not leave.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(crate) fn start(
        name: &str,
        bounds: Bounds,
        mut export: impl FnMut(Vec<T>) -> usize + Send + 'static,
        lost: impl Fn(Loss, usize) + Send + Sync + 'static,
    ) -> std::io::Result<Self> {
        let state = State { waiting: VecDeque::new(), leaving: 0, flushing: false, closed: false };
        let shared = Arc::new(Shared { state: state.into(), wake: Condvar::new(), bounds, lost: Box::new(lost) });
        let of_thread = shared.clone();
        std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            // What the exporter's own client would record about itself would be exported, for ever.
            let _suppressed = Context::enter_telemetry_suppressed_scope();
            while let Some(batch) = of_thread.next_batch() {
                let refused = export(batch);
                if refused > 0 {
                    (of_thread.lost)(Loss::ExportFailed, refused);
                }
                of_thread.lock().leaving = 0;
                of_thread.wake.notify_all();
            }
        })?;
        Ok(Self { shared })
    }

    /// Adds `item`, or drops and counts it when the queue is full. Never waits for an export.
    pub(crate) fn push(&self, item: T) {
        let mut state = self.shared.lock();
        let bounds = &self.shared.bounds;
        let loss = if state.closed {
            Loss::Shutdown
        } else if state.waiting.len() + state.leaving >= bounds.max_queue_size {
            Loss::QueueFull
        } else {
            state.waiting.push_back(item);
            let full_batch = state.waiting.len() == bounds.max_export_batch_size;
            drop(state);
            if full_batch {
                self.shared.wake.notify_all();
            }
            return;
        };
        drop(state);
        (self.shared.lost)(loss, 1);
    }

    /// Waits until everything has left, for at most `limit`; returns how many have not.
    pub(crate) fn flush(&self, limit: Duration) -> usize {
        let deadline = Instant::now() + limit;
        let mut state = self.shared.lock();
        state.flushing = true;
        self.shared.wake.notify_all();
        while !state.waiting.is_empty() || state.leaving > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.shared.wake.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.flushing = false;
        state.waiting.len() + state.leaving
    }

    /// Takes nothing more, sends what waits within `limit`, and counts and returns what did not leave.
    pub(crate) fn shutdown(&self, limit: Duration) -> usize {
        self.shared.lock().closed = true;
        let left = self.flush(limit);
        if left > 0 {
            (self.shared.lost)(Loss::Shutdown, left);
        }
        left
    }
}

impl<T> Shared<T> {
    /// The next batch, when it is full or its time has come; none when there will be no more.
    fn next_batch(&self) -> Option<Vec<T>> {
        let Bounds { max_export_batch_size, schedule_delay, .. } = self.bounds;
        let deadline = Instant::now() + schedule_delay;
        let mut state = self.lock();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let now = state.waiting.len() >= max_export_batch_size || state.flushing || state.closed || left.is_zero();
            if now && !state.waiting.is_empty() {
                let count = state.waiting.len().min(max_export_batch_size);
                state.leaving = count;
                return Some(state.waiting.drain(..count).collect());
            }
            if state.closed {
                return None;
            }
            let wait = if left.is_zero() { schedule_delay } else { left };
            state = self.wake.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const BOUNDS: Bounds =
        Bounds { max_queue_size: 10, max_export_batch_size: 4, schedule_delay: Duration::from_secs(3600) };

    /// A batcher whose exports succeed when `answers` says so, and the sizes of its batches and its losses.
    fn batcher(answers: mpsc::Receiver<bool>) -> (Batcher<u32>, mpsc::Receiver<Vec<u32>>, mpsc::Receiver<String>) {
        let (batches, seen) = mpsc::channel();
        let (losses, lost) = mpsc::channel();
        let export = move |batch: Vec<u32>| {
            let count = batch.len();
            batches.send(batch).unwrap();
            if answers.recv().unwrap_or(false) { 0 } else { count }
        };
        let batcher = Batcher::start("test", BOUNDS, export, move |loss, count| {
            losses.send(format!("{loss:?} {count}")).unwrap();
        });
        (batcher.unwrap(), seen, lost)
    }

    #[test]
    fn a_full_batch_leaves_at_once_and_the_rest_on_flush_in_order() {
        let (answer, answers) = mpsc::channel();
        let (batcher, seen, _lost) = batcher(answers);
        (0..4).for_each(|item| batcher.push(item));
        assert_eq!(seen.recv().unwrap(), [0, 1, 2, 3]);
        (4..10).for_each(|item| batcher.push(item));
        (0..3).for_each(|_| answer.send(true).unwrap());
        assert_eq!(batcher.flush(Duration::from_secs(10)), 0);
        assert_eq!(seen.try_iter().collect::<Vec<_>>(), [vec![4, 5, 6, 7], vec![8, 9]]);
    }

    #[test]
    fn what_does_not_fit_is_refused_exports_included_and_counted() {
        let (answer, answers) = mpsc::channel();
        let (batcher, seen, lost) = batcher(answers);
        (0..4).for_each(|item| batcher.push(item));
        seen.recv().unwrap(); // four are leaving, and wait for the receiver's answer
        (4..12).for_each(|item| batcher.push(item));
        assert_eq!(lost.try_iter().collect::<Vec<_>>(), ["QueueFull 1", "QueueFull 1"]);
        (0..3).for_each(|_| answer.send(true).unwrap());
        assert_eq!(batcher.flush(Duration::from_secs(10)), 0);
        batcher.push(99); // there is room again
        assert!(lost.try_recv().is_err());
    }

    #[test]
    fn a_refused_export_and_an_end_that_comes_too_soon_are_counted() {
        let (answer, answers) = mpsc::channel();
        let (batcher, seen, lost) = batcher(answers);
        (0..6).for_each(|item| batcher.push(item));
        seen.recv().unwrap();
        answer.send(false).unwrap();
        assert_eq!(lost.recv().unwrap(), "ExportFailed 4");
        assert_eq!(batcher.shutdown(Duration::from_millis(50)), 2, "the receiver never answers");
        assert_eq!(lost.recv().unwrap(), "Shutdown 2");
        batcher.push(7);
        assert_eq!(lost.recv().unwrap(), "Shutdown 1");
    }
}
