use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::Duration;

use http::Uri;
use opentelemetry::Context;
use opentelemetry_http::HttpClient;

use crate::shared::Shared;
use crate::{DropReason, SpanExport, encode};

/// The settings of a [`SpanExport`]. Their defaults are those of the specification.
#[must_use]
pub struct Builder {
    pub(crate) client: Arc<dyn HttpClient>,
    pub(crate) endpoint: String,
    pub(crate) max_queue_size: usize,
    pub(crate) max_export_batch_size: usize,
    pub(crate) max_request_bytes: usize,
    pub(crate) schedule_delay: Duration,
    pub(crate) timeout: Duration,
    pub(crate) gzip: bool,
    pub(crate) on_export: Box<dyn Fn(usize) + Send + Sync>,
    pub(crate) on_drop: Box<dyn Fn(DropReason, usize) + Send + Sync>,
}

impl SpanExport {
    /// Spans go through `client` to `endpoint`, the whole URL (`http://localhost:4318/v1/traces`). What is up to the client:
    /// redirects (switch them off: they would send the headers to another host), its timeout, headers, TLS, and a bound on
    /// the length of responses.
    pub fn builder(client: Arc<dyn HttpClient>, endpoint: impl Into<String>) -> Builder {
        Builder {
            client,
            endpoint: endpoint.into(),
            max_queue_size: 2048,
            max_export_batch_size: 512,
            max_request_bytes: 4 * 1024 * 1024,
            schedule_delay: Duration::from_secs(5),
            timeout: Duration::from_secs(10),
            gzip: false,
            on_export: Box::new(|_| ()),
            on_drop: Box::new(|_, _| ()),
        }
    }
}

impl Builder {
    /// How many spans may wait, those of the export under way included; 2,048 unless told (`OTEL_BSP_MAX_QUEUE_SIZE`).
    /// The queue grows with what waits: a large bound costs nothing while the receiver keeps up.
    pub fn max_queue_size(mut self, spans: usize) -> Self {
        self.max_queue_size = spans;
        self
    }

    /// How many spans one request has at most; 512 unless told (`OTEL_BSP_MAX_EXPORT_BATCH_SIZE`). They leave as soon as
    /// so many wait.
    pub fn max_export_batch_size(mut self, spans: usize) -> Self {
        self.max_export_batch_size = spans;
        self
    }

    /// How many bytes of encoded spans one request has at most, before compression; 4 MiB unless told. A span that is
    /// longer is sent alone.
    pub fn max_request_bytes(mut self, bytes: usize) -> Self {
        self.max_request_bytes = bytes;
        self
    }

    /// How long spans wait for a full batch before they are sent in a smaller one; 5 seconds unless told
    /// (`OTEL_BSP_SCHEDULE_DELAY`).
    pub fn schedule_delay(mut self, delay: Duration) -> Self {
        self.schedule_delay = delay;
        self
    }

    /// How long one batch is tried, all attempts and the waits between them included; 10 seconds unless told
    /// (`OTEL_EXPORTER_OTLP_TIMEOUT`). An attempt that has begun is not interrupted: give the client the same timeout.
    /// `force_flush` waits no longer than this either.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Whether requests are compressed; not unless told (`OTEL_EXPORTER_OTLP_COMPRESSION`).
    pub fn gzip(mut self, gzip: bool) -> Self {
        self.gzip = gzip;
        self
    }

    /// Calls `callback` with the number of spans that the receiver took, once a batch. It must not block, and must not
    /// flush or shut down the processor: both wait for it.
    pub fn on_export(mut self, callback: impl Fn(usize) + Send + Sync + 'static) -> Self {
        self.on_export = Box::new(callback);
        self
    }

    /// Calls `callback` with the number of spans that were dropped, and why; for a full queue on the thread that ended
    /// the span. The same rules as for [`on_export`](Self::on_export).
    pub fn on_drop(mut self, callback: impl Fn(DropReason, usize) + Send + Sync + 'static) -> Self {
        self.on_drop = Box::new(callback);
        self
    }

    /// Starts the thread that exports.
    ///
    /// # Errors
    /// When the endpoint is no URI, a bound is zero, or the thread cannot be started.
    pub fn build(mut self) -> io::Result<SpanExport> {
        let invalid = |message: String| io::Error::new(io::ErrorKind::InvalidInput, message);
        Uri::try_from(&self.endpoint).map_err(|error| invalid(format!("endpoint {:?}: {error}", self.endpoint)))?;
        if [self.max_queue_size, self.max_export_batch_size, self.max_request_bytes].contains(&0) {
            return Err(invalid("the sizes of queue, batch and request must not be zero".to_owned()));
        }
        self.max_export_batch_size = self.max_export_batch_size.min(self.max_queue_size);
        self.schedule_delay = self.schedule_delay.max(Duration::from_millis(1)); // with zero the thread would spin

        let shared = Arc::new(Shared::new(self));
        let export = SpanExport { shared: shared.clone() };
        thread::Builder::new().name("span-export".to_owned()).spawn(move || run(&shared))?;
        Ok(export)
    }
}

/// The thread: one batch after the other, until the queue is closed and empty.
fn run(shared: &Shared) {
    // Spans that the client records about its own requests would be exported, and cause further ones.
    let _suppressed = Context::enter_telemetry_suppressed_scope();
    while let Some(spans) = shared.next_batch() {
        let count = spans.len();
        let resource = shared.resource.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // A client that panics must not stop the thread. The panic hook has said what it was.
        let rejected = catch_unwind(AssertUnwindSafe(|| shared.send(encode::request(&resource, spans), count)));
        shared.finish(rejected.unwrap_or(count));
    }
}
