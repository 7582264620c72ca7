//! A span as OTLP bytes, and many of them as the body of one export.
//!
//! Each span is written when it ends, by the thread that ended it. Through the message types of `opentelemetry-proto`,
//! on the exporter's thread, the same bytes take four times the work (docs/PERFORMANCE.md). A test holds the two ways against each other.
//!
//! Source of the field numbers: opentelemetry-proto 1.x, `trace/v1/trace.proto` and `common/v1/common.proto`.

use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry::trace::{Link, SpanContext, SpanId, SpanKind, Status};
use opentelemetry::{Array, InstrumentationScope, KeyValue, Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::SpanFlags;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_sdk::trace::SpanData;
use prost::Message;
use prost::encoding::{WireType, encoded_len_varint};

/// A `Span` message.
pub(crate) struct EncodedSpan(Box<[u8]>);

impl From<SpanData> for EncodedSpan {
    fn from(span: SpanData) -> Self {
        let mut out = Vec::with_capacity(512);
        let context = &span.span_context;
        bytes(1, &context.trace_id().to_bytes(), &mut out);
        bytes(2, &context.span_id().to_bytes(), &mut out);
        bytes(3, context.trace_state().header().as_bytes(), &mut out);
        if span.parent_span_id != SpanId::INVALID {
            bytes(4, &span.parent_span_id.to_bytes(), &mut out);
        }
        bytes(5, span.name.as_bytes(), &mut out);
        varint(6, kind(&span.span_kind), &mut out);
        time(7, span.start_time, &mut out);
        time(8, span.end_time, &mut out);
        attributes(9, &span.attributes, &mut out);
        varint(10, span.dropped_attributes_count.into(), &mut out);
        for event in &span.events.events {
            message(11, &mut out, |out| {
                time(1, event.timestamp, out);
                bytes(2, event.name.as_bytes(), out);
                attributes(3, &event.attributes, out);
                varint(4, event.dropped_attributes_count.into(), out);
            });
        }
        varint(12, span.events.dropped_count.into(), &mut out);
        for link in &span.links.links {
            message(13, &mut out, |out| linked(link, out));
        }
        varint(14, span.links.dropped_count.into(), &mut out);
        message(15, &mut out, |out| match &span.status {
            Status::Unset => (),
            Status::Ok => varint(3, 1, out),
            Status::Error { description } => {
                bytes(2, description.as_bytes(), out);
                varint(3, 2, out);
            }
        });
        flags(16, context, span.parent_span_is_remote, &mut out);
        Self(out.into())
    }
}

/// What is around the spans of every export: who speaks.
pub(crate) struct Envelope {
    resource: Resource,
    schema_url: String,
    scope: opentelemetry_proto::tonic::common::v1::InstrumentationScope,
}

impl Envelope {
    pub(crate) fn new(resource: &opentelemetry_sdk::Resource, scope: &InstrumentationScope) -> Self {
        let resource = ResourceAttributesWithSchema::from(resource);
        Self {
            resource: Resource { attributes: resource.attributes.0, ..Resource::default() },
            schema_url: resource.schema_url.unwrap_or_default(),
            scope: (scope, None).into(),
        }
    }

    /// An `ExportTraceServiceRequest`.
    pub(crate) fn around(&self, spans: &[EncodedSpan]) -> Vec<u8> {
        let size: usize = spans.iter().map(|EncodedSpan(span)| span.len() + 4).sum();
        let mut out = Vec::with_capacity(size + 1024);
        message(1, &mut out, |out| {
            bytes(1, &self.resource.encode_to_vec(), out);
            message(2, out, |out| {
                bytes(1, &self.scope.encode_to_vec(), out);
                spans.iter().for_each(|EncodedSpan(span)| bytes(2, span, out));
            });
            bytes(3, self.schema_url.as_bytes(), out);
        });
        out
    }
}

fn kind(kind: &SpanKind) -> u64 {
    match kind {
        SpanKind::Internal => 1,
        SpanKind::Server => 2,
        SpanKind::Client => 3,
        SpanKind::Producer => 4,
        SpanKind::Consumer => 5,
    }
}

fn linked(link: &Link, out: &mut Vec<u8>) {
    let context = &link.span_context;
    bytes(1, &context.trace_id().to_bytes(), out);
    bytes(2, &context.span_id().to_bytes(), out);
    bytes(3, context.trace_state().header().as_bytes(), out);
    attributes(4, &link.attributes, out);
    varint(5, link.dropped_attributes_count.into(), out);
    flags(6, context, context.is_remote(), out);
}

fn attributes(tag: u32, attributes: &[KeyValue], out: &mut Vec<u8>) {
    for KeyValue { key, value, .. } in attributes {
        message(tag, out, |out| {
            bytes(1, key.as_str().as_bytes(), out);
            message(2, out, |out| any_value(value, out));
        });
    }
}

/// Of an `AnyValue` one field is set, even where it holds its type's zero.
fn any_value(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::String(text) => text_value(text.as_str(), out),
        Value::Bool(value) => {
            key(2, WireType::Varint, out);
            number((*value).into(), out);
        }
        Value::I64(value) => {
            key(3, WireType::Varint, out);
            number(value.cast_unsigned(), out);
        }
        Value::F64(value) => {
            key(4, WireType::SixtyFourBit, out);
            out.extend_from_slice(&value.to_le_bytes());
        }
        Value::Array(Array::Bool(values)) => list(values, out),
        Value::Array(Array::I64(values)) => list(values, out),
        Value::Array(Array::F64(values)) => list(values, out),
        Value::Array(Array::String(values)) => list(values, out),
        // A kind of value that OpenTelemetry may have one day: better as text than lost.
        other => text_value(&other.to_string(), out),
    }
}

