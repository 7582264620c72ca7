//! The trace of the batch, in Tempo or the viewer.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::batch::{DIE, Sent, TIMES};
use crate::check::Checked;
use crate::http::HttpClient;
use crate::report::Failure;
use crate::targets::Target;

/// The spans of one trace.
#[derive(Debug, Default)]
pub(crate) struct Trace(Vec<Span>);

/// One span; ids are hex.
#[derive(Debug)]
pub(crate) struct Span {
    pub(crate) id: String,
    /// Of the span that it is part of; empty for a root.
    parent_id: String,
    /// `name KIND service`.
    pub(crate) title: String,
    attributes: BTreeMap<String, Value>,
}

/// Titles of the spans of a batch that log lines and links belong to.
pub(crate) const FRONTEND: &str = "GET /roll-async SERVER frontend";
pub(crate) const DICE_ROLLER: &str = "GET /roll-async SERVER dice-roller";
pub(crate) const DIE_SERVICE: &str = "GET /dice SERVER die-service";

/// More spans than any batch has.
const LONGEST: usize = 100;

/// The title of the span of one roll.
pub(crate) fn roll(index: usize) -> String {
    format!("async_roll_{index} INTERNAL dice-roller")
}

/// How many spans of trace `id` there are.
///
/// # Errors
/// When `backend` does not respond as Tempo does.
pub(crate) fn spans(http: &HttpClient, backend: &Target, id: &str) -> Result<usize, Failure> {
    find(http, backend, id).map(|trace| trace.0.len())
}

fn find(http: &HttpClient, backend: &Target, id: &str) -> Result<Trace, Failure> {
    let path = format!("api/traces/{id}");
    let response = http.get(backend, &path, &[])?;
    if response.status == 404 {
        return Ok(Trace::default());
    }
    Ok(Trace::read(&response.json(backend, &path)?))
}

/// The whole trace of the batch, as the contract has it.
pub(crate) fn complete(http: &HttpClient, backend: &Target, sent: &Sent) -> Checked<Trace> {
    let trace = find(http, backend, &sent.trace_id)?;
    let (expected, found) = (contract(), trace.tree());
    let without = |these: &[String], those: &[String]| -> Vec<String> {
        these.iter().filter(|line| !those.contains(line)).map(|line| line.trim().to_owned()).collect()
    };
    if found != expected {
        let (missing, surplus) = (without(&expected, &found), without(&found, &expected));
        let mut found_text = format!("{} of {} spans are there", found.len(), expected.len());
        for (what, titles) in [("missing", missing), ("not expected, or in another place", surplus)] {
            if !titles.is_empty() {
                found_text += &format!("; {what}: {}", titles.join(", "));
            }
        }
        return Err(Failure {
            found: found_text,
            cause: format!("spans were lost behind the services, or go to another backend than {}", backend.origin()),
            remedy:
                "look at the log lines of collector and backend; compare OTEL_EXPORTER_OTLP_ENDPOINT of the services \
                     with TEMPO_URL"
                    .to_owned(),
        });
    }
    trace.check_values(sent).map_err(|found| Failure {
        found,
        cause: "the services are another version than this doctor, or something on the way changes spans".to_owned(),
        remedy: "build all from the same state of the sources; look at the collector's processors".to_owned(),
    })?;
    Ok((trace, format!("{} spans, the tree and the numbers of the response", expected.len())))
}

/// The tree of a batch, a line for each span, children indented and in order of their names.
fn contract() -> Vec<String> {
    let chain = [FRONTEND, "GET CLIENT frontend", DICE_ROLLER, "GET CLIENT dice-roller", DIE_SERVICE];
    let lines = chain.iter().enumerate().map(|(depth, title)| format!("{}{title}", "  ".repeat(depth)));
    lines.chain((0..TIMES).map(|index| format!("      {}", roll(index)))).collect()
}

impl Trace {
    fn read(response: &Value) -> Self {
        let mut spans = Vec::new();
        for batch in list(&response["batches"]) {
            let resource = attributes(&batch["resource"]["attributes"]);
            let service = resource.get("service.name").and_then(Value::as_str).unwrap_or_default();
            for span in list(&batch["scopeSpans"]).flat_map(|scope| list(&scope["spans"])) {
                let kind = text(&span["kind"]).trim_start_matches("SPAN_KIND_");
                spans.push(Span {
                    id: hex(&span["spanId"]),
                    parent_id: hex(&span["parentSpanId"]),
                    title: format!("{} {kind} {service}", text(&span["name"])),
                    attributes: attributes(&span["attributes"]),
                });
            }
        }
        Self(spans)
    }

