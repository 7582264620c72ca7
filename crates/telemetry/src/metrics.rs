//! The metric signal: what every service measures of its HTTP answers, and the text that Prometheus reads.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode, header};
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry, TextEncoder};

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
        let requests = Opts::new("http_requests_total", "HTTP requests answered, by route, method and status class");
        let duration = HistogramOpts::new("http_request_duration_seconds", "Time from request to answer, in seconds");
        let metrics = Self {
            requests: IntCounterVec::new(requests, &["handler", "method", "status"])?,
            duration: HistogramVec::new(duration.buckets(DURATION_BUCKETS.to_vec()), &["handler", "method"])?,
        };
        registry.register(Box::new(metrics.requests.clone()))?;
        registry.register(Box::new(metrics.duration.clone()))?;
        Ok(metrics)
    }

    /// One answer. `route` is the template of the route, `none` where no route matched.
    pub(crate) fn answered(&self, route: &str, method: &str, status: StatusCode, took: Duration) {
        self.requests.with_label_values(&[route, method, status_class(status)]).inc();
        self.duration.with_label_values(&[route, method]).observe(took.as_secs_f64());
    }
}

/// The method as a label and attribute; `_OTHER` for what a client made up, so that it cannot make labels.
pub(crate) fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::PATCH => "PATCH",
        Method::CONNECT => "CONNECT",
        Method::TRACE => "TRACE",
        _ => "_OTHER",
    }
}

fn status_class(status: StatusCode) -> &'static str {
    match status.as_u16() {
        ..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        500.. => "5xx",
    }
}

/// `GET /metrics`: the registry in Prometheus' text format.
pub(crate) fn scrape(registry: &Registry) -> Response {
    match TextEncoder::new().encode_to_string(&registry.gather()) {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