fn text_value(text: &str, out: &mut Vec<u8>) {
    key(1, WireType::LengthDelimited, out);
    number(text.len() as u64, out);
    out.extend_from_slice(text.as_bytes());
}

fn list<T: Clone + Into<Value>>(values: &[T], out: &mut Vec<u8>) {
    message(5, out, |out| {
        for value in values {
            message(1, out, |out| any_value(&value.clone().into(), out));
        }
    });
}

fn time(tag: u32, at: SystemTime, out: &mut Vec<u8>) {
    let nanoseconds = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
    if nanoseconds != 0 {
        key(tag, WireType::SixtyFourBit, out);
        out.extend_from_slice(&nanoseconds.to_le_bytes());
    }
}

fn flags(tag: u32, context: &SpanContext, remote: bool, out: &mut Vec<u8>) {
    let remote = if remote { SpanFlags::ContextIsRemoteMask as u32 } else { 0 };
    let flags = u32::from(context.trace_flags().to_u8()) | SpanFlags::ContextHasIsRemoteMask as u32 | remote;
    key(tag, WireType::ThirtyTwoBit, out);
    out.extend_from_slice(&flags.to_le_bytes());
}

/// What stands before every field.
fn key(tag: u32, wire_type: WireType, out: &mut Vec<u8>) {
    number((tag << 3 | wire_type as u32).into(), out);
}

