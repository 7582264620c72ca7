//! OTLP's attributes: pairs of key and value, in the form in which they are stored.

use std::borrow::Cow;

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList};
use serde::{Serialize, Serializer};
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

/// A value as JSON, for pages.
pub(crate) struct Plain<'a>(pub(crate) &'a Value);

impl Serialize for Plain<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Empty => serializer.serialize_none(),
            Value::Text(text) => serializer.serialize_str(text),
            Value::Bool(flag) => serializer.serialize_bool(*flag),
            Value::Int(number) if number.unsigned_abs() <= EXACT_IN_JAVASCRIPT => serializer.serialize_i64(*number),
            Value::Int(number) => serializer.collect_str(number),
            Value::Double(number) if number.is_finite() => serializer.serialize_f64(*number),
            Value::Double(number) => serializer.collect_str(number),
            Value::Array(values) => serializer.collect_seq(values.iter().map(Plain)),
            Value::Map(pairs) => {
                serializer.collect_map(pairs.iter().map(|pair| (pair.key.as_str(), Plain(&pair.value))))
            }
            Value::Bytes(bytes) => serializer.collect_str(&Base64Display::new(bytes, &STANDARD)),
        }
    }
}

/// A double in the JSON mapping of protobuf: JSON has no number for those that are not finite.
pub(crate) struct Double(pub(crate) f64);

impl Serialize for Double {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            f64::INFINITY => serializer.serialize_str("Infinity"),
            f64::NEG_INFINITY => serializer.serialize_str("-Infinity"),
            number if number.is_nan() => serializer.serialize_str("NaN"),
            number => serializer.serialize_f64(number),
        }
    }
}

/// A value as text.
pub(crate) fn text(value: &Value) -> Cow<'_, str> {
    match value {
        Value::Text(text) => text.as_str().into(),
        // It fails only where the writer does.
        other => serde_json::to_string(&Plain(other)).unwrap_or_default().into(),
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
