//! A trace in JSON, written from the store piece by piece: as one JSON value, an attribute with half a million items would
//! take hundreds of megabytes.
//!
//! In both mappings fields that hold their default are left out. The serde support of `opentelemetry-proto` was tried for
//! OTLP's: it needs a copy of the whole span as a message. A test compares what it writes with what this writes.

use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;

use base64::Engine;
use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::json;

use crate::attributes::{Attribute, Double, Value};
use crate::ids::{TraceId, hex};
use crate::span::{Event, Link, LogRecord, Resource, Scope, StoredSpan};
use crate::trace::{Group, Trace};

/// How ids and enums are written.
#[derive(Clone, Copy)]
enum Mapping {
    /// Ids in hexadecimal digits, enums as numbers.
    Otlp,
    /// As Tempo responds: ids in base64, enums as names.
    Tempo,
}

/// Writes the response of `/api/traces/{id}`.
pub(crate) fn version_1(trace: &Trace, out: &mut dyn Write) -> serde_json::Result<()> {
    #[derive(Serialize)]
    struct Response<T> {
        batches: T,
    }
    serde_json::to_writer(out, &Response { batches: spans(Mapping::Tempo, trace.id, &trace.groups()) })
}

/// Writes the response of `/api/v2/traces/{id}`.
pub(crate) fn version_2(trace: &Trace, out: &mut dyn Write) -> serde_json::Result<()> {
    #[derive(Serialize)]
    struct Response<T> {
        trace: T,
        metrics: serde_json::Value,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Spans<T> {
        resource_spans: T,
    }
    let groups = trace.groups();
    let trace = Spans { resource_spans: spans(Mapping::Tempo, trace.id, &groups) };
    serde_json::to_writer(out, &Response { trace, metrics: json!({}) })
}

/// Writes the spans and their log records in OTLP's mapping.
pub(crate) fn otlp(trace: &Trace, out: &mut dyn Write) -> serde_json::Result<()> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct File<S, L> {
        resource_spans: S,
        #[serde(skip_serializing_if = "Option::is_none")]
        resource_logs: Option<L>,
    }
    let (groups, records) = (trace.groups(), records(trace));
    let resource_logs = (!records.is_empty()).then(|| logs(trace.id, &records));
    serde_json::to_writer(out, &File { resource_spans: spans(Mapping::Otlp, trace.id, &groups), resource_logs })
}

/// Items that are made while they are written.
struct Each<F>(F);

impl<I: Iterator<Item: Serialize>, F: Fn() -> I> Serialize for Each<F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq((self.0)())
    }
}

/// The spans by resource and scope.
fn spans(mapping: Mapping, id: TraceId, groups: &[Group<'_>]) -> impl Serialize {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct ResourceSpans<R, S> {
        resource: R,
        scope_spans: S,
    }
    #[derive(Serialize)]
    struct ScopeSpans<C, S> {
        scope: C,
        spans: S,
    }
    Each(move || {
        groups.iter().map(move |scopes| ResourceSpans {
            resource: In(mapping, &*scopes[0][0].origin.resource),
            scope_spans: Each(move || {
                scopes.iter().map(move |spans| ScopeSpans {
                    scope: In(mapping, spans[0].scope()),
                    spans: Each(move || spans.iter().map(move |span| In(mapping, (id, *span)))),
                })
            }),
        })
    })
}

/// The log records of each resource. None is stored of a log record: it is that of its span.
fn records(trace: &Trace) -> Vec<(Option<&Resource>, Vec<&LogRecord>)> {
    let (mut places, mut groups) = (HashMap::new(), Vec::<(Option<&Resource>, Vec<&LogRecord>)>::new());
    for record in &trace.logs {
        let span = record.span.and_then(|id| trace.spans.get(&id));
        let resource = span.map(|span| &span.origin.resource);
        let place = *places.entry(resource.map(|resource| Arc::as_ptr(resource).addr())).or_insert_with(|| {
            groups.push((resource.map(|resource| &**resource), Vec::new()));
            groups.len() - 1
        });
        groups[place].1.push(record);
    }
    groups
}

