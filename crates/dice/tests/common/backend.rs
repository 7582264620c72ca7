//! The spans of a test: in Tempo, where the environment names one, or in a trace viewer.

use tempo_client::{Span, Trace, trace_path};

use super::process::Process;
use super::{answer, eventually, http};

/// Tempo, where `TEMPO_URL` and `OTEL_EXPORTER_OTLP_ENDPOINT` name one, or a trace viewer in a process of its own.
pub(crate) struct Backend {
    /// Where OTLP goes.
    pub(crate) otlp: String,
    query: String,
    _viewer: Option<Process>,
}

impl Backend {
    pub(crate) fn start() -> Self {
        #[allow(clippy::disallowed_methods)] // which backend is a setting of the tests, not of a service
        let given = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        if let (Some(query), Some(otlp)) = (given("TEMPO_URL"), given("OTEL_EXPORTER_OTLP_ENDPOINT")) {
            return Self { otlp, query, _viewer: None };
        }
        let viewer = Process::start(&["trace-viewer", "--port", "0", "--otlp-port", "0"], &[]);
        let line = viewer.wait_for(|line| line.contains("starting up"));
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        let url = |field: &str| format!("http://{}", line[field].as_str().unwrap());
        Self { otlp: url("otlp_address"), query: url("address"), _viewer: Some(viewer) }
    }

    /// The trace of `id`, once there are at least `spans` of it.
    pub(crate) fn trace(&self, id: &str, spans: usize) -> Trace {
        eventually(&format!("{spans} spans of trace {id}"), || self.find(id).filter(|trace| trace.spans.len() >= spans))
    }

    /// What there is of it now.
    pub(crate) fn find(&self, id: &str) -> Option<Trace> {
        let response = answer(http().get(format!("{}/{}", self.query, trace_path(id))));
        match response.status {
            200 => Some(Trace::parse(response.text.as_bytes()).unwrap()),
            404 => None,
            status => panic!("{status}: {}", response.text),
        }
    }
}

/// Looks a span up and fails with the tree of the trace.
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
