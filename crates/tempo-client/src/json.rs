//! Tempo's JSON. A field that is missing has its default, as protobuf's JSON has it.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, de};
use serde_json::Value;

use crate::{Event, Span, Status, Trace};

#[derive(Deserialize)]
struct TraceJson {
    #[serde(default)]
    batches: Vec<ResourceSpans>,
}

#[derive(Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[derive(Default)]
struct ResourceSpans {
    resource: Resource,
    scope_spans: Vec<ScopeSpans>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Resource {
    attributes: Attributes,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ScopeSpans {
    spans: Vec<SpanJson>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct SpanJson {
    #[serde(deserialize_with = "hex")]
    span_id: String,
    #[serde(deserialize_with = "hex")]
    parent_span_id: String,
    name: String,
    kind: String,
    #[serde(deserialize_with = "integer")]
    start_time_unix_nano: u64,
    #[serde(deserialize_with = "integer")]
    end_time_unix_nano: u64,
    attributes: Attributes,
    events: Vec<EventJson>,
    status: StatusJson,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct EventJson {
    name: String,
    attributes: Attributes,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct StatusJson {
    code: String,
    message: String,
}

#[derive(Default)]
struct Attributes(BTreeMap<String, Value>);

#[derive(Deserialize)]
struct KeyValue {
    key: String,
    #[serde(default)]
    value: Value,
}

impl<'de> Deserialize<'de> for Attributes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let pairs = Vec::<KeyValue>::deserialize(deserializer)?;
        Ok(Self(pairs.into_iter().map(|pair| (pair.key, plain(&pair.value))).collect()))
    }
}

/// The value of an attribute without the name of its type.
fn plain(value: &Value) -> Value {
    let Some((kind, inner)) = value.as_object().and_then(|object| object.iter().next()) else { return Value::Null };
    match kind.as_str() {
        "intValue" => inner.as_str().and_then(|text| text.parse().ok()).map_or_else(|| inner.clone(), i64::into),
        "arrayValue" => inner["values"].as_array().into_iter().flatten().map(plain).collect(),
        _ => inner.clone(),
    }
}

fn hex<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let bytes = STANDARD.decode(String::deserialize(deserializer)?).map_err(de::Error::custom)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn integer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
}

pub(crate) fn parse_trace(body: &[u8]) -> serde_json::Result<Trace> {
    let trace: TraceJson = serde_json::from_slice(body)?;
    let mut spans = Vec::new();
    for ResourceSpans { resource, scope_spans } in trace.batches {
        let service = resource.attributes.0.get("service.name").and_then(Value::as_str).unwrap_or_default();
        spans.extend(scope_spans.into_iter().flat_map(|scope| scope.spans).map(|span| {
            Span {
                id: span.span_id,
                parent_id: span.parent_span_id,
                name: span.name,
                kind: span.kind.trim_start_matches("SPAN_KIND_").to_owned(),
                service: service.to_owned(),
                start: span.start_time_unix_nano,
                end: span.end_time_unix_nano,
                attributes: span.attributes.0,
                events: span
                    .events
                    .into_iter()
                    .map(|event| Event { name: event.name, attributes: event.attributes.0 })
                    .collect(),
                status: match span.status.code.as_str() {
                    "STATUS_CODE_OK" => Status::Ok,
                    "STATUS_CODE_ERROR" => Status::Error,
                    _ => Status::Unset,
                },
                status_message: span.status.message,
            }
        }));
    }
    Ok(Trace { spans })
}

#[derive(Deserialize)]
struct SearchJson {
    #[serde(default)]
    traces: Vec<FoundJson>,
}

#[derive(Deserialize)]
struct FoundJson {
    #[serde(rename = "traceID")]
    trace_id: String,
}

/// Reads the body of a response to [`SEARCH_PATH`](crate::SEARCH_PATH): the ids of the traces, 32 hex digits each.
///
/// # Errors
/// When it is no search result as Tempo writes it.
pub fn parse_search(body: &[u8]) -> serde_json::Result<Vec<String>> {
    let search: SearchJson = serde_json::from_slice(body)?;
    // Tempo leaves leading zeros out.
    Ok(search.traces.into_iter().map(|found| format!("{:0>32}", found.trace_id)).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn trace_is_read_as_tempo_writes_it() {
        let body = json!({ "batches": [{
            "resource": { "attributes": [
                { "key": "n", "value": { "intValue": "5" } }, { "key": "service.name", "value": { "stringValue": "x" } },
            ] },
            "scopeSpans": [{ "scope": {}, "spans": [
                { "traceId": "CvdlGRbNQ92ESOshHIAxnA==", "spanId": "MTIzNDU2Nzg=", "name": "a", "kind": "SPAN_KIND_SERVER",
                  "startTimeUnixNano": "1795443997978138472", "endTimeUnixNano": "1795443998978138472",
                  "events": [{ "name": "e", "attributes": [{ "key": "k", "value": { "boolValue": true } }] }] },
                { "spanId": "MTIzNDU2Nzk=", "parentSpanId": "MTIzNDU2Nzg=", "name": "b",
                  "attributes": [{ "key": "k", "value": { "doubleValue": 0.5 } }],
                  "status": { "code": "STATUS_CODE_ERROR", "message": "no" } },
            ] }],
        }] });
        let trace = parse_trace(body.to_string().as_bytes()).unwrap();
        let [a, b] = &trace.spans[..] else { panic!("{trace:?}") };
        assert_eq!((&*a.title(), &*a.id, &*a.parent_id), ("a SERVER x", "3132333435363738", ""));
        assert_eq!((a.seconds(), a.status, &a.events[0].attributes["k"]), (1.0, Status::Unset, &json!(true)));
        assert_eq!((&b.parent_id, b.status, &*b.status_message), (&a.id, Status::Error, "no"));
        assert_eq!(b.attributes["k"], json!(0.5));
    }

    #[test]
    fn integers_and_lists_become_plain_json() {
        assert_eq!(plain(&json!({ "intValue": "5" })), json!(5));
        let list = json!({ "arrayValue": { "values": [{ "intValue": "1" }, { "boolValue": true }] } });
        assert_eq!(plain(&list), json!([1, true]));
        assert_eq!(plain(&json!({})), Value::Null);
    }

    #[test]
    fn body_that_is_no_trace_is_an_error() {
        assert!(parse_trace(b"{}").unwrap().spans.is_empty());
        for body in ["[", "1", r#"{"batches": 1}"#, r#"{"batches": [{"scopeSpans": [{"spans": ["no span"]}]}]}"#] {
            assert!(parse_trace(body.as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn ids_of_a_search_have_32_digits() {
        let body = br#"{"traces":[{"traceID":"f7651916cd43dd8448eb211c80319c","rootServiceName":"x"}],"metrics":{}}"#;
        assert_eq!(parse_search(body).unwrap(), ["00f7651916cd43dd8448eb211c80319c"]);
        assert!(parse_search(b"{}").unwrap().is_empty());
    }
}
