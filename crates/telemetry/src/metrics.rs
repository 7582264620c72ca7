//! The metric signal: what every service measures of its HTTP responses and of its process, and the text that
//! Prometheus reads.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use prometheus::core::{Collector, Desc};
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::MetricFamily;
use prometheus::{Counter, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry, TextEncoder};

/// Seconds; from half a millisecond, a lookup, to ten seconds, beyond every timeout of a single roll.
const DURATION_BUCKETS: [f64; 16] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0];

/// The HTTP metrics of one service.
#[derive(Debug, Clone)]
pub(crate) struct HttpMetrics {
    requests: IntCounterVec,
    duration: HistogramVec,
}

impl HttpMetrics {
    pub(crate) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let requests = Opts::new("http_requests_total", "HTTP requests, by route, method and status class");
        let duration = HistogramOpts::new("http_request_duration_seconds", "Time from request to response, in seconds");
        let metrics = Self {
            requests: IntCounterVec::new(requests, &["handler", "method", "status"])?,
            duration: HistogramVec::new(duration.buckets(DURATION_BUCKETS.to_vec()), &["handler", "method"])?,
        };
        registry.register(Box::new(metrics.requests.clone()))?;
        registry.register(Box::new(metrics.duration.clone()))?;
        Ok(metrics)
    }

    /// One response. `route` is the template of the route, absent where no route matched.
    pub(crate) fn record(&self, route: Option<&str>, method: &str, status: StatusCode, duration: Duration) {
        let route = route.unwrap_or("none");
        let class = match status.as_u16() {
            ..300 => "2xx",
            300..400 => "3xx",
            400..500 => "4xx",
            500.. => "5xx",
        };
        self.requests.with_label_values(&[route, method, class]).inc();
        self.duration.with_label_values(&[route, method]).observe(duration.as_secs_f64());
    }
}

/// The `process_*` metrics. The crate's collector counts processor time in whole seconds, which a rate over a minute
/// shows as a comb; here it has the resolution of the operating system.
struct ProcessMetrics {
    others: ProcessCollector,
    cpu: Counter,
}

pub(crate) fn register_process_metrics(registry: &Registry) -> prometheus::Result<()> {
    let cpu = Counter::new("process_cpu_seconds_total", "Total user and system CPU time spent in seconds.")?;
    registry.register(Box::new(ProcessMetrics { others: ProcessCollector::for_self(), cpu }))
}

impl Collector for ProcessMetrics {
    fn desc(&self) -> Vec<&Desc> {
        self.others.desc() // that of the counter is among them
    }

    fn collect(&self) -> Vec<MetricFamily> {
        if let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) {
            let seconds = (usage.user_time() + usage.system_time()).num_microseconds() as f64 / 1e6;
            self.cpu.inc_by((seconds - self.cpu.get()).max(0.0));
        }
        let others = self.others.collect().into_iter().filter(|family| family.name() != "process_cpu_seconds_total");
        others.chain(self.cpu.collect()).collect()
    }
}

/// `GET /metrics`: the registry in Prometheus' text format.
pub fn text(registry: &Registry) -> Response {
    match TextEncoder::new().encode_to_string(&registry.gather()) {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
