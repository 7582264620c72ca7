//! A span and a log record as they are stored.
//!
//! Half the size of the generated OTLP messages: ids and times are numbers, a key or value of up to 23 bytes needs no
//! heap block, a longer one that repeats is shared (`texts`), and what most spans lack is behind one pointer. Attributes
//! are not kept in their protobuf encoding, which would be smaller still: a search would decode each span again.

use std::sync::Arc;

use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::logs::v1::SeverityNumber;
use opentelemetry_proto::tonic::resource::v1::Resource as OtlpResource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{Span, Status, span};
use smol_str::SmolStr;

use crate::attributes::{self, Attribute, Value};
use crate::ids::{SpanId, TraceId};
use crate::short::short;

/// What a span comes from: resource and instrumentation scope, shared by the spans of a message.
#[derive(Debug, Default)]
pub(crate) struct Origin {
    pub(crate) resource: Arc<Resource>,
    pub(crate) scope: Scope,
    /// Memory of the scope; of the resource see there.
    pub(crate) weight: usize,
}

/// A resource: the process that sent the span.
#[derive(Debug)]
pub(crate) struct Resource {
    /// `service.name`.
    pub(crate) service: SmolStr,
    pub(crate) attributes: Box<[Attribute]>,
    pub(crate) dropped_attributes: u32,
    pub(crate) weight: usize,
}

impl Default for Resource {
    fn default() -> Self {
        // The name is the default of the OpenTelemetry specification.
        let service = SmolStr::new_static("unknown_service");
        Self { service, attributes: Box::default(), dropped_attributes: 0, weight: 0 }
    }
}

/// An instrumentation scope: the library that made the span.
#[derive(Debug, Default)]
pub(crate) struct Scope {
    pub(crate) name: SmolStr,
    pub(crate) version: SmolStr,
    pub(crate) attributes: Box<[Attribute]>,
    pub(crate) dropped_attributes: u32,
}

/// A span.
#[derive(Debug)]
pub(crate) struct StoredSpan {
    pub(crate) id: SpanId,
    pub(crate) parent: Option<SpanId>,
    pub(crate) origin: Arc<Origin>,
    pub(crate) name: SmolStr,
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) attributes: Box<[Attribute]>,
    pub(crate) rest: Option<Box<Rest>>,
    pub(crate) flags: u32,
    /// The numbers of OTLP.
    pub(crate) kind: u8,
    pub(crate) status: u8,
    /// Memory of the span and of what it alone points to.
    pub(crate) weight: u32,
}

/// What most spans lack.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Rest {
    pub(crate) status_message: SmolStr,
    pub(crate) trace_state: SmolStr,
    pub(crate) events: Box<[Event]>,
    pub(crate) links: Box<[Link]>,
    pub(crate) dropped_attributes: u32,
    pub(crate) dropped_events: u32,
    pub(crate) dropped_links: u32,
}

/// An event of a span.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Event {
    /// Nanoseconds since 1970.
    pub(crate) time: u64,
    pub(crate) name: SmolStr,
    pub(crate) attributes: Box<[Attribute]>,
    pub(crate) dropped_attributes: u32,
}

/// A link to a span of this or of another trace.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Link {
    /// As sent, which may be no valid id.
    pub(crate) trace: Box<[u8]>,
    pub(crate) span: Box<[u8]>,
    pub(crate) trace_state: SmolStr,
    pub(crate) attributes: Box<[Attribute]>,
    pub(crate) dropped_attributes: u32,
    pub(crate) flags: u32,
}

/// A log record written in a span.
#[derive(Debug, Default)]
pub(crate) struct LogRecord {
    pub(crate) span: Option<SpanId>,
    /// Nanoseconds since 1970: when it was written, or if that is missing, when it was observed.
    pub(crate) time: u64,
    pub(crate) severity: u8,
    pub(crate) severity_text: SmolStr,
    pub(crate) event_name: SmolStr,
    pub(crate) body: Value,
    pub(crate) attributes: Box<[Attribute]>,
    pub(crate) weight: u32,
}

impl Origin {
    /// Memory of scope and resource.
    pub(crate) fn bytes(&self) -> usize {
        self.weight + self.resource.weight
    }
}

impl StoredSpan {
    /// A span that has nothing but an id.
    #[cfg(test)]
    pub(crate) fn empty(id: SpanId, origin: Arc<Origin>) -> Self {
        Self {
            id,
            parent: None,
            origin,
            name: SmolStr::default(),
            start: 0,
            end: 0,
            attributes: Box::default(),
            rest: None,
            flags: 0,
            kind: 0,
            status: 0,
            weight: 0,
        }
    }