/// Seven bits a byte, the lowest first. prost's own is for any kind of buffer, and slower.
fn number(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A number; left out where it is zero, as protobuf has it.
fn varint(tag: u32, value: u64, out: &mut Vec<u8>) {
    if value != 0 {
        key(tag, WireType::Varint, out);
        number(value, out);
    }
}

/// Text or bytes; left out where there are none.
fn bytes(tag: u32, value: &[u8], out: &mut Vec<u8>) {
    if !value.is_empty() {
        key(tag, WireType::LengthDelimited, out);
        number(value.len() as u64, out);
        out.extend_from_slice(value);
    }
}

/// A message within a message. Its length stands before it and is known after it: one byte is kept free, and where that
/// is not enough, the message moves.
fn message(tag: u32, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    key(tag, WireType::LengthDelimited, out);
    let start = out.len() + 1;
    out.push(0);
    write(out);
    let length = out.len() - start;
    let extra = encoded_len_varint(length as u64) - 1;
    if extra > 0 {
        out.resize(out.len() + extra, 0);
        out.copy_within(start..start + length, start + extra);
    }
    for (position, byte) in out[start - 1..start + extra].iter_mut().enumerate() {
        let more_follow = if position < extra { 0x80 } else { 0 };
        *byte = (length >> (7 * position)) as u8 & 0x7f | more_follow;
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{Event, TraceFlags, TraceState};
    use opentelemetry::{Key, StringValue};
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use opentelemetry_proto::tonic::trace::v1::Span;
    use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
    use opentelemetry_sdk::trace::{SpanEvents, SpanLinks};
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            prop_oneof![Just(0.0), Just(-0.0), -1e300..1e300].prop_map(Value::F64),
            ".{0,300}".prop_map(Value::from),
            vec(any::<i64>(), 0..80).prop_map(|values| Value::Array(Array::I64(values))),
            vec(any::<bool>(), 0..3).prop_map(|values| Value::Array(Array::Bool(values))),
            vec(-1.0..1.0, 0..3).prop_map(|values| Value::Array(Array::F64(values))),
            vec(".{0,9}".prop_map(StringValue::from), 0..3).prop_map(|values| Value::Array(Array::String(values))),
        ]
    }

    fn key_values() -> impl Strategy<Value = Vec<KeyValue>> {
        vec(("[a-z.]{0,20}", value()).prop_map(|(key, value)| KeyValue::new(Key::from(key), value)), 0..8)
    }

    fn context() -> impl Strategy<Value = SpanContext> {
        (any::<u128>(), any::<u64>(), any::<u8>(), any::<bool>(), any::<bool>()).prop_map(
            |(trace, span, flags, remote, state)| {
                let state =
                    if state { TraceState::from_key_value([("a", "1"), ("b", "2")]) } else { Ok(TraceState::NONE) };
                SpanContext::new(trace.into(), span.into(), TraceFlags::new(flags), remote, state.unwrap())
            },
        )
    }

    fn status() -> impl Strategy<Value = Status> {
        prop_oneof![Just(Status::Unset), Just(Status::Ok), ".{0,200}".prop_map(Status::error)]
    }

    fn at() -> impl Strategy<Value = SystemTime> {
        any::<u32>().prop_map(|seconds| UNIX_EPOCH + std::time::Duration::new(seconds.into(), seconds % 1_000_000_000))
    }

    prop_compose! {
        fn span()(
            span_context in context(),
            parent in prop_oneof![Just(0), any::<u64>()],
            parent_span_is_remote in any::<bool>(),
            kind in 0..5_usize,
            name in ".{0,200}",
            start_time in at(),
            end_time in at(),
            attributes in key_values(),
            dropped in any::<u32>(),
            noted in vec((at(), ".{0,20}", key_values(), any::<u32>()), 0..4),
            pointed in vec((context(), key_values(), any::<u32>()), 0..3),
            status in status(),
        ) -> SpanData {
            let kinds = [SpanKind::Internal, SpanKind::Server, SpanKind::Client, SpanKind::Producer, SpanKind::Consumer];
            let (mut events, mut links) = (SpanEvents::default(), SpanLinks::default());
            (events.dropped_count, links.dropped_count) = (dropped / 3, dropped / 7);
            events.events = noted.into_iter().map(|(at, name, facts, lost)| Event::new(name, at, facts, lost)).collect();
            links.links = pointed.into_iter().map(|(context, facts, lost)| Link::new(context, facts, lost)).collect();
            SpanData {
                span_context,
                parent_span_id: parent.into(),
                parent_span_is_remote,
                span_kind: kinds[kind].clone(),
                name: name.into(),
                start_time,
                end_time,
                attributes,
                dropped_attributes_count: dropped,
                events,
                links,
                status,
                instrumentation_scope: scope(),
            }
        }
    }

    fn scope() -> InstrumentationScope {
        InstrumentationScope::builder("a scope").with_version("1.0").build()
    }

    proptest! {
        #[test]
        fn a_span_has_the_bytes_that_the_library_gives_it(span in span()) {
            let EncodedSpan(own) = span.clone().into();
            prop_assert_eq!(own.into_vec(), Span::from(span).encode_to_vec());
        }

        #[test]
        fn so_has_an_export(spans in vec(span(), 1..5)) {
            let resource = opentelemetry_sdk::Resource::builder().with_service_name("x").build();
            let library = group_spans_by_resource_and_scope(spans.clone(), &(&resource).into());
            let own: Vec<_> = spans.into_iter().map(EncodedSpan::from).collect();
            let own = Envelope::new(&resource, &scope()).around(&own);
            prop_assert_eq!(own, ExportTraceServiceRequest { resource_spans: library }.encode_to_vec());
        }
    }
}
