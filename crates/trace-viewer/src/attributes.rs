//! OTLP's attributes: pairs of key and value, in the form in which they are stored.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList};
use serde_json::{Value as Json, json};
use smol_str::SmolStr;

/// JavaScript's numbers are exact up to 2^53.
const EXACT_IN_JAVASCRIPT: u64 = 1 << 53;

/// An attribute.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Attribute {
    pub(crate) key: SmolStr,
    pub(crate) value: Value,
}

/// The value of an attribute, or the body of a log record.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) enum Value {
    #[default]
    Empty,
    Text(SmolStr),
    Bool(bool),
    Int(i64),
    Double(f64),
    Bytes(Box<[u8]>),
    Array(Box<[Value]>),
    Map(Box<[Attribute]>),
}

/// The value under `key`, unless it is empty.
pub(crate) fn find<'a>(attributes: &'a [Attribute], key: &str) -> Option<&'a Value> {
    attributes.iter().find(|pair| pair.key == key).map(|pair| &pair.value).filter(|value| **value != Value::Empty)
}

/// Attributes as a JSON object, for pages.
pub(crate) fn object(attributes: &[Attribute]) -> Json {
    Json::Object(attributes.iter().map(|pair| (pair.key.to_string(), plain(&pair.value))).collect())
}

/// A value as JSON, for pages.
pub(crate) fn plain(value: &Value) -> Json {
    match value {
        Value::Empty => Json::Null,
        Value::Text(text) => json!(text.as_str()),
        Value::Bool(flag) => json!(flag),
        Value::Int(number) if number.unsigned_abs() <= EXACT_IN_JAVASCRIPT => json!(number),
        Value::Int(number) => json!(number.to_string()),
        Value::Double(number) if number.is_finite() => json!(number),
        Value::Double(number) => json!(number.to_string()),
        Value::Array(values) => values.iter().map(plain).collect(),
        Value::Map(pairs) => object(pairs),
        Value::Bytes(bytes) => json!(STANDARD.encode(bytes)),
    }
}

/// A value as text.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::Text(text) => text.to_string(),
        other => plain(other).to_string(),
    }
}

/// Attributes as OTLP has them.
pub(crate) fn to_otlp(attributes: &[Attribute]) -> Vec<KeyValue> {
    let pair = |pair: &Attribute| KeyValue {
        key: pair.key.to_string(),
        value: Some(pair.value.to_otlp()),
        ..KeyValue::default()
    };
    attributes.iter().map(pair).collect()
}

impl Value {
    /// The value as OTLP has it.
    pub(crate) fn to_otlp(&self) -> AnyValue {
        let value = match self {
            Self::Empty => None,
            Self::Text(text) => Some(Any::StringValue(text.to_string())),
            Self::Bool(flag) => Some(Any::BoolValue(*flag)),
            Self::Int(number) => Some(Any::IntValue(*number)),
            Self::Double(number) => Some(Any::DoubleValue(*number)),
            Self::Bytes(bytes) => Some(Any::BytesValue(bytes.to_vec())),
            Self::Array(values) => {
                Some(Any::ArrayValue(ArrayValue { values: values.iter().map(Self::to_otlp).collect() }))
            }
            Self::Map(pairs) => Some(Any::KvlistValue(KeyValueList { values: to_otlp(pairs) })),
        };
        AnyValue { value }
    }
}