    /// The span of that title.
    pub(crate) fn span(&self, title: &str) -> Option<&Span> {
        self.0.iter().find(|span| span.title == title)
    }

    fn tree(&self) -> Vec<String> {
        let has_parent =
            |span: &Span| !span.parent_id.is_empty() && self.0.iter().any(|other| other.id == span.parent_id);
        let mut lines = Vec::new();
        self.draw(self.0.iter().filter(|span| !has_parent(span)).collect(), 0, &mut lines);
        lines
    }

    fn draw(&self, mut spans: Vec<&Span>, depth: usize, lines: &mut Vec<String>) {
        spans.sort_by_key(|span| &span.title);
        for span in spans {
            // A span that a backend holds twice could be its own ancestor, and this would not end.
            if lines.len() < LONGEST {
                lines.push(format!("{}{}", "  ".repeat(depth), span.title));
                self.draw(self.0.iter().filter(|child| child.parent_id == span.id).collect(), depth + 1, lines);
            }
        }
    }

    /// Whether the spans have the values of the response.
    fn check_values(&self, sent: &Sent) -> Result<(), String> {
        let span = |title: &str| self.span(title).ok_or_else(|| format!("there is no {title}"));
        if span(FRONTEND)?.parent_id != sent.parent_id {
            return Err(format!("the parent of {FRONTEND} is not the span that was sent, {}", sent.parent_id));
        }
        let mut values = vec![
            (FRONTEND.to_owned(), "backend.status_code", json!(200)),
            (DICE_ROLLER.to_owned(), "async.batch_size", json!(TIMES)),
            (DICE_ROLLER.to_owned(), "async.total_result", json!(sent.total)),
            (DICE_ROLLER.to_owned(), "die.type", json!(DIE)),
            (DIE_SERVICE.to_owned(), "die.identifier", json!(DIE)),
            (DIE_SERVICE.to_owned(), "die.found", json!(true)),
        ];
        for (index, face) in sent.rolls.iter().enumerate() {
            values.push((roll(index), "async.roll_index", json!(index)));
            values.push((roll(index), "die.type", json!(DIE)));
            values.push((roll(index), "die.result", json!(face)));
            values.push((roll(index), "die.error", json!(false)));
        }
        for (title, name, expected) in values {
            let found = span(&title)?.attributes.get(name).unwrap_or(&Value::Null);
            if *found != expected {
                return Err(format!("{name} of {title} is {found}, not {expected}"));
            }
        }
        let faces = span(DICE_ROLLER)?.attributes.get("die.faces").and_then(Value::as_array);
        match sent.rolls.iter().find(|face| faces.is_none_or(|faces| !faces.contains(&json!(face)))) {
            Some(face) => Err(format!("a roll was {face}, which die.faces of {DICE_ROLLER} does not have")),
            None => Ok(()),
        }
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Tempo writes ids in base64; what is none becomes an id that nobody has.
fn hex(base64: &Value) -> String {
    let bytes = STANDARD.decode(text(base64)).unwrap_or_default();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn attributes(pairs: &Value) -> BTreeMap<String, Value> {
    list(pairs).map(|pair| (text(&pair["key"]).to_owned(), any_value(&pair["value"]))).collect()
}

/// A value in protobuf's JSON, where a 64-bit integer is a text.
fn any_value(value: &Value) -> Value {
    match value.as_object().and_then(|object| object.iter().next()) {
        Some((kind, inner)) => match kind.as_str() {
            "intValue" => {
                inner.as_str().and_then(|text| text.parse::<i64>().ok()).map_or_else(|| inner.clone(), Value::from)
            }
            "arrayValue" => list(&inner["values"]).map(any_value).collect(),
            _ => inner.clone(),
        },
        None => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_drawn_to_an_end_whatever_a_backend_says() {
        let span = |id: &str, parent: &str, name: &str| json!({ "spanId": id, "parentSpanId": parent, "name": name });
        // Twice the same id, once as its own ancestor.
        let spans = [span("AAAA", "", "a"), span("AAAA", "AAAA", "b"), json!("no span"), json!({})];
        let trace = Trace::read(&json!({ "batches": [{ "scopeSpans": [{ "spans": spans }] }, 1] }));
        assert_eq!(trace.tree().len(), LONGEST);
        assert!(Trace::read(&json!([])).tree().is_empty());
    }

    #[test]
    fn values_are_read_as_protobuf_writes_them() {
        let read = |value| any_value(&value);
        assert_eq!(read(json!({ "intValue": "5" })), json!(5));
        assert_eq!(
            read(json!({ "arrayValue": { "values": [{ "intValue": "1" }, { "boolValue": true }] } })),
            json!([1, true])
        );
        assert_eq!(read(json!({})), Value::Null);
    }
}
