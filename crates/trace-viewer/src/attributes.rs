//! OTLP's attributes: pairs of key and value.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use serde_json::{Value as Json, json};

/// JavaScript's numbers are exact up to 2^53.
const EXACT_IN_JAVASCRIPT: u64 = 1 << 53;

/// The value under `key`.
pub(crate) fn find<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a Value> {
    let pair = attributes.iter().find(|pair| pair.key == key)?;
    pair.value.as_ref()?.value.as_ref()
}

/// Attributes as a JSON object, for pages.
pub(crate) fn object(attributes: &[KeyValue]) -> Json {
    Json::Object(attributes.iter().map(|pair| (pair.key.clone(), plain(pair.value.as_ref()))).collect())
}

/// A value as JSON, for pages.
pub(crate) fn plain(value: Option<&AnyValue>) -> Json {
    value.and_then(|value| value.value.as_ref()).map_or(Json::Null, json_value)
}

fn json_value(value: &Value) -> Json {
    match value {
        Value::StringValue(text) => json!(text),
        Value::BoolValue(flag) => json!(flag),
        Value::IntValue(number) if number.unsigned_abs() <= EXACT_IN_JAVASCRIPT => json!(number),
        Value::IntValue(number) => json!(number.to_string()),
        Value::DoubleValue(number) if number.is_finite() => json!(number),
        Value::DoubleValue(number) => json!(number.to_string()),
        Value::ArrayValue(array) => array.values.iter().map(|item| plain(Some(item))).collect(),
        Value::KvlistValue(pairs) => object(&pairs.values),
        Value::BytesValue(bytes) => json!(STANDARD.encode(bytes)),
        Value::StringValueStrindex(index) => json!(index),
    }
}

/// A value as text, for tags.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::StringValue(text) => text.clone(),
        other => json_value(other).to_string(),
    }
}
