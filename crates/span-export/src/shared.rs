//! The queue between the threads that end spans and the thread that exports them, and the count of what became of each.
//!
//! The count is exact because every span is in one place at a time, under one lock: in `waiting`, or among the `exporting`.
//! Whoever takes it out of there reports it, once.

use std::collections::VecDeque;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use opentelemetry::otel_warn;
use opentelemetry_sdk::Resource;

use crate::encode::EncodedSpan;
use crate::{Builder, DropReason};

/// What the processor and its thread share.
pub(crate) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    pub(crate) settings: Builder,
    pub(crate) resource: Mutex<Resource>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<EncodedSpan>,
    /// Bytes of all that is in `waiting`.
    bytes: usize,
    /// Number of spans in the export that is under way; 0 also after a shutdown has counted them.
    exporting: usize,
    /// The export is over, and its callbacks are running: a shutdown must not count its spans.
    reporting: bool,
    /// Number of spans that have been in the queue and are exported or dropped.
    settled: usize,
    /// Spans leave without delay until `settled` has reached this.
    flush_until: usize,
    warned_full: bool,
    closed: bool,
}

impl Shared {
    pub(crate) fn new(settings: Builder) -> Self {
        let resource = Mutex::new(Resource::builder_empty().build());
        Self { state: Mutex::default(), changed: Condvar::new(), settings, resource }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No callback runs under this lock, so a panic cannot leave the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits as long as `condition` holds, for at most `limit`.
    fn wait_while(&self, limit: Duration, condition: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let waited = self.changed.wait_timeout_while(self.lock(), limit, |state| condition(state));
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn has_full_batch(&self, state: &State) -> bool {
        state.waiting.len() >= self.settings.max_export_batch_size || state.bytes >= self.settings.max_request_bytes
    }

    /// Adds `span`, or drops and counts it. Never waits for an export.
    pub(crate) fn push(&self, span: EncodedSpan) {
        let mut state = self.lock();
        let max_queue_size = self.settings.max_queue_size;
        if state.closed || state.waiting.len() + state.exporting >= max_queue_size {
            let warn = !state.closed && !mem::replace(&mut state.warned_full, true);
            let reason = if state.closed { DropReason::Shutdown } else { DropReason::QueueFull };
            drop(state);
            (self.settings.on_drop)(reason, 1);
            if warn {
                otel_warn!(name: "SpanExport.QueueFull", max_queue_size = max_queue_size,
                    message = "The queue is full and spans are dropped. This is logged once.");
            }
            return;
        }
        let had_full_batch = self.has_full_batch(&state);
        state.bytes += span.message.len();
        state.waiting.push_back(span);
        if !had_full_batch && self.has_full_batch(&state) {
            self.changed.notify_all();
        }
    }

    /// The next batch, when it is full or `schedule_delay` is over; `None` when no more will come.
    pub(crate) fn next_batch(&self) -> Option<Vec<EncodedSpan>> {
        loop {
            let mut state = self.wait_while(self.settings.schedule_delay, |state| {
                !self.has_full_batch(state) && state.settled >= state.flush_until && !state.closed
            });
            if state.closed || !state.waiting.is_empty() {
                return (!state.waiting.is_empty()).then(|| self.take_batch(&mut state));
            }
        }
    }

    /// As many spans as the limits allow, and at least one, even where that is longer than `max_request_bytes`.
    fn take_batch(&self, state: &mut State) -> Vec<EncodedSpan> {
        let mut bytes = 0;
        let fits = |span: &&EncodedSpan| {
            bytes += span.message.len();
            bytes <= self.settings.max_request_bytes
        };
        let first = state.waiting.iter().take(self.settings.max_export_batch_size);
        let count = first.take_while(fits).count().max(1);
        let waited = state.waiting.len();
        let batch: Vec<EncodedSpan> = state.waiting.drain(..count).collect();
        state.waiting.shrink_to(4 * waited); // gives memory back after a burst
        state.bytes -= batch.iter().map(|span| span.message.len()).sum::<usize>();
        state.exporting = count;
        batch
    }

    /// Reports the batch that was taken last, of whose spans `rejected` were not exported.
    pub(crate) fn finish(&self, rejected: usize) {
        let mut state = self.lock();
        if state.exporting == 0 {
            return; // a shutdown could not wait, and has counted them
        }
        let exported = state.exporting - rejected;
        state.reporting = true;
        drop(state);
        // A panic in a callback must not stop the thread.
        let _ = catch_unwind(AssertUnwindSafe(|| {
            if exported > 0 {
                (self.settings.on_export)(exported);
            }
            if rejected > 0 {
                (self.settings.on_drop)(DropReason::ExportFailed, rejected);
            }
        }));
        let mut state = self.lock();
        state.settled += mem::take(&mut state.exporting);
        state.reporting = false;
        self.changed.notify_all();
    }

    /// Waits until all spans that are in the queue now have left it, for at most `limit`; says whether they have.
    pub(crate) fn flush(&self, limit: Duration) -> bool {
        let mut state = self.lock();
        let target = state.settled + state.exporting + state.waiting.len();
        state.flush_until = target;
        drop(state);
        self.changed.notify_all();
        self.wait_while(limit, |state| state.settled < target).settled >= target
    }

    /// Takes no more spans; the thread sends what waits, then stops. Says whether the queue was open.
    pub(crate) fn close(&self) -> bool {
        let was_closed = mem::replace(&mut self.lock().closed, true);
        self.changed.notify_all();
        !was_closed
    }

    /// Takes out all spans that have not left the queue, for the caller to count; returns how many they were.
    pub(crate) fn abandon(&self) -> usize {
        // Callbacks that are running are waited for, so that the sum is complete when the shutdown returns.
        let mut state = self.wait_while(Duration::MAX, |state| state.reporting);
        let dropped = mem::take(&mut state.waiting).len() + mem::take(&mut state.exporting);
        state.settled += dropped;
        self.changed.notify_all();
        dropped
    }

    /// Waits for `limit`, but no longer than until the queue is closed; says whether it is.
    pub(crate) fn pause(&self, limit: Duration) -> bool {
        self.wait_while(limit, |state| !state.closed).closed
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use opentelemetry::trace::{SpanContext, SpanKind, Status};
    use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
    use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

    use super::*;
    use crate::{SpanExport, encode};

    #[derive(Debug)]
    struct NoClient;

    #[async_trait::async_trait]
    impl HttpClient for NoClient {
        async fn send_bytes(&self, _: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
            Err("not used".into())
        }
    }

    fn span() -> EncodedSpan {
        encode::span(SpanData {
            span_context: SpanContext::NONE,
            parent_span_id: 0.into(),
            parent_span_is_remote: false,
            span_kind: SpanKind::Internal,
            name: "x".into(),
            start_time: std::time::SystemTime::now(),
            end_time: std::time::SystemTime::now(),
            attributes: Vec::new(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: Default::default(),
        })
    }

    #[test]
    fn queue_gives_memory_back_after_burst() {
        let settings = SpanExport::builder(Arc::new(NoClient), "http://x").max_queue_size(100_000);
        let shared = Shared::new(settings.schedule_delay(Duration::from_millis(1)));
        assert_eq!(shared.lock().waiting.capacity(), 0, "an idle queue reserves nothing");
        (0..50_000).for_each(|_| shared.push(span()));
        assert!(shared.lock().waiting.capacity() >= 50_000);
        while !shared.lock().waiting.is_empty() {
            shared.next_batch().unwrap();
            shared.finish(0);
        }
        assert!(shared.lock().waiting.capacity() <= 4 * 512);
    }
}