/// The log records by resource.
fn logs(id: TraceId, groups: &[(Option<&Resource>, Vec<&LogRecord>)]) -> impl Serialize {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct ResourceLogs<'a, S> {
        #[serde(skip_serializing_if = "Option::is_none")]
        resource: Option<In<&'a Resource>>,
        scope_logs: [S; 1],
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct ScopeLogs<R> {
        log_records: R,
    }
    Each(move || {
        groups.iter().map(move |(resource, records)| ResourceLogs {
            resource: resource.map(|resource| In(Mapping::Otlp, resource)),
            scope_logs: [ScopeLogs {
                log_records: Each(move || records.iter().map(move |record| In(Mapping::Otlp, (id, *record)))),
            }],
        })
    })
}

/// What is stored, in a mapping.
struct In<T>(Mapping, T);

/// The fields of an object, without those that hold their default.
struct Fields<M> {
    mapping: Mapping,
    map: M,
}

impl<M: SerializeMap> Fields<M> {
    fn text(&mut self, name: &'static str, text: &str) -> Result<(), M::Error> {
        if text.is_empty() { Ok(()) } else { self.map.serialize_entry(name, text) }
    }

    fn id(&mut self, name: &'static str, id: &[u8]) -> Result<(), M::Error> {
        match self.mapping {
            Mapping::Otlp => self.text(name, &hex(id)),
            Mapping::Tempo => self.text(name, &STANDARD.encode(id)),
        }
    }

    fn count(&mut self, name: &'static str, count: u32) -> Result<(), M::Error> {
        if count == 0 { Ok(()) } else { self.map.serialize_entry(name, &count) }
    }

    /// Integers of 64 bits are texts, as JavaScript's numbers are exact up to 2^53 only.
    fn time(&mut self, name: &'static str, nanos: u64) -> Result<(), M::Error> {
        if nanos == 0 { Ok(()) } else { self.map.serialize_entry(name, &nanos.to_string()) }
    }

    /// `label` is absent where the number is of a newer OTLP.
    fn number(&mut self, name: &'static str, number: u8, label: Option<&str>) -> Result<(), M::Error> {
        match (number, self.mapping, label) {
            (0, ..) => Ok(()),
            (_, Mapping::Tempo, Some(label)) => self.map.serialize_entry(name, label),
            _ => self.map.serialize_entry(name, &number),
        }
    }

    fn list<'a, T: 'a>(&mut self, name: &'static str, items: &'a [T]) -> Result<(), M::Error>
    where
        In<&'a T>: Serialize,
    {
        let mapping = self.mapping;
        if items.is_empty() {
            return Ok(());
        }
        self.map.serialize_entry(name, &Each(|| items.iter().map(|item| In(mapping, item))))
    }
}

impl Serialize for In<&Resource> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(mapping, resource) = *self;
        let mut fields = Fields { mapping, map: serializer.serialize_map(None)? };
        fields.list("attributes", &resource.attributes)?;
        fields.count("droppedAttributesCount", resource.dropped_attributes)?;
        fields.map.end()
    }
}

impl Serialize for In<&Scope> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(mapping, scope) = *self;
        let mut fields = Fields { mapping, map: serializer.serialize_map(None)? };
        fields.text("name", &scope.name)?;
        fields.text("version", &scope.version)?;
        fields.list("attributes", &scope.attributes)?;
        fields.count("droppedAttributesCount", scope.dropped_attributes)?;
        fields.map.end()
    }
}

impl Serialize for In<(TraceId, &StoredSpan)> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(mapping, (trace, span)) = *self;
        let mut fields = Fields { mapping, map: serializer.serialize_map(None)? };
        let rest = span.rest.as_deref();
        let label = SpanKind::try_from(i32::from(span.kind)).ok().map(|kind| kind.as_str_name());
        fields.id("traceId", &trace.to_bytes())?;
        fields.id("spanId", &span.id.to_bytes())?;
        fields.text("traceState", rest.map_or("", |rest| &rest.trace_state))?;
        if let Some(parent) = span.parent {
            fields.id("parentSpanId", &parent.to_bytes())?;
        }
        fields.count("flags", span.flags)?;
        fields.text("name", &span.name)?;
        fields.number("kind", span.kind, label)?;
        fields.time("startTimeUnixNano", span.start)?;
        fields.time("endTimeUnixNano", span.end)?;
        fields.list("attributes", &span.attributes)?;
        fields.count("droppedAttributesCount", rest.map_or(0, |rest| rest.dropped_attributes))?;
        fields.list("events", span.events())?;
        fields.count("droppedEventsCount", rest.map_or(0, |rest| rest.dropped_events))?;
        fields.list("links", span.links())?;
        fields.count("droppedLinksCount", rest.map_or(0, |rest| rest.dropped_links))?;
        if span.status > 0 || !span.status_message().is_empty() {
            fields.map.serialize_entry("status", &In(mapping, OfStatus(span)))?;
        }
        fields.map.end()
    }
}

