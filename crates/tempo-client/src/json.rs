//! Tempo's JSON, and OTLP's, of which it is a dialect. A field that is missing has its default, as protobuf's JSON has it.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::{Error, Map, Value};
use trace_analysis::Kind;

use crate::{LogLine, Span, StatusCode, Trace};

impl TryFrom<Value> for Trace {
    type Error = Error;

    /// `batches` of `/api/traces`, `trace.resourceSpans` of `/api/v2/traces`, or `resourceSpans` of OTLP.
    fn try_from(trace: Value) -> Result<Self, Error> {
        let mut body = Map::deserialize(without_nulls(trace))?;
        if let Some(inner) = body.remove("trace") {
            body = Map::deserialize(inner)?;
        }
        let mut spans = Vec::new();
        for field in ["batches", "resourceSpans"] {
            for group in list::<Value>(&mut body, field)? {
                let resource = attributes(&group["resource"]["attributes"])?;
                let service = resource.get("service.name").map(text).unwrap_or_default();
                for scope in list::<Value>(&mut Map::deserialize(group)?, "scopeSpans")? {
                    let of_scope = list::<Span>(&mut Map::deserialize(scope)?, "spans")?.into_iter();
                    spans.extend(of_scope.map(|span| Span { service: service.clone(), ..span }));
                }
            }
        }
        let mut logs = Vec::new();
        for group in list::<Value>(&mut body, "resourceLogs")? {
            for scope in list::<Value>(&mut Map::deserialize(group)?, "scopeLogs")? {
                logs.extend(list::<LogLine>(&mut Map::deserialize(scope)?, "logRecords")?);
            }
        }
        Ok(Self { spans, logs })
    }
}

/// In protobuf's JSON `null` is a field's default, as if it were missing.
fn without_nulls(value: Value) -> Value {
    // As deep as serde_json reads, 128 levels.
    match value {
        Value::Object(object) => {
            let fields = object.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(fields.map(|(key, value)| (key, without_nulls(value))).collect())
        }
        Value::Array(values) => values.into_iter().map(without_nulls).collect(),
        other => other,
    }
}

/// A list in that field of an object.
fn list<T: DeserializeOwned>(object: &mut Map<String, Value>, field: &str) -> Result<Vec<T>, Error> {
    object.remove(field).map_or_else(|| Ok(Vec::new()), Vec::deserialize)
}

pub(crate) fn attributes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, Value>, D::Error> {
    let pairs = Option::<Vec<Value>>::deserialize(deserializer)?.unwrap_or_default();
    Ok(pairs.iter().map(|pair| (text(&pair["key"]), plain(&pair["value"]))).collect())
}

/// A severity; 0 where it is no number.
pub(crate) fn severity<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u8, D::Error> {
    Ok(Value::deserialize(deserializer)?.as_u64().and_then(|number| number.try_into().ok()).unwrap_or(0))
}

/// The value of a log line as text.
pub(crate) fn body<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(match plain(&Value::deserialize(deserializer)?) {
        Value::String(text) => text,
        Value::Null => String::new(),
        other => other.to_string(),
    })
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
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

pub(crate) fn trace_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    id(&String::deserialize(deserializer)?, 16).map_err(D::Error::custom)
}

pub(crate) fn span_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    id(&String::deserialize(deserializer)?, 8).map_err(D::Error::custom)
}

/// An id of so many bytes in lower-case hex: OTLP writes it in hex, Tempo in base64. Empty stays empty.
fn id(text: &str, length: usize) -> Result<String, String> {
    if text.len() <= 2 * length && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let digits = if text.is_empty() { 0 } else { 2 * length };
        return Ok(format!("{:0>digits$}", text.to_ascii_lowercase()));
    }
    match STANDARD.decode(text) {
        Ok(bytes) if bytes.len() == length => Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect()),
        _ => Err(format!("an id is {} hex digits, or {length} bytes in base64", 2 * length)),
    }
}

/// A number that JSON has as text, or as a number.
#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Number(u64),
    Text(String),
}

pub(crate) fn integer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    match Number::deserialize(deserializer) {
        Ok(Number::Number(number)) => Ok(number),
        Ok(Number::Text(text)) => text.parse().map_err(D::Error::custom),
        Err(_) => Err(D::Error::custom("a time is a whole number of nanoseconds")),
    }
}

pub(crate) fn kind<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let known = |name: &str| if name == "UNSPECIFIED" { String::new() } else { name.to_owned() };
    Ok(match Number::deserialize(deserializer) {
        Ok(Number::Number(number)) => known(Kind::from_number(number.try_into().unwrap_or(0)).name()),
        Ok(Number::Text(text)) => known(text.trim_start_matches("SPAN_KIND_")),
        Err(_) => return Err(D::Error::custom("a kind is a number or a name")),
    })
}

