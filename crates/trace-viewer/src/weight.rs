//! The memory that a span or a log record takes, estimated from its parts: each string, list and byte string is a heap
//! block, with the allocator's overhead.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;

/// The allocator's overhead for a block.
const PER_BLOCK: usize = 16;

/// Bytes that `span` takes, with its entry in a trace.
pub(crate) fn span(span: &Span) -> usize {
    let ids = block(span.trace_id.capacity()) + block(span.span_id.capacity()) + block(span.parent_span_id.capacity());
    let texts = block(span.name.capacity()) + block(span.trace_state.capacity());
    let status = span.status.as_ref().map_or(0, |status| block(status.message.capacity()));
    let events = list(&span.events, |event| block(event.name.capacity()) + attributes(&event.attributes));
    let links = list(&span.links, |link| {
        let ids = block(link.trace_id.capacity()) + block(link.span_id.capacity());
        ids + block(link.trace_state.capacity()) + attributes(&link.attributes)
    });
    let entry = 4 * PER_BLOCK + size_of::<Span>();
    entry + ids + texts + status + events + links + attributes(&span.attributes)
}

/// Bytes that a log record takes, with its entry in a trace.
pub(crate) fn log(record: &LogRecord) -> usize {
    let ids = block(record.trace_id.capacity()) + block(record.span_id.capacity());
    let texts = block(record.severity_text.capacity()) + block(record.event_name.capacity());
    let body = record.body.as_ref().map_or(0, any_value);
    let entry = 4 * PER_BLOCK + size_of::<LogRecord>();
    entry + ids + texts + body + attributes(&record.attributes)
}

/// Bytes that a resource and an instrumentation scope take.
pub(crate) fn origin(resource: &Resource, scope: &InstrumentationScope) -> usize {
    let entities = list(&resource.entity_refs, |entity| {
        let keys = entity.id_keys.iter().chain(&entity.description_keys);
        let texts = block(entity.schema_url.capacity()) + block(entity.r#type.capacity());
        texts + keys.map(|key| size_of::<String>() + block(key.capacity())).sum::<usize>()
    });
    let scope_texts = block(scope.name.capacity()) + block(scope.version.capacity());
    let entry = 4 * PER_BLOCK + size_of::<Resource>() + size_of::<InstrumentationScope>();
    entry + entities + scope_texts + attributes(&scope.attributes) + attributes(&resource.attributes)
}

fn attributes(attributes: &Vec<KeyValue>) -> usize {
    list(attributes, |pair| block(pair.key.capacity()) + pair.value.as_ref().map_or(0, any_value))
}

fn any_value(value: &AnyValue) -> usize {
    match &value.value {
        Some(Value::StringValue(text)) => block(text.capacity()),
        Some(Value::BytesValue(bytes)) => block(bytes.capacity()),
        Some(Value::ArrayValue(array)) => list(&array.values, any_value),
        Some(Value::KvlistValue(pairs)) => attributes(&pairs.values),
        Some(Value::BoolValue(_) | Value::IntValue(_) | Value::DoubleValue(_) | Value::StringValueStrindex(_))
        | None => 0,
    }
}

fn list<T>(items: &Vec<T>, heap: impl Fn(&T) -> usize) -> usize {
    block(items.capacity() * size_of::<T>()) + items.iter().map(heap).sum::<usize>()
}

fn block(bytes: usize) -> usize {
    if bytes == 0 { 0 } else { bytes + PER_BLOCK }
}
