//! Traces as JSON in the mapping that Tempo uses: ids in base64, enums by name, 64 bit numbers as strings, and fields
//! that hold their default left out (the protobuf JSON mapping, which OTLP's own JSON departs from).

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, TracesData};
use prost::Message;
use serde_json::{Map, Value, json};

use crate::trace::{StoredSpan, Trace};

/// The spans of `trace` as a message: grouped by what sent them, and by start within each group.
pub(crate) fn message(trace: &Trace) -> TracesData {
    let mut spans: Vec<&Arc<StoredSpan>> = trace.spans.values().collect();
    spans.sort_by_key(|span| span.start());
    // What was sent in several messages stands under one resource; compared by its bytes, in linear time.
    let mut places = HashMap::new();
    let mut groups: Vec<ResourceSpans> = Vec::new();
    for stored in spans {
        let (resource, scope) = (&stored.origin.resource, &stored.origin.scope);
        let place = *places.entry((resource.encode_to_vec(), scope.encode_to_vec())).or_insert_with(|| {
            let scope_spans = ScopeSpans { scope: Some(scope.clone()), ..ScopeSpans::default() };
            let resource = Some(resource.clone());
            groups.push(ResourceSpans { resource, scope_spans: vec![scope_spans], ..ResourceSpans::default() });
            groups.len() - 1
        });
        groups[place].scope_spans[0].spans.push(stored.span.clone());
    }
    TracesData { resource_spans: groups }
}

/// The list that Tempo calls `batches` in version 1 of its API and `resourceSpans` in version 2.
pub(crate) fn resource_spans(message: &TracesData) -> Value {
    let one = |from: &ResourceSpans| {
        json!({
            "resource": resource(from.resource.as_ref()),
            "scopeSpans": from.scope_spans.iter().map(scope_spans).collect::<Value>(),
        })
    };
    message.resource_spans.iter().map(one).collect()
}

/// One attribute.
pub(crate) fn attribute(key: &str, value: &Any) -> Value {
    json!({"key": key, "value": any(value)})
}

fn attributes(attributes: &[KeyValue]) -> Value {
    let pair = |pair: &KeyValue| match &pair.value {
        Some(value) => json!({"key": pair.key, "value": any_value(value)}),
        None => json!({"key": pair.key}),
    };
    attributes.iter().map(pair).collect()
}

fn resource(resource: Option<&Resource>) -> Value {
    let mut object = Object::default();
    if let Some(resource) = resource {
        object.list("attributes", &resource.attributes, attributes);
        object.number("droppedAttributesCount", resource.dropped_attributes_count);
    }
    object.done()
}

fn scope_spans(from: &ScopeSpans) -> Value {
    let mut scope = Object::default();
    if let Some(InstrumentationScope { name, version, attributes: pairs, dropped_attributes_count }) = &from.scope {
        scope.text("name", name);
        scope.text("version", version);
        scope.list("attributes", pairs, attributes);
        scope.number("droppedAttributesCount", *dropped_attributes_count);
    }
    json!({"scope": scope.done(), "spans": from.spans.iter().map(span).collect::<Value>()})
}

fn span(span: &Span) -> Value {
    let mut object = Object::default();
    object.bytes("traceId", &span.trace_id);
    object.bytes("spanId", &span.span_id);
    object.text("traceState", &span.trace_state);
    object.bytes("parentSpanId", &span.parent_span_id);
    object.number("flags", span.flags);
    object.text("name", &span.name);
    object.name("kind", span.kind, SpanKind::try_from(span.kind).ok().map(|kind| kind.as_str_name()));
    object.big("startTimeUnixNano", span.start_time_unix_nano);
    object.big("endTimeUnixNano", span.end_time_unix_nano);
    object.list("attributes", &span.attributes, attributes);
    object.number("droppedAttributesCount", span.dropped_attributes_count);
    object.list("events", &span.events, |events| events.iter().map(event).collect());
    object.number("droppedEventsCount", span.dropped_events_count);
    object.list("links", &span.links, |links| links.iter().map(link).collect());
    object.number("droppedLinksCount", span.dropped_links_count);
    if let Some(state) = &span.status {
        object.0.insert("status".to_owned(), status(state));
    }
    object.done()
}

fn event(event: &Event) -> Value {
    let mut object = Object::default();
    object.big("timeUnixNano", event.time_unix_nano);
    object.text("name", &event.name);
    object.list("attributes", &event.attributes, attributes);
    object.number("droppedAttributesCount", event.dropped_attributes_count);
    object.done()
}

fn link(link: &Link) -> Value {
    let mut object = Object::default();
    object.bytes("traceId", &link.trace_id);
    object.bytes("spanId", &link.span_id);
    object.text("traceState", &link.trace_state);
    object.list("attributes", &link.attributes, attributes);
    object.number("droppedAttributesCount", link.dropped_attributes_count);
    object.number("flags", link.flags);
    object.done()
}

fn status(status: &Status) -> Value {
    let mut object = Object::default();
    object.text("message", &status.message);
    object.name("code", status.code, StatusCode::try_from(status.code).ok().map(|code| code.as_str_name()));
    object.done()
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

/// A message under way to JSON; what holds its default is not written.
#[derive(Default)]
struct Object(Map<String, Value>);

impl Object {
    fn text(&mut self, key: &str, text: &str) {
        if !text.is_empty() {
            self.0.insert(key.to_owned(), text.into());
        }
    }

    fn bytes(&mut self, key: &str, bytes: &[u8]) {
        self.text(key, &STANDARD.encode(bytes));
    }

    fn number(&mut self, key: &str, number: u32) {
        if number != 0 {
            self.0.insert(key.to_owned(), number.into());
        }
    }

    fn big(&mut self, key: &str, number: u64) {
        if number != 0 {
            self.0.insert(key.to_owned(), number.to_string().into());
        }
    }

    /// An enum by its name, or by its number if it is from a newer version than this program knows.
    fn name(&mut self, key: &str, number: i32, name: Option<&str>) {
        if number != 0 {
            self.0.insert(key.to_owned(), name.map_or_else(|| number.into(), Into::into));
        }
    }

    fn list<T>(&mut self, key: &str, items: &[T], json: impl Fn(&[T]) -> Value) {
        if !items.is_empty() {
            self.0.insert(key.to_owned(), json(items));
        }
    }

    fn done(self) -> Value {
        Value::Object(self.0)
    }
}