pub(crate) fn status_code<'de, D: Deserializer<'de>>(deserializer: D) -> Result<StatusCode, D::Error> {
    Ok(match Number::deserialize(deserializer) {
        Ok(Number::Number(1)) => StatusCode::Ok,
        Ok(Number::Number(2)) => StatusCode::Error,
        Ok(Number::Text(text)) if text == "STATUS_CODE_OK" => StatusCode::Ok,
        Ok(Number::Text(text)) if text == "STATUS_CODE_ERROR" => StatusCode::Error,
        Ok(_) => StatusCode::Unset,
        Err(_) => return Err(D::Error::custom("a status code is a number or a name")),
    })
}

/// Reads the body of a response to [`SEARCH_PATH`](crate::SEARCH_PATH): the ids of the traces, 32 hex digits each.
///
/// # Errors
/// When it is no search result as Tempo writes it.
pub fn parse_search(body: &[u8]) -> Result<Vec<String>, Error> {
    let traces: Vec<Value> = list(&mut serde_json::from_slice(body)?, "traces")?;
    // Tempo leaves leading zeros out.
    Ok(traces.iter().map(|found| format!("{:0>32}", text(&found["traceID"]))).collect())
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
        let trace = serde_json::from_str::<Trace>(&body.to_string()).unwrap();
        let [a, b] = &trace.spans[..] else { panic!("{trace:?}") };
        assert_eq!((&*a.title(), &*a.id, &*a.parent_id), ("a SERVER x", "3132333435363738", ""));
        assert_eq!((a.seconds(), a.status.code, &a.events[0].attributes["k"]), (1.0, StatusCode::Unset, &json!(true)));
        assert_eq!((&b.parent_id, b.status.code, &*b.status.message), (&a.id, StatusCode::Error, "no"));
        assert_eq!(b.attributes["k"], json!(0.5));
    }

    #[test]
    fn otlp_and_both_of_tempos_answers_are_the_same_trace() {
        let groups = |span: &str, trace: &str, kind: Value, code: Value, start: Value| {
            json!([{ "resource": { "attributes": [{ "key": "service.name", "value": { "stringValue": "x" } }] },
                "scopeSpans": [{ "spans": [{ "traceId": trace, "spanId": span, "parentSpanId": null, "name": "a",
                    "kind": kind, "startTimeUnixNano": start, "endTimeUnixNano": 9, "attributes": [], "status": { "code": code } }] }] }])
        };
        let otlp = groups("3132333435363738", "0AF7651916CD43DD8448EB211C80319C", json!(3), json!(2), json!(5));
        let tempo = groups(
            "MTIzNDU2Nzg=",
            "CvdlGRbNQ92ESOshHIAxnA==",
            json!("SPAN_KIND_CLIENT"),
            json!("STATUS_CODE_ERROR"),
            json!("5"),
        );
        let read = |body: Value| serde_json::from_value::<Trace>(body).unwrap();
        let expected = read(json!({ "resourceSpans": otlp }));
        let span = &expected.spans[0];
        assert_eq!(
            (&*span.trace_id, &*span.id, &*span.parent_id),
            ("0af7651916cd43dd8448eb211c80319c", "3132333435363738", "")
        );
        assert_eq!((&*span.title(), span.start, span.end, span.status.code), ("a CLIENT x", 5, 9, StatusCode::Error));
        assert_eq!(read(json!({ "batches": tempo })), expected);
        assert_eq!(read(json!({ "trace": { "resourceSpans": tempo }, "metrics": {} })), expected);
        assert!(read(json!({ "trace": {}, "metrics": {} })).spans.is_empty());
    }

    #[test]
    fn ids_of_another_length_are_errors() {
        assert_eq!((id("", 8), id("1", 8)), (Ok(String::new()), Ok("0000000000000001".to_owned())));
        for wrong in ["31323334353637380", "MTIzNDU2Nw==", "zz", "é"] {
            assert!(id(wrong, 8).is_err(), "{wrong}");
        }
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
        assert!(serde_json::from_str::<Trace>("{}").unwrap().spans.is_empty());
        for body in ["[", "1", r#"{"batches": 1}"#, r#"{"batches": [{"scopeSpans": [{"spans": ["no span"]}]}]}"#] {
            assert!(serde_json::from_str::<Trace>(body).is_err(), "{body}");
        }
    }

    #[test]
    fn ids_of_a_search_have_32_digits() {
        let body = br#"{"traces":[{"traceID":"f7651916cd43dd8448eb211c80319c","rootServiceName":"x"}],"metrics":{}}"#;
        assert_eq!(parse_search(body).unwrap(), ["00f7651916cd43dd8448eb211c80319c"]);
        assert!(parse_search(b"{}").unwrap().is_empty());
    }
}
