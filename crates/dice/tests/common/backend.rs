//! The spans, as Tempo's query API has them.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::process::Process;
use super::{answer, eventually, http};

/// Tempo, where the environment names one, or a trace viewer in a process of its own.
pub(crate) struct Backend {
    /// Where OTLP goes.
    pub(crate) otlp: String,
    query: String,
    _viewer: Option<Process>,
}

/// All spans of one trace.
#[derive(Debug)]
pub(crate) struct Trace {
    pub(crate) spans: Vec<Span>,
}

/// One span. Ids are hex, times nanoseconds.
#[derive(Debug, Clone)]
pub(crate) struct Span {
    pub(crate) id: String,
    /// Empty for a root.
    pub(crate) parent: String,
    pub(crate) name: String,
    /// `SERVER`, `CLIENT`, `INTERNAL`.
    pub(crate) kind: String,
    pub(crate) service: String,
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// Integers, floats, booleans, texts and lists as JSON has them.
    pub(crate) attributes: BTreeMap<String, Value>,
    pub(crate) events: Vec<(String, BTreeMap<String, Value>)>,
    /// `STATUS_CODE_ERROR`; empty where it is unset.
    pub(crate) status: String,
    pub(crate) status_message: String,
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
        let line: Value = serde_json::from_str(&line).unwrap();
        let url = |field: &str| format!("http://{}", line[field].as_str().unwrap());
        Self { otlp: url("otlp_address"), query: url("address"), _viewer: Some(viewer) }
    }

    /// The trace of `id`, once there are at least `spans` of it.
    pub(crate) fn trace(&self, id: &str, spans: usize) -> Trace {
        eventually(&format!("{spans} spans of trace {id}"), || self.find(id).filter(|trace| trace.spans.len() >= spans))
    }

    /// What there is of it now.
    pub(crate) fn find(&self, id: &str) -> Option<Trace> {
        let answer = answer(http().get(format!("{}/api/traces/{id}", self.query)));
        match answer.status {
            200 => Some(Trace { spans: list(&answer.json()["batches"]).flat_map(spans_of).collect() }),
            404 => None,
            status => panic!("{status}: {}", answer.text),
        }
    }
}

impl Trace {
    /// The one of that name, kind and service.
    pub(crate) fn one(&self, name: &str, kind: &str, service: &str) -> &Span {
        let wanted = |span: &&Span| span.name == name && span.kind == kind && span.service == service;
        let mut found = self.spans.iter().filter(wanted);
        match (found.next(), found.next()) {
            (Some(span), None) => span,
            _ => panic!("not exactly one {kind} '{name}' of {service}:\n{}", self.tree()),
        }
    }

    /// The tree as text, a line for each span: `name KIND service`, children indented and in order of their names.
    pub(crate) fn tree(&self) -> String {
        let known = |id: &str| self.spans.iter().any(|span| span.id == id);
        let mut text = String::new();
        self.draw(&mut text, 0, &|span| !known(&span.parent));
        text
    }

    fn draw(&self, text: &mut String, depth: usize, wanted: &dyn Fn(&Span) -> bool) {
        let mut spans: Vec<_> = self.spans.iter().filter(|span| wanted(span)).collect();
        spans.sort_by_key(|span| (span.name.as_str(), span.start));
        for span in spans {
            *text += &format!("{}{} {} {}\n", "  ".repeat(depth), span.name, span.kind, span.service);
            self.draw(text, depth + 1, &|child| child.parent == span.id);
        }
    }
}

fn spans_of(batch: &Value) -> Vec<Span> {
    let service = attributes(&batch["resource"]["attributes"])["service.name"].as_str().unwrap().to_owned();
    let spans = list(&batch["scopeSpans"]).flat_map(|scope| list(&scope["spans"]));
    spans.map(|span| span_of(span, &service)).collect()
}

fn span_of(span: &Value, service: &str) -> Span {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let nanoseconds = |value: &Value| value.as_str().unwrap().parse().unwrap();
    Span {
        id: hex(&span["spanId"]),
        parent: hex(&span["parentSpanId"]),
        name: text(&span["name"]),
        kind: text(&span["kind"]).trim_start_matches("SPAN_KIND_").to_owned(),
        service: service.to_owned(),
        start: nanoseconds(&span["startTimeUnixNano"]),
        end: nanoseconds(&span["endTimeUnixNano"]),
        attributes: attributes(&span["attributes"]),
        events: list(&span["events"]).map(|event| (text(&event["name"]), attributes(&event["attributes"]))).collect(),
        status: text(&span["status"]["code"]),
        status_message: text(&span["status"]["message"]),
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn hex(base64: &Value) -> String {
    let bytes = STANDARD.decode(base64.as_str().unwrap_or_default()).unwrap();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn attributes(pairs: &Value) -> BTreeMap<String, Value> {
    list(pairs).map(|pair| (pair["key"].as_str().unwrap().to_owned(), any_value(&pair["value"]))).collect()
}

/// A 64 bit integer is a string in this mapping, and a value that holds its default may be left out.
fn any_value(value: &Value) -> Value {
    let (kind, inner) = value.as_object().and_then(|object| object.iter().next()).unwrap();
    match kind.as_str() {
        "intValue" => inner.as_str().unwrap().parse::<i64>().unwrap().into(),
        "doubleValue" => inner.as_f64().unwrap().into(),
        "arrayValue" => list(&inner["values"]).map(any_value).collect(),
        "stringValue" | "boolValue" => inner.clone(),
        other => panic!("{other} is no kind of attribute here"),
    }
}