    /// The parent's id; `None` for a root span.
    pub(crate) fn parent(&self) -> Option<SpanId> {
        self.parent
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn service(&self) -> &str {
        &self.origin.resource.service
    }

    /// Unspecified if the sender's OTLP is newer.
    pub(crate) fn kind(&self) -> SpanKind {
        SpanKind::try_from(i32::from(self.kind)).unwrap_or_default()
    }

    pub(crate) fn status(&self) -> StatusCode {
        StatusCode::try_from(i32::from(self.status)).unwrap_or_default()
    }

    pub(crate) fn status_message(&self) -> &str {
        self.rest.as_ref().map_or("", |rest| &rest.status_message)
    }

    /// Nanoseconds since 1970.
    pub(crate) fn start(&self) -> u64 {
        self.start
    }

    /// Nanoseconds since 1970; never before the start, even where the sender's clock was set back.
    pub(crate) fn end(&self) -> u64 {
        self.end.max(self.start)
    }

    /// The span's attribute of this name.
    pub(crate) fn attribute(&self, key: &str) -> Option<&Value> {
        attributes::find(&self.attributes, key)
    }

    /// The attribute of this name of the resource.
    pub(crate) fn resource_attribute(&self, key: &str) -> Option<&Value> {
        attributes::find(self.resource_attributes(), key)
    }

    pub(crate) fn attributes(&self) -> &[Attribute] {
        &self.attributes
    }

    pub(crate) fn resource_attributes(&self) -> &[Attribute] {
        &self.origin.resource.attributes
    }

    pub(crate) fn scope(&self) -> &Scope {
        &self.origin.scope
    }

    pub(crate) fn events(&self) -> &[Event] {
        self.rest.as_ref().map_or(&[], |rest| &rest.events)
    }

    pub(crate) fn links(&self) -> &[Link] {
        self.rest.as_ref().map_or(&[], |rest| &rest.links)
    }

    pub(crate) fn failed(&self) -> bool {
        self.status() == StatusCode::Error
    }

    /// The span as OTLP has it.
    pub(crate) fn to_otlp(&self, trace: TraceId) -> Span {
        let rest = self.rest.as_deref();
        let status = Status { code: self.status.into(), message: self.status_message().to_owned() };
        Span {
            trace_id: trace.to_bytes().to_vec(),
            span_id: self.id.to_bytes().to_vec(),
            trace_state: rest.map(|rest| rest.trace_state.to_string()).unwrap_or_default(),
            parent_span_id: self.parent.map(|id| id.to_bytes().to_vec()).unwrap_or_default(),
            flags: self.flags,
            name: self.name.to_string(),
            kind: self.kind.into(),
            start_time_unix_nano: self.start,
            end_time_unix_nano: self.end,
            attributes: attributes::to_otlp(&self.attributes),
            dropped_attributes_count: rest.map_or(0, |rest| rest.dropped_attributes),
            events: self.events().iter().map(Event::to_otlp).collect(),
            dropped_events_count: rest.map_or(0, |rest| rest.dropped_events),
            links: self.links().iter().map(Link::to_otlp).collect(),
            dropped_links_count: rest.map_or(0, |rest| rest.dropped_links),
            status: (status != Status::default()).then_some(status),
        }
    }
}

impl Event {
    fn to_otlp(&self) -> span::Event {
        span::Event {
            time_unix_nano: self.time,
            name: self.name.to_string(),
            attributes: attributes::to_otlp(&self.attributes),
            dropped_attributes_count: self.dropped_attributes,
        }
    }
}

impl Link {
    fn to_otlp(&self) -> span::Link {
        span::Link {
            trace_id: self.trace.to_vec(),
            span_id: self.span.to_vec(),
            trace_state: self.trace_state.to_string(),
            attributes: attributes::to_otlp(&self.attributes),
            dropped_attributes_count: self.dropped_attributes,
            flags: self.flags,
        }
    }
}

impl Resource {
    /// The resource as OTLP has it.
    pub(crate) fn to_otlp(&self) -> OtlpResource {
        OtlpResource {
            attributes: attributes::to_otlp(&self.attributes),
            dropped_attributes_count: self.dropped_attributes,
            ..OtlpResource::default()
        }
    }
}

impl Scope {
    /// The scope as OTLP has it.
    pub(crate) fn to_otlp(&self) -> InstrumentationScope {
        InstrumentationScope {
            name: self.name.to_string(),
            version: self.version.to_string(),
            attributes: attributes::to_otlp(&self.attributes),
            dropped_attributes_count: self.dropped_attributes,
        }
    }
}

impl LogRecord {
    /// The severity's text, or if it has none, the name of its number: `ERROR` for 17 to 20.
    pub(crate) fn level(&self) -> String {
        if !self.severity_text.is_empty() {
            return short(&self.severity_text).to_uppercase();
        }
        match SeverityNumber::try_from(i32::from(self.severity)).unwrap_or_default() {
            SeverityNumber::Unspecified => String::new(),
            number => number
                .as_str_name()
                .trim_start_matches("SEVERITY_NUMBER_")
                .trim_end_matches(char::is_numeric)
                .to_owned(),
        }
    }
}
