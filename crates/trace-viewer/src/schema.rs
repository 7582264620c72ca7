//! OTLP's messages as a table: the fields of each with number, JSON name and type.
//!
//! With it `check` counts the messages in a protobuf message before anything is decoded, and `json` reads OTLP/JSON.

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;

/// A message's fields.
pub(crate) struct Message(&'static [Entry]);

/// A field.
pub(crate) struct Entry {
    pub(crate) number: u32,
    /// In lowerCamelCase, as OTLP/JSON has it.
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
}

/// The type of a field.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Text,
    /// Bytes that JSON has as hexadecimal digits: ids, and nothing else.
    Id,
    /// Bytes that JSON has as base64.
    Bytes,
    Bool,
    Int64,
    Uint32,
    Fixed32,
    Fixed64,
    Double,
    /// A number, which JSON may have as a name.
    Enum(fn(&str) -> Option<i32>),
    Message(&'static Message),
}

impl Message {
    pub(crate) fn numbered(&self, number: u32) -> Option<&'static Entry> {
        // Most are where their number says.
        let there = self.0.get((number as usize).wrapping_sub(1)).filter(|entry| entry.number == number);
        there.or_else(|| self.0.iter().find(|entry| entry.number == number))
    }

    /// The field that JSON calls `name`: in lowerCamelCase, or as in the `.proto` file.
    pub(crate) fn named(&self, name: &str) -> Option<&'static Entry> {
        self.0.iter().find(|entry| {
            let (mut is_start, mut camel) = (false, entry.name.chars());
            name.chars().all(|c| {
                let expected = if is_start { c.to_ascii_uppercase() } else { c };
                is_start = c == '_';
                is_start || camel.next() == Some(expected)
            }) && camel.next().is_none()
        })
    }
}

const fn field(number: u32, name: &'static str, kind: Kind) -> Entry {
    Entry { number, name, kind }
}

/// `ExportTraceServiceRequest`.
pub(crate) static TRACES: Message = Message(&[field(1, "resourceSpans", Kind::Message(&RESOURCE_SPANS))]);

/// `ExportLogsServiceRequest`.
pub(crate) static LOGS: Message = Message(&[field(1, "resourceLogs", Kind::Message(&RESOURCE_LOGS))]);

static RESOURCE_SPANS: Message = Message(&[
    field(1, "resource", Kind::Message(&RESOURCE)),
    field(2, "scopeSpans", Kind::Message(&SCOPE_SPANS)),
    field(3, "schemaUrl", Kind::Text),
]);

static RESOURCE_LOGS: Message = Message(&[
    field(1, "resource", Kind::Message(&RESOURCE)),
    field(2, "scopeLogs", Kind::Message(&SCOPE_LOGS)),
    field(3, "schemaUrl", Kind::Text),
]);

static SCOPE_SPANS: Message = Message(&[
    field(1, "scope", Kind::Message(&SCOPE)),
    field(2, "spans", Kind::Message(&SPAN)),
    field(3, "schemaUrl", Kind::Text),
]);

static SCOPE_LOGS: Message = Message(&[
    field(1, "scope", Kind::Message(&SCOPE)),
    field(2, "logRecords", Kind::Message(&LOG_RECORD)),
    field(3, "schemaUrl", Kind::Text),
]);

static RESOURCE: Message = Message(&[
    field(1, "attributes", Kind::Message(&KEY_VALUE)),
    field(2, "droppedAttributesCount", Kind::Uint32),
    // What it holds is not stored.
    field(3, "entityRefs", Kind::Message(&NOTHING)),
]);

static SCOPE: Message = Message(&[
    field(1, "name", Kind::Text),
    field(2, "version", Kind::Text),
    field(3, "attributes", Kind::Message(&KEY_VALUE)),
    field(4, "droppedAttributesCount", Kind::Uint32),
]);

static SPAN: Message = Message(&[
    field(1, "traceId", Kind::Id),
    field(2, "spanId", Kind::Id),
    field(3, "traceState", Kind::Text),
    field(4, "parentSpanId", Kind::Id),
    field(5, "name", Kind::Text),
    field(6, "kind", Kind::Enum(|name| SpanKind::from_str_name(name).map(|kind| kind as i32))),
    field(7, "startTimeUnixNano", Kind::Fixed64),
    field(8, "endTimeUnixNano", Kind::Fixed64),
    field(9, "attributes", Kind::Message(&KEY_VALUE)),
    field(10, "droppedAttributesCount", Kind::Uint32),
    field(11, "events", Kind::Message(&EVENT)),
    field(12, "droppedEventsCount", Kind::Uint32),
    field(13, "links", Kind::Message(&LINK)),
    field(14, "droppedLinksCount", Kind::Uint32),
    field(15, "status", Kind::Message(&STATUS)),
    field(16, "flags", Kind::Fixed32),
]);

static EVENT: Message = Message(&[
    field(1, "timeUnixNano", Kind::Fixed64),
    field(2, "name", Kind::Text),
    field(3, "attributes", Kind::Message(&KEY_VALUE)),
    field(4, "droppedAttributesCount", Kind::Uint32),
]);

static LINK: Message = Message(&[
    field(1, "traceId", Kind::Id),
    field(2, "spanId", Kind::Id),
    field(3, "traceState", Kind::Text),
    field(4, "attributes", Kind::Message(&KEY_VALUE)),
    field(5, "droppedAttributesCount", Kind::Uint32),
    field(6, "flags", Kind::Fixed32),
]);

static STATUS: Message = Message(&[
    field(2, "message", Kind::Text),
    field(3, "code", Kind::Enum(|name| StatusCode::from_str_name(name).map(|code| code as i32))),
]);

static LOG_RECORD: Message = Message(&[
    field(1, "timeUnixNano", Kind::Fixed64),
    field(2, "severityNumber", Kind::Enum(|_| None)),
    field(3, "severityText", Kind::Text),
    field(5, "body", Kind::Message(&ANY_VALUE)),
    field(6, "attributes", Kind::Message(&KEY_VALUE)),
    field(7, "droppedAttributesCount", Kind::Uint32),
    field(8, "flags", Kind::Fixed32),
    field(9, "traceId", Kind::Id),
    field(10, "spanId", Kind::Id),
    field(11, "observedTimeUnixNano", Kind::Fixed64),
    field(12, "eventName", Kind::Text),
]);

static KEY_VALUE: Message = Message(&[field(1, "key", Kind::Text), field(2, "value", Kind::Message(&ANY_VALUE))]);

static ANY_VALUE: Message = Message(&[
    field(1, "stringValue", Kind::Text),
    field(2, "boolValue", Kind::Bool),
    field(3, "intValue", Kind::Int64),
    field(4, "doubleValue", Kind::Double),
    field(5, "arrayValue", Kind::Message(&ARRAY)),
    field(6, "kvlistValue", Kind::Message(&PAIRS)),
    field(7, "bytesValue", Kind::Bytes),
]);

static ARRAY: Message = Message(&[field(1, "values", Kind::Message(&ANY_VALUE))]);

static PAIRS: Message = Message(&[field(1, "values", Kind::Message(&KEY_VALUE))]);

static NOTHING: Message = Message(&[]);