/// The status of a span.
#[derive(Clone, Copy)]
struct OfStatus<'a>(&'a StoredSpan);

impl Serialize for In<OfStatus<'_>> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(mapping, OfStatus(span)) = *self;
        let mut fields = Fields { mapping, map: serializer.serialize_map(None)? };
        let label = StatusCode::try_from(i32::from(span.status)).ok().map(|code| code.as_str_name());
        fields.text("message", span.status_message())?;
        fields.number("code", span.status, label)?;
        fields.map.end()
    }
}

impl Serialize for In<&Event> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(mapping, event) = *self;
        let mut fields = Fields { mapping, map: serializer.serialize_map(None)? };
        fields.time("timeUnixNano", event.time)?;
        fields.text("name", &event.name)?;
        fields.list("attributes", &event.attributes)?;
        fields.count("droppedAttributesCount", event.dropped_attributes)?;
        fields.map.end()
    }
}

impl Serialize for In<&Link> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(mapping, link) = *self;
        let mut fields = Fields { mapping, map: serializer.serialize_map(None)? };
        fields.id("traceId", &link.trace)?;
        fields.id("spanId", &link.span)?;
        fields.text("traceState", &link.trace_state)?;
        fields.list("attributes", &link.attributes)?;
        fields.count("droppedAttributesCount", link.dropped_attributes)?;
        fields.count("flags", link.flags)?;
        fields.map.end()
    }
}

impl Serialize for In<(TraceId, &LogRecord)> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(mapping, (trace, record)) = *self;
        let mut fields = Fields { mapping, map: serializer.serialize_map(None)? };
        fields.time("timeUnixNano", record.time)?;
        fields.number("severityNumber", record.severity, None)?;
        fields.text("severityText", &record.severity_text)?;
        if record.body != Value::Empty {
            fields.map.serialize_entry("body", &In(mapping, &record.body))?;
        }
        fields.list("attributes", &record.attributes)?;
        fields.id("traceId", &trace.to_bytes())?;
        if let Some(span) = record.span {
            fields.id("spanId", &span.to_bytes())?;
        }
        fields.text("eventName", &record.event_name)?;
        fields.map.end()
    }
}

impl Serialize for In<&Attribute> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(mapping, Attribute { key, value }) = *self;
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("key", key.as_str())?;
        map.serialize_entry("value", &In(mapping, value))?;
        map.end()
    }
}

impl Serialize for In<&Value> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(mapping, value) = *self;
        let mut map = serializer.serialize_map(None)?;
        match value {
            Value::Empty => {}
            Value::Text(text) => map.serialize_entry("stringValue", text.as_str())?,
            Value::Bool(flag) => map.serialize_entry("boolValue", flag)?,
            Value::Int(number) => map.serialize_entry("intValue", &number.to_string())?,
            Value::Double(number) => map.serialize_entry("doubleValue", &Double(*number))?,
            Value::Array(items) => map.serialize_entry("arrayValue", &Values(mapping, items))?,
            Value::Map(pairs) => map.serialize_entry("kvlistValue", &Values(mapping, pairs))?,
            Value::Bytes(bytes) => {
                map.serialize_entry("bytesValue", &format_args!("{}", Base64Display::new(bytes, &STANDARD)))?;
            }
        }
        map.end()
    }
}

/// The items of a list or map.
struct Values<'a, T>(Mapping, &'a [T]);

impl<'a, T> Serialize for Values<'a, T>
where
    In<&'a T>: Serialize,
{
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(mapping, items) = *self;
        let mut fields = Fields { mapping, map: serializer.serialize_map(None)? };
        match mapping {
            // Some readers refuse a list without `values`.
            Mapping::Otlp => {
                fields.map.serialize_entry("values", &Each(|| items.iter().map(|item| In(mapping, item))))?
            }
            Mapping::Tempo => fields.list("values", items)?,
        }
        fields.map.end()
    }
}
