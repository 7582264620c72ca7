//! Tempo's JSON. A field that is missing has its default, as protobuf's JSON has it.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::{Error, Map, Value};

use crate::{Span, Trace};

impl TryFrom<Value> for Trace {
    type Error = Error;

    fn try_from(trace: Value) -> Result<Self, Error> {
        let mut spans = Vec::new();
        for group in list::<Value>(trace, "batches")? {
            let resource = attributes(&group["resource"]["attributes"])?;
            let service = resource.get("service.name").map(text).unwrap_or_default();
            for scope in list::<Value>(group, "scopeSpans")? {
                let of_scope = list::<Span>(scope, "spans")?.into_iter();
                spans.extend(of_scope.map(|span| Span { service: service.clone(), ..span }));
            }
        }
        Ok(Self { spans })
    }
}

/// A list in that field of an object.
fn list<T: DeserializeOwned>(object: Value, field: &str) -> Result<Vec<T>, Error> {
    let list = Map::deserialize(object)?.remove(field).unwrap_or(Value::Null);
    Ok(Option::deserialize(list)?.unwrap_or_default())
}

pub(crate) fn attributes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, Value>, D::Error> {
    let pairs = Option::<Vec<Value>>::deserialize(deserializer)?.unwrap_or_default();
    Ok(pairs.iter().map(|pair| (text(&pair["key"]), plain(&pair["value"]))).collect())
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

pub(crate) fn hex<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let bytes = STANDARD.decode(String::deserialize(deserializer)?).map_err(D::Error::custom)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

pub(crate) fn integer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
}

pub(crate) fn kind<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(String::deserialize(deserializer)?.trim_start_matches("SPAN_KIND_").to_owned())
}

/// Reads the body of a response to [`SEARCH_PATH`](crate::SEARCH_PATH): the ids of the traces, 32 hex digits each.
///
/// # Errors
/// When it is no search result as Tempo writes it.
pub fn parse_search(body: &[u8]) -> Result<Vec<String>, Error> {
    let traces: Vec<Value> = list(serde_json::from_slice(body)?, "traces")?;
    // Tempo leaves leading zeros out.
    Ok(traces.iter().map(|found| format!("{:0>32}", text(&found["traceID"]))).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::StatusCode;

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
