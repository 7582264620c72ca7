//! The spans of a test: in Tempo, where the environment names one, or in a trace viewer.

use tempo_client::{Span, Trace, trace_path};
use test_support::{Process, eventually, http};

use super::dice;

/// What receives the spans of a test.
pub(crate) struct Backend {
    /// Where the query API is.
    pub(crate) url: String,
    /// Where OTLP goes.
    pub(crate) otlp: String,
    /// The trace viewer; none where it is a Tempo.
    viewer: Option<Process>,
}

impl Backend {
    /// Tempo, where `TEMPO_URL` and `OTEL_EXPORTER_OTLP_ENDPOINT` name one, else a trace viewer.
    pub(crate) fn start() -> Self {
        #[allow(clippy::disallowed_methods)] // which backend is a setting of the tests, not of a service
        let given = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        match (given("TEMPO_URL"), given("OTEL_EXPORTER_OTLP_ENDPOINT")) {
            (Some(url), Some(otlp)) => Self { url, otlp, viewer: None },
            _ => Self::viewer(),
        }
    }

    /// A trace viewer in a process of its own.
    pub(crate) fn viewer() -> Self {
        let viewer = dice(&["trace-viewer", "--port", "0", "--otlp-port", "0", "--otlp-grpc-port", "0"], &[]);
        Self { url: viewer.url("address"), otlp: viewer.url("otlp_address"), viewer: Some(viewer) }
    }

    /// The process of [`Backend::viewer`].
    pub(crate) fn process(&self) -> &Process {
        self.viewer.as_ref().unwrap()
    }

    /// The trace of `id`, once there are at least `spans` of it.
    pub(crate) fn trace(&self, id: &str, spans: usize) -> Trace {
        eventually(&format!("{spans} spans of trace {id}"), || self.find(id).filter(|trace| trace.spans.len() >= spans))
    }

    /// The spans of it that are there now.
    pub(crate) fn find(&self, id: &str) -> Option<Trace> {
        let response = http::get(format!("{}/{}", self.url, trace_path(id)));
        match response.status {
            200 => Some(serde_json::from_slice(&response.body).unwrap()),
            404 => None,
            status => panic!("{status}: {}", response.text()),
        }
    }
}

/// Looks a span up, or fails with the tree of the trace.
pub(crate) trait One {
    /// The only span of that name, kind and service.
    fn one(&self, name: &str, kind: &str, service: &str) -> &Span;
}

impl One for Trace {
    fn one(&self, name: &str, kind: &str, service: &str) -> &Span {
        let wanted = |span: &&Span| span.name == name && span.kind == kind && span.service == service;
        let mut found = self.spans.iter().filter(wanted);
        match (found.next(), found.next()) {
            (Some(span), None) => span,
            _ => panic!("not exactly one {kind} '{name}' of {service}:\n{}", self.tree()),
        }
    }
}
