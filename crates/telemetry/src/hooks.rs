//! Where a program steps in between telemetry and what it sends: faults that are simulated, tests that look at requests.
//! Without hooks nothing is called.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
use reqwest::Request;
use span_export::DropReason;

use crate::delivery::Counters;

/// Changes a request, or holds it up, inside its CLIENT span, just before it is sent.
pub type RequestHook = Arc<dyn Fn(Request) -> Pin<Box<dyn Future<Output = Request> + Send>> + Send + Sync>;

/// Changes a span that has ended, knowing how many wait for their export. One that it does not return is counted as
/// dropped, with the reason `queue_full`.
pub type SpanHook = Arc<dyn Fn(SpanData, u64) -> Option<SpanData> + Send + Sync>;

/// What is called, for [`Telemetry::init_with_hooks`](crate::Telemetry::init_with_hooks).
#[derive(Clone, Default)]
pub struct Hooks {
    /// Before each request of a [`Client`](crate::Client).
    pub request: Option<RequestHook>,
    /// Between the end of each span and its queue.
    pub span: Option<SpanHook>,
    /// Threads of the runtime, instead of one for each core.
    pub worker_threads: Option<usize>,
}

/// In front of a span processor: calls the hook.
pub(crate) struct Hooked<P> {
    pub(crate) processor: P,
    pub(crate) hook: SpanHook,
    pub(crate) ended: AtomicU64,
    pub(crate) counters: Counters,
}

impl<P: SpanProcessor> SpanProcessor for Hooked<P> {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.processor.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        let waiting = self.ended.fetch_add(1, Ordering::Relaxed).saturating_sub(self.counters.done());
        match (self.hook)(span, waiting) {
            Some(span) => self.processor.on_end(span),
            None => self.counters.dropped(DropReason::QueueFull, 1),
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.processor.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.processor.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.processor.set_resource(resource);
    }
}

impl<P> fmt::Debug for Hooked<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooked").finish_non_exhaustive()
    }
}
