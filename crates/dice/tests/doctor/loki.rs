//! A stand-in for Loki: takes log records over OTLP as Loki does, and runs the part of LogQL that the doctor and Grafana's stand-in use.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use axum::response::Response;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use prost::Message as _;
use serde_json::{Value, json};

use crate::server::{self, Request, Server};

/// One line. Loki keeps resource attributes as labels and the rest as structured metadata, and returns both together.
#[derive(Clone)]
struct Line {
    labels: BTreeMap<String, String>,
    nanoseconds: u64,
    text: String,
}

/// What the stand-in does wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    No,
    /// Lines of this service are dropped.
    Drops(&'static str),
    /// Every line has the span id of another span.
    MixesSpans,
    /// Queries fail with 500.
    Fails,
}

/// The lines that have arrived; every server of them takes more.
#[derive(Clone, Default)]
pub(crate) struct Loki(Arc<Mutex<Vec<Line>>>);

impl Loki {
    /// The instrumentation scopes of all lines.
    pub(crate) fn scopes(&self) -> BTreeSet<String> {
        self.0.lock().unwrap().iter().map(|line| line.labels["scope_name"].clone()).collect()
    }

    pub(crate) fn serve(&self, broken: Broken) -> Server {
        let lines = self.0.clone();
        Server::start(move |request| respond(request, &lines, broken))
    }
}

fn respond(request: &Request, lines: &Mutex<Vec<Line>>, broken: Broken) -> Response {
    match request.uri.path() {
        "/otlp/v1/logs" => {
            lines.lock().unwrap().extend(records(&request.body));
            server::json(200, &json!({}))
        }
        "/loki/api/v1/query_range" if broken == Broken::Fails => {
            server::json(500, &json!({ "stand-in": "for Loki", "message": "broken on purpose" }))
        }
        "/loki/api/v1/query_range" => {
            let (start, end) = (request.parameter("start"), request.parameter("end"));
            let time = |text: &str, otherwise| text.parse().unwrap_or(otherwise);
            let period = time(&start, 0)..=time(&end, u64::MAX);
            let query = request.parameter("query");
            let lines = lines.lock().unwrap().clone();
            let wanted = |line: &Line| period.contains(&line.nanoseconds) && matches(line, &query);
            let streams: Vec<Value> =
                lines.into_iter().filter(wanted).filter_map(|line| spoil(line, broken)).map(stream).collect();
            server::json(200, &json!({ "status": "success", "data": { "resultType": "streams", "result": streams } }))
        }
        "/ready" => server::json(200, &json!("ready")),
        path => server::json(404, &json!({ "stand-in": format!("for Loki; knows no {path}") })),
    }
}

fn stream(line: Line) -> Value {
    json!({ "stream": line.labels, "values": [[line.nanoseconds.to_string(), line.text]] })
}

fn spoil(mut line: Line, broken: Broken) -> Option<Line> {
    match broken {
        Broken::Drops(service) if line.labels.get("service_name").is_some_and(|name| name == service) => return None,
        Broken::MixesSpans => drop(line.labels.insert("span_id".to_owned(), "00f067aa0ba902b7".to_owned())),
        _ => (),
    }
    Some(line)
}

fn records(body: &[u8]) -> Vec<Line> {
    let message = ExportLogsServiceRequest::decode(body).unwrap();
    let mut lines = Vec::new();
    for group in message.resource_logs {
        let resource = group.resource.unwrap_or_default();
        let records = group.scope_logs.into_iter().flat_map(|logs| {
            let scope = logs.scope.unwrap_or_default().name;
            logs.log_records.into_iter().map(move |record| (scope.clone(), record))
        });
        for (scope, record) in records {
            let mut labels: BTreeMap<_, _> = resource.attributes.iter().chain(&record.attributes).map(label).collect();
            let hex = |id: &[u8]| id.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            labels.insert("scope_name".to_owned(), scope);
            labels.insert("trace_id".to_owned(), hex(&record.trace_id));
            labels.insert("span_id".to_owned(), hex(&record.span_id));
            labels.insert("detected_level".to_owned(), record.severity_text.to_lowercase());
            lines.push(Line { labels, nanoseconds: record.time_unix_nano, text: text(record.body.as_ref()) });
        }
    }
    lines
}

/// Dots become underscores, and every value a text.
fn label(attribute: &KeyValue) -> (String, String) {
    (attribute.key.replace('.', "_"), text(attribute.value.as_ref()))
}

fn text(value: Option<&AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        Some(Any::StringValue(text)) => text.clone(),
        Some(Any::IntValue(number)) => number.to_string(),
        Some(Any::DoubleValue(number)) => number.to_string(),
        Some(Any::BoolValue(flag)) => flag.to_string(),
        other => format!("{other:?}"),
    }
}

/// `{label="x", label=~"a|b"} | label="x" |= "text"`; what formats a line changes nothing about which there are.
fn matches(line: &Line, query: &str) -> bool {
    let (selector, stages) = query.trim_start_matches('{').split_once('}').unwrap_or_else(|| panic!("{query}"));
    let stages = stages.split("| line_format").next().unwrap();
    let holds = |condition: &str| {
        let (name, value) = condition.split_once('=').unwrap_or_else(|| panic!("'{condition}' in {query}"));
        let found = line.labels.get(name.trim()).map_or("", String::as_str);
        match value.strip_prefix('~') {
            None => found == value.trim().trim_matches('"'),
            Some(pattern) => {
                pattern.trim().trim_matches('"').split('|').any(|pattern| match pattern.strip_prefix(".+") {
                    Some(end) => found.len() > end.len() && found.ends_with(end),
                    None => found == pattern,
                })
            }
        }
    };
    let mut stages = stages.split('|').map(str::trim).filter(|stage| !stage.is_empty());
    selector.split(',').all(holds)
        && stages.all(|stage| match stage.strip_prefix('=') {
            Some(part) => line.text.contains(part.trim().trim_matches('"')),
            None => holds(stage),
        })
}
