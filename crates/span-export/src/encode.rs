//! Spans as OTLP bytes: a `Span` message is written directly from `SpanData` when the span ends, and an export is put
//! together from these bytes.
//!
//! Through the message types of `opentelemetry-proto` the same bytes take several times the work, most of it for copies of
//! names and attributes that are thrown away at once. What is rare goes that way here too. `tests/encoding.rs` compares
//! the bytes with the library's.
//!
//! Source of the field numbers: opentelemetry-proto 1.x, `trace/v1/trace.proto` and `common/v1/common.proto`.

use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry::{InstrumentationScope, KeyValue, Value, trace::SpanId, trace::Status};
use opentelemetry_proto::tonic::{common::v1 as common, resource::v1 as resource, trace::v1 as trace};
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_sdk::{Resource, trace::SpanData};
use prost::Message;
use prost::encoding::{WireType, bool, double, encode_varint, fixed32, fixed64, int64, uint64};

/// A span that waits for its export: its `Span` message, and the scope that the export groups it by.
pub(crate) struct EncodedSpan {
    pub(crate) message: Box<[u8]>,
    scope: InstrumentationScope,
}

/// An `ExportTraceServiceRequest` with one `ResourceSpans`, its scopes in the sequence in which they first occur.
pub(crate) fn request(resource: &Resource, spans: Vec<EncodedSpan>) -> Vec<u8> {
    let mut scopes: Vec<(&InstrumentationScope, Vec<&[u8]>)> = Vec::new();
    for span in &spans {
        match scopes.iter_mut().find(|(scope, _)| *scope == &span.scope) {
            Some((_, spans)) => spans.push(&span.message),
            None => scopes.push((&span.scope, vec![&*span.message])),
        }
    }
    let ResourceAttributesWithSchema { attributes, schema_url } = resource.into();
    let resource = resource::Resource { attributes: attributes.0, ..resource::Resource::default() };
    let size: usize = spans.iter().map(|span| span.message.len() + 4).sum();
    let mut out = Vec::with_capacity(size + 1024);
    message(1, &mut out, |out| {
        field(1, &resource.encode_to_vec(), out);
        for (scope, spans) in scopes {
            message(2, out, |out| {
                field(1, &common::InstrumentationScope::from((scope, None)).encode_to_vec(), out);
                spans.into_iter().for_each(|span| field(2, span, out));
                bytes(3, scope.schema_url().unwrap_or_default().as_bytes(), out);
            });
        }
        bytes(3, schema_url.unwrap_or_default().as_bytes(), out);
    });
    out
}

pub(crate) fn span(span: SpanData) -> EncodedSpan {
    let out = &mut Vec::with_capacity(512);
    let context = &span.span_context;
    bytes(1, &context.trace_id().to_bytes(), out);
    bytes(2, &context.span_id().to_bytes(), out);
    bytes(3, context.trace_state().header().as_bytes(), out);
    let parent = span.parent_span_id.to_bytes();
    bytes(4, if span.parent_span_id == SpanId::INVALID { &[] } else { &parent }, out);
    bytes(5, span.name.as_bytes(), out);
    varint(6, trace::span::SpanKind::from(span.span_kind) as u64, out);
    time(7, span.start_time, out);
    time(8, span.end_time, out);
    attributes(9, &span.attributes, out);
    varint(10, span.dropped_attributes_count.into(), out);
    for event in &span.events.events {
        message(11, out, |out| {
            time(1, event.timestamp, out);
            bytes(2, event.name.as_bytes(), out);
            attributes(3, &event.attributes, out);
            varint(4, event.dropped_attributes_count.into(), out);
        });
    }
    varint(12, span.events.dropped_count.into(), out);
    for link in span.links.links {
        field(13, &trace::span::Link::from(link).encode_to_vec(), out);
    }
    varint(14, span.links.dropped_count.into(), out);
    let description = if let Status::Error { description } = &span.status { description } else { "" };
    let code = trace::status::StatusCode::from(&span.status).into();
    field(15, &trace::Status { code, message: description.into() }.encode_to_vec(), out);
    let remote = if span.parent_span_is_remote { trace::SpanFlags::ContextIsRemoteMask as u32 } else { 0 };
    let flags = u32::from(context.trace_flags().to_u8()) | trace::SpanFlags::ContextHasIsRemoteMask as u32 | remote;
    fixed32::encode(16, &flags, out);
    EncodedSpan { message: out.as_slice().into(), scope: span.instrumentation_scope }
}

fn attributes(tag: u32, attributes: &[KeyValue], out: &mut Vec<u8>) {
    for KeyValue { key, value, .. } in attributes {
        message(tag, out, |out| {
            bytes(1, key.as_str().as_bytes(), out);
            message(2, out, |out| any_value(value, out));
        });
    }
}

/// An `AnyValue` is a `oneof`: its field is written even where it holds its type's zero.
fn any_value(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::String(text) => field(1, text.as_str().as_bytes(), out),
        Value::Bool(value) => bool::encode(2, value, out),
        Value::I64(value) => int64::encode(3, value, out),
        Value::F64(value) => double::encode(4, value, out),
        other => out.extend_from_slice(&common::AnyValue::from(other.clone()).encode_to_vec()),
    }
}

fn time(tag: u32, at: SystemTime, out: &mut Vec<u8>) {
    let nanoseconds = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
    if nanoseconds != 0 {
        fixed64::encode(tag, &nanoseconds, out);
    }
}

/// A number; left out where it is zero, as proto3 has it.
fn varint(tag: u32, value: u64, out: &mut Vec<u8>) {
    if value != 0 {
        uint64::encode(tag, &value, out);
    }
}

/// Text or bytes; left out where there are none, as proto3 has it.
fn bytes(tag: u32, value: &[u8], out: &mut Vec<u8>) {
    if !value.is_empty() {
        field(tag, value, out);
    }
}

/// Text, bytes or an encoded message, also where it is empty.
fn field(tag: u32, value: &[u8], out: &mut Vec<u8>) {
    key(tag, out);
    length(value.len(), out);
    out.extend_from_slice(value);
}

/// The key of a field with a length.
fn key(tag: u32, out: &mut Vec<u8>) {
    length((tag << 3 | WireType::LengthDelimited as u32) as usize, out);
}

/// A varint. Nearly all are one byte, which prost's function does not treat apart.
fn length(value: usize, out: &mut Vec<u8>) {
    if value < 0x80 { out.push(value as u8) } else { encode_varint(value as u64, out) }
}

/// A message within a message. Its length precedes it but is known only after it: one byte is kept free, and a message
/// whose length needs more is moved.
fn message(tag: u32, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    key(tag, out);
    let start = out.len();
    out.push(0);
    write(out);
    let length = out.len() - start - 1;
    out[start] = length as u8;
    if length >= 0x80 {
        let mut prefix = Vec::new();
        encode_varint(length as u64, &mut prefix);
        out.splice(start..=start, prefix);
    }
}
