//! What frontend counts. Name, help and labels stand together; the verbs say when each moves.

use std::time::Duration;

use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};

/// The `die_type` of a name that die-service has not confirmed, so that clients cannot make labels.
pub(crate) const UNKNOWN: &str = "unknown";

/// Seconds; a single roll takes up to one, a batch no longer than its slowest roll.
const BACKEND_BUCKETS: [f64; 9] = [0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0];

/// The handles of all metrics of this service. Every `die_type` here is confirmed, or [`UNKNOWN`].
#[derive(Debug)]
pub(crate) struct Metrics {
    requests: IntCounterVec,
    backend_requests: IntCounterVec,
    backend_duration: HistogramVec,
    batches: IntCounterVec,
}

impl Metrics {
    /// Registers all; every batch size up to `max_rolls` shows from the start, with zero.
    pub(crate) fn new(registry: &Registry, max_rolls: u32) -> prometheus::Result<Self> {
        let requests = Opts::new("frontend_requests_total", "Requests to roll: received, and how they ended");
        let backend_requests =
            Opts::new("backend_requests_total", "Calls to dice-roller, by the status of the response");
        let backend_duration =
            HistogramOpts::new("backend_request_duration_seconds", "Time that a call to dice-roller took, in seconds");
        let batches = Opts::new("async_roll_requests_total", "Requests to roll several dice at once, by their number");
        let metrics = Self {
            requests: IntCounterVec::new(requests, &["die_type", "status"])?,
            backend_requests: IntCounterVec::new(backend_requests, &["die_type", "status_code"])?,
            backend_duration: HistogramVec::new(backend_duration.buckets(BACKEND_BUCKETS.to_vec()), &["die_type"])?,
            batches: IntCounterVec::new(batches, &["batch_size"])?,
        };
        registry.register(Box::new(metrics.requests.clone()))?;
        registry.register(Box::new(metrics.backend_requests.clone()))?;
        registry.register(Box::new(metrics.backend_duration.clone()))?;
        registry.register(Box::new(metrics.batches.clone()))?;
        for size in 1..=max_rolls {
            metrics.batches.with_label_values(&[size.to_string()]);
        }
        metrics.show(UNKNOWN);
        Ok(metrics)
    }

    /// A die is known: it shows from now on, with zero, so that its first roll is a step that a rate can see.
    pub(crate) fn show(&self, die_type: &str) {
        for status in ["received", "success", "error", "timeout", "connection_error"] {
            self.requests.with_label_values(&[die_type, status]);
        }
        self.backend_requests.with_label_values(&[die_type, "200"]);
        self.backend_duration.with_label_values(&[die_type]);
    }

    /// A request to roll was found valid; `batch_size` where it is for several dice.
    pub(crate) fn received(&self, die_type: &str, batch_size: Option<u32>) {
        self.requests.with_label_values(&[die_type, "received"]).inc();
        if let Some(size) = batch_size {
            self.batches.with_label_values(&[size.to_string()]).inc();
        }
    }

    /// It ended as `status` says.
    pub(crate) fn ended(&self, die_type: &str, status: &str) {
        self.requests.with_label_values(&[die_type, status]).inc();
    }

    /// A call to dice-roller was made; `status_code` is that of the response, or why there was none.
    pub(crate) fn called(&self, die_type: &str, status_code: &str, took: Duration) {
        self.backend_requests.with_label_values(&[die_type, status_code]).inc();
        self.backend_duration.with_label_values(&[die_type]).observe(took.as_secs_f64());
    }
}
