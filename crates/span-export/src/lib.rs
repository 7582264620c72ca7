#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

// Reading sequence: builder (settings and the thread), shared (the queue and the count), encode (bytes), send (HTTP).
mod builder;
mod encode;
mod send;
mod shared;

use std::fmt;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use opentelemetry::{Context, otel_warn};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};

pub use builder::Builder;
use shared::Shared;

/// Why spans were not exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// The queue had reached its bound.
    QueueFull,
    /// The receiver refused them, or could not be reached within the timeout.
    ExportFailed,
    /// They ended after the shutdown, or were not exported within its limit. A request that was under way then may still
    /// have arrived.
    Shutdown,
}

impl DropReason {
    /// `queue_full`, `export_failed` or `shutdown`, for a metric's label.
    pub fn as_str(self) -> &'static str {
        match self {
            DropReason::QueueFull => "queue_full",
            DropReason::ExportFailed => "export_failed",
            DropReason::Shutdown => "shutdown",
        }
    }
}

/// The span processor: see the crate's description.
///
/// Without a shutdown, which `SdkTracerProvider` does when it is dropped, the thread exports what waits and stops.
pub struct SpanExport {
    shared: Arc<Shared>,
}

impl SpanProcessor for SpanExport {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() {
            self.shared.push(encode::span(span));
        }
    }

    /// Waits until the spans that have ended so far are exported or dropped.
    fn force_flush(&self) -> OTelSdkResult {
        let limit = self.shared.settings.timeout;
        if self.shared.flush(limit) { Ok(()) } else { Err(OTelSdkError::Timeout(limit)) }
    }

    /// Exports what waits, with one attempt a batch, and drops what is left after `limit`. When it returns, every span
    /// that had ended before is counted.
    fn shutdown_with_timeout(&self, limit: Duration) -> OTelSdkResult {
        if !self.shared.close() {
            return Err(OTelSdkError::AlreadyShutdown);
        }
        self.shared.flush(limit);
        let dropped = self.shared.abandon();
        if dropped == 0 {
            return Ok(());
        }
        (self.shared.settings.on_drop)(DropReason::Shutdown, dropped);
        otel_warn!(name: "SpanExport.ShutdownTimeout", dropped_spans = dropped);
        Err(OTelSdkError::Timeout(limit))
    }

    fn set_resource(&mut self, resource: &Resource) {
        *self.shared.resource.lock().unwrap_or_else(PoisonError::into_inner) = resource.clone();
    }
}

impl Drop for SpanExport {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl fmt::Debug for SpanExport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpanExport").finish_non_exhaustive()
    }
}
