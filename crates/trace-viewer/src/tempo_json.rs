//! Traces as JSON in Tempo's mapping, the one of protobuf: ids in base64, enums by name, 64-bit numbers as strings,
//! fields that hold their default left out. The serde support of `opentelemetry-proto` writes OTLP's own mapping.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{Span, Status};
use serde_json::{Value, json};

use crate::trace_body::Mapping;

/// How a trace is written in this mapping.
pub(crate) const MAPPING: Mapping = Mapping { resource, scope, span, event };

fn attributes(attributes: &[KeyValue]) -> Value {
    let pair = |pair: &KeyValue| match &pair.value {
        Some(value) => json!({"key": pair.key, "value": any_value(value)}),
        None => json!({"key": pair.key}),
    };
    attributes.iter().map(pair).collect()
}

fn resource(resource: &Resource) -> Value {
    message_json(json!({
        "attributes": attributes(&resource.attributes),
        "droppedAttributesCount": resource.dropped_attributes_count,
    }))
}

fn scope(scope: &InstrumentationScope) -> Value {
    message_json(json!({
        "name": scope.name,
        "version": scope.version,
        "attributes": attributes(&scope.attributes),
        "droppedAttributesCount": scope.dropped_attributes_count,
    }))
}

fn span(span: &Span) -> Value {
    message_json(json!({
        "traceId": STANDARD.encode(&span.trace_id),
        "spanId": STANDARD.encode(&span.span_id),
        "traceState": span.trace_state,
        "parentSpanId": STANDARD.encode(&span.parent_span_id),
        "flags": span.flags,
        "name": span.name,
        "kind": enum_name(span.kind, SpanKind::try_from(span.kind).ok().map(|kind| kind.as_str_name())),
        "startTimeUnixNano": nanos(span.start_time_unix_nano),
        "endTimeUnixNano": nanos(span.end_time_unix_nano),
        "attributes": attributes(&span.attributes),
        "droppedAttributesCount": span.dropped_attributes_count,
        "droppedEventsCount": span.dropped_events_count,
        "links": span.links.iter().map(link).collect::<Value>(),
        "droppedLinksCount": span.dropped_links_count,
        "status": span.status.as_ref().map(status),
    }))
}

fn event(event: &Event) -> Value {
    message_json(json!({
        "timeUnixNano": nanos(event.time_unix_nano),
        "name": event.name,
        "attributes": attributes(&event.attributes),
        "droppedAttributesCount": event.dropped_attributes_count,
    }))
}

fn link(link: &Link) -> Value {
    message_json(json!({
        "traceId": STANDARD.encode(&link.trace_id),
        "spanId": STANDARD.encode(&link.span_id),
        "traceState": link.trace_state,
        "attributes": attributes(&link.attributes),
        "droppedAttributesCount": link.dropped_attributes_count,
        "flags": link.flags,
    }))
}

fn status(status: &Status) -> Value {
    let code = StatusCode::try_from(status.code).ok().map(|code| code.as_str_name());
    message_json(json!({"message": status.message, "code": enum_name(status.code, code)}))
}

/// Leaves out the fields that hold their default.
fn message_json(mut fields: Value) -> Value {
    let defaults = [Value::Null, json!(""), json!(0), json!([])];
    if let Value::Object(fields) = &mut fields {
        fields.retain(|_, value| !defaults.contains(value));
    }
    fields
}

fn nanos(time: u64) -> Option<String> {
    (time != 0).then(|| time.to_string())
}

/// The name of an enum's value; its number if it is from a newer version of OTLP. The value 0 is the default.
fn enum_name(number: i32, name: Option<&str>) -> Value {
    name.filter(|_| number != 0).map_or_else(|| number.into(), Into::into)
}

fn any_value(value: &AnyValue) -> Value {
    value.value.as_ref().map_or_else(|| json!({}), any)
}

fn any(value: &Any) -> Value {
    let values =
        |list: Value| if list.as_array().is_some_and(Vec::is_empty) { json!({}) } else { json!({"values": list}) };
    match value {
        Any::StringValue(text) => json!({"stringValue": text}),
        Any::BoolValue(flag) => json!({"boolValue": flag}),
        Any::IntValue(number) => json!({"intValue": number.to_string()}),
        Any::DoubleValue(number) if number.is_finite() => json!({"doubleValue": number}),
        Any::DoubleValue(number) if number.is_nan() => json!({"doubleValue": "NaN"}),
        Any::DoubleValue(number) => json!({"doubleValue": if *number > 0.0 { "Infinity" } else { "-Infinity" }}),
        Any::ArrayValue(array) => json!({"arrayValue": values(array.values.iter().map(any_value).collect())}),
        Any::KvlistValue(pairs) => json!({"kvlistValue": values(attributes(&pairs.values))}),
        Any::BytesValue(bytes) => json!({"bytesValue": STANDARD.encode(bytes)}),
        Any::StringValueStrindex(index) => json!({"stringValueStrindex": index}),
    }
}
