//! A whole trace as the body of a response, written piece by piece while the client reads: a trace of 100,000 spans would
//! take hundreds of megabytes as one message or as one JSON value.

use std::collections::HashMap;
use std::iter::once;
use std::sync::Arc;

use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::Event;
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};
use serde_json::Value;

use crate::span::{LogRecord, StoredSpan};
use crate::trace::Trace;

/// Spans of one resource: those of each scope, by start.
type Group = Vec<Vec<Arc<StoredSpan>>>;

/// A piece of several texts has at most so many bytes.
const PIECE: usize = 32 << 10;

/// Resources and scopes that repeat are held once, so that the same ones have the same address.
fn groups(trace: &Trace) -> Vec<Group> {
    let mut spans: Vec<&Arc<StoredSpan>> = trace.spans.values().collect();
    spans.sort_by_key(|span| span.start());
    let (mut resources, mut scopes) = (HashMap::new(), HashMap::new());
    let mut groups = Vec::<Group>::new();
    for span in spans {
        let resource = *resources.entry(Arc::as_ptr(&span.origin.resource).addr()).or_insert_with(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        let scope = *scopes.entry(Arc::as_ptr(&span.origin).addr()).or_insert_with(|| {
            groups[resource].push(Vec::new());
            groups[resource].len() - 1
        });
        groups[resource][scope].push(span.clone());
    }
    groups
}

/// How JSON is written.
#[derive(Clone, Copy)]
pub(crate) struct Mapping {
    pub(crate) resource: fn(&Resource) -> Value,
    pub(crate) scope: fn(&InstrumentationScope) -> Value,
    pub(crate) span: fn(&Span) -> Value,
    pub(crate) event: fn(&Event) -> Value,
}

/// The list of resources with their spans, between `before` and `after`, in JSON.
pub(crate) fn json(
    trace: &Trace,
    mapping: Mapping,
    before: &'static str,
    after: &'static str,
) -> impl Iterator<Item = Vec<u8>> + Send + use<> {
    let id = trace.id;
    let resources = groups(trace).into_iter().enumerate().flat_map(move |(i, scopes)| {
        let resource = (mapping.resource)(&resource(&scopes));
        let open = format!(r#"{}{{"resource":{resource},"scopeSpans":["#, comma(i));
        let scopes = scopes.into_iter().enumerate().flat_map(move |(i, spans)| {
            let scope = (mapping.scope)(&scope(&spans));
            let open = format!(r#"{}{{"scope":{scope},"spans":["#, comma(i));
            let spans = spans.into_iter().enumerate().map(move |(i, stored)| {
                let mut text = comma(i).as_bytes().to_vec();
                write_span(&mut text, stored.to_otlp(id), mapping);
                text
            });
            once(open.into_bytes()).chain(spans).chain(once(b"]}".to_vec()))
        });
        once(open.into_bytes()).chain(scopes).chain(once(b"]}".to_vec()))
    });
    in_pieces(once(format!("{before}[").into_bytes()).chain(resources).chain(once(format!("]{after}").into_bytes())))
}

/// The list of resources with the log lines of their spans, and `after`, in OTLP's JSON. Of a log line no resource is
/// stored: it is that of its span.
pub(crate) fn logs_json(trace: &Trace, after: &'static str) -> impl Iterator<Item = Vec<u8>> + Send + use<> {
    let id = trace.id;
    let (mut places, mut groups) = (HashMap::new(), Vec::<(Resource, Vec<Arc<LogRecord>>)>::new());
    for line in &trace.logs {
        let span = line.span.and_then(|id| trace.spans.get(&id));
        let resource = span.map(|span| &span.origin.resource);
        let place = *places.entry(resource.map(|resource| Arc::as_ptr(resource).addr())).or_insert_with(|| {
            groups.push((resource.map(|resource| resource.to_otlp()).unwrap_or_default(), Vec::new()));
            groups.len() - 1
        });
        groups[place].1.push(line.clone());
    }
    let resources = groups.into_iter().enumerate().flat_map(move |(i, (resource, lines))| {
        let resource = otlp_json(&resource);
        let open = format!(r#"{}{{"resource":{resource},"scopeLogs":[{{"scope":{{}},"logRecords":["#, comma(i));
        let lines = lines.into_iter().enumerate();
        let lines = lines.map(move |(i, line)| format!("{}{}", comma(i), otlp_json(&line.to_otlp(id))).into_bytes());
        once(open.into_bytes()).chain(lines).chain(once(b"]}]}".to_vec()))
    });
    in_pieces(once(b"[".to_vec()).chain(resources).chain(once(format!("]{after}").into_bytes())))
}

/// A message in OTLP's JSON.
pub(crate) fn otlp_json(message: &impl serde::Serialize) -> Value {
    serde_json::to_value(message).unwrap_or_default()
}

fn comma(position: usize) -> &'static str {
    if position == 0 { "" } else { "," }
}

/// Writes the events one by one: a span may have hundreds of thousands.
fn write_span(text: &mut Vec<u8>, mut span: Span, mapping: Mapping) {
    let events = std::mem::take(&mut span.events);
    let mut fields = (mapping.span)(&span);
    if let Value::Object(fields) = &mut fields {
        fields.shift_remove("events");
    }
    drop(span);
    write_json(text, &fields);
    if !events.is_empty() {
        text.pop();
        text.extend_from_slice(br#","events":["#);
        for (i, event) in events.iter().enumerate() {
            text.extend_from_slice(if i == 0 { b"" } else { b"," });
            write_json(text, &(mapping.event)(event));
        }
        text.extend_from_slice(b"]}");
    }
}

/// Without a text of its own, which may be megabytes.
fn write_json(text: &mut Vec<u8>, value: &Value) {
    // It fails only where the writer does.
    let _ = serde_json::to_writer(text, value);
}

/// The trace in protobuf, as OTLP's `TracesData`; as field 1 of another message if `is_inner`.
pub(crate) fn protobuf(trace: &Trace, is_inner: bool) -> impl Iterator<Item = Vec<u8>> + Send + use<> {
    let id = trace.id;
    // The length of a message comes before it.
    let measured = |scopes: Group| {
        let head = field_len(resource(&scopes).encoded_len());
        let scopes = scopes.into_iter().map(|spans| {
            let all = spans.iter().map(|span| field_len(span.to_otlp(id).encoded_len())).sum::<usize>();
            (field_len(scope(&spans).encoded_len()) + all, spans)
        });
        let scopes: Vec<_> = scopes.collect();
        (head + scopes.iter().map(|(length, _)| field_len(*length)).sum::<usize>(), scopes)
    };
    let resources: Vec<_> = groups(trace).into_iter().map(measured).collect();
    let all = resources.iter().map(|(length, _)| field_len(*length)).sum();
    let start = if is_inner { field(1, all) } else { Vec::new() };
    let resources = resources.into_iter().flat_map(move |(length, scopes)| {
        let head = scopes.first().and_then(|(_, spans)| spans.first()).map(|span| span.origin.resource.to_otlp());
        let open = [field(1, length), message(1, &head.unwrap_or_default())].concat();
        let scopes = scopes.into_iter().flat_map(move |(length, spans)| {
            let open = [field(2, length), message(1, &scope(&spans))].concat();
            once(open).chain(spans.into_iter().map(move |stored| message(2, &stored.to_otlp(id))))
        });
        once(open).chain(scopes)
    });
    in_pieces(once(start).chain(resources))
}

fn resource(scopes: &Group) -> Resource {
    let first = scopes.first().and_then(|spans| spans.first());
    first.map(|span| span.origin.resource.to_otlp()).unwrap_or_default()
}

fn scope(spans: &[Arc<StoredSpan>]) -> InstrumentationScope {
    spans.first().map(|span| span.scope().to_otlp()).unwrap_or_default()
}

/// A field with a message.
fn message(number: u32, content: &impl Message) -> Vec<u8> {
    let mut whole = field(number, content.encoded_len());
    content.encode_raw(&mut whole);
    whole
}

/// The start of a field with a message of `length` bytes; the numbers here are below 16.
fn field(number: u32, length: usize) -> Vec<u8> {
    let mut start = Vec::new();
    encode_key(number, WireType::LengthDelimited, &mut start);
    encode_varint(length as u64, &mut start);
    start
}

fn field_len(length: usize) -> usize {
    1 + encoded_len_varint(length as u64) + length
}

/// Joins small texts; a large one is not copied.
fn in_pieces(texts: impl Iterator<Item = Vec<u8>> + Send) -> impl Iterator<Item = Vec<u8>> + Send {
    let mut texts = texts.peekable();
    std::iter::from_fn(move || {
        let mut piece = texts.next()?;
        while let Some(text) = texts.next_if(|text| piece.len() + text.len() <= PIECE) {
            piece.extend_from_slice(&text);
        }
        Some(piece)
    })
}
