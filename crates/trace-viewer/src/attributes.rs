//! Attributes: key and value pairs, as OTLP has them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use serde_json::json;

/// Whole numbers up to this size survive in JavaScript (2^53).
const EXACT_IN_JAVASCRIPT: u64 = 1 << 53;

/// The value under `key`.
pub(crate) fn find<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a Value> {
    let pair = attributes.iter().find(|pair| pair.key == key)?;
    pair.value.as_ref()?.value.as_ref()
}

/// A value as plain JSON, for people to read.
pub(crate) fn plain(value: Option<&AnyValue>) -> serde_json::Value {
    match value.and_then(|value| value.value.as_ref()) {
        None => serde_json::Value::Null,
        Some(Value::StringValue(text)) => json!(text),
        Some(Value::BoolValue(flag)) => json!(flag),
        Some(Value::IntValue(number)) if number.unsigned_abs() <= EXACT_IN_JAVASCRIPT => json!(number),
        Some(Value::IntValue(number)) => json!(number.to_string()),
        Some(Value::DoubleValue(number)) if number.is_finite() => json!(number),
        Some(Value::DoubleValue(number)) => json!(number.to_string()),
        Some(Value::ArrayValue(array)) => array.values.iter().map(|item| plain(Some(item))).collect(),
        Some(Value::KvlistValue(pairs)) => {
            serde_json::Value::Object(pairs.values.iter().map(|p| (p.key.clone(), plain(p.value.as_ref()))).collect())
        }
        Some(Value::BytesValue(bytes)) => json!(STANDARD.encode(bytes)),
        Some(Value::StringValueStrindex(index)) => json!(index),
    }
}

/// A value as text: what a tag search compares with and lists.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::StringValue(text) => text.clone(),
        other => plain(Some(&AnyValue { value: Some(other.clone()) })).to_string(),
    }
}
