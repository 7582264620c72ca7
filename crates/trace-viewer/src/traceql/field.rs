//! What a condition can compare: attributes and intrinsics of a span.

use std::borrow::Cow;

use super::evaluate::TraceContext;
use super::{Value, parse};
use crate::attributes::{self, Attribute};
use crate::ids::hex;
use crate::span::{Event, Link, StoredSpan};

/// A field of a span.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Field {
    Attribute(Scope, String),
    Intrinsic(Intrinsic),
}

/// Where an attribute is searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    Span,
    Resource,
    Event,
    Link,
    Instrumentation,
    /// In all of these; the first that has it counts.
    Any,
}

/// A field that is no attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Intrinsic {
    Duration,
    Name,
    Status,
    StatusMessage,
    Kind,
    ChildCount,
    TraceDuration,
    RootName,
    RootServiceName,
    NestedSetLeft,
    NestedSetRight,
    NestedSetParent,
    TraceId,
    SpanId,
    ParentId,
    EventName,
    EventTimeSinceStart,
    LinkTraceId,
    LinkSpanId,
    InstrumentationName,
    InstrumentationVersion,
}

/// The names of the statuses and of the kinds in TraceQL, each at the index of its number in OTLP.
pub(super) const STATUSES: [&str; 3] = ["unset", "ok", "error"];
pub(super) const KINDS: [&str; 6] = ["unspecified", "internal", "server", "client", "producer", "consumer"];

/// The names of the intrinsics. Of two names for the same, a response has the first.
pub(crate) const INTRINSICS: [(&str, Intrinsic); 29] = [
    ("duration", Intrinsic::Duration),
    ("name", Intrinsic::Name),
    ("status", Intrinsic::Status),
    ("statusMessage", Intrinsic::StatusMessage),
    ("kind", Intrinsic::Kind),
    ("rootServiceName", Intrinsic::RootServiceName),
    ("rootName", Intrinsic::RootName),
    ("traceDuration", Intrinsic::TraceDuration),
    ("nestedSetLeft", Intrinsic::NestedSetLeft),
    ("nestedSetRight", Intrinsic::NestedSetRight),
    ("nestedSetParent", Intrinsic::NestedSetParent),
    ("event:name", Intrinsic::EventName),
    ("event:timeSinceStart", Intrinsic::EventTimeSinceStart),
    ("link:spanID", Intrinsic::LinkSpanId),
    ("link:traceID", Intrinsic::LinkTraceId),
    ("instrumentation:name", Intrinsic::InstrumentationName),
    ("instrumentation:version", Intrinsic::InstrumentationVersion),
    ("trace:id", Intrinsic::TraceId),
    ("span:id", Intrinsic::SpanId),
    ("span:parentID", Intrinsic::ParentId),
    ("span:childCount", Intrinsic::ChildCount),
    ("span:status", Intrinsic::Status),
    ("span:statusMessage", Intrinsic::StatusMessage),
    ("span:duration", Intrinsic::Duration),
    ("span:name", Intrinsic::Name),
    ("span:kind", Intrinsic::Kind),
    ("trace:rootName", Intrinsic::RootName),
    ("trace:rootService", Intrinsic::RootServiceName),
    ("trace:duration", Intrinsic::TraceDuration),
];

impl Field {
    /// Parses a field's name as a query writes it.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        parse::field(text)
    }

    /// The name in a response.
    pub(crate) fn key(&self) -> &str {
        match self {
            Self::Attribute(_, key) => key,
            Self::Intrinsic(intrinsic) => {
                INTRINSICS.iter().find(|(_, other)| other == intrinsic).map_or("", |(name, _)| name)
            }
        }
    }

    /// The field's value for `span`.
    pub(crate) fn value<'a>(&'a self, context: &TraceContext<'a>, span: &'a StoredSpan) -> Value<'a> {
        match self {
            Self::Attribute(scope, key) => attribute(*scope, key, span),
            Self::Intrinsic(intrinsic) => intrinsic.value(context, span),
        }
    }
}

impl Intrinsic {
    fn value<'a>(self, context: &TraceContext<'a>, span: &'a StoredSpan) -> Value<'a> {
        match self {
            Self::Duration => Value::Duration((span.end() - span.start()) as i64),
            Self::Name => Value::text(span.name()),
            Self::Status => Value::Status(status(span)),
            Self::StatusMessage => Value::text(span.status_message()),
            Self::Kind => Value::Kind(kind(span)),
            Self::TraceDuration => Value::Duration(context.duration as i64),
            Self::RootName => Value::text(context.root_name),
            Self::RootServiceName => Value::text(context.root_service),
            Self::ChildCount => Value::Integer(context.place(span.id).children),
            Self::NestedSetLeft => Value::Integer(context.place(span.id).left),
            Self::NestedSetRight => Value::Integer(context.place(span.id).right),
            Self::NestedSetParent => Value::Integer(context.place(span.id).parent),
            Self::TraceId => Value::Text(context.trace_id.as_str().to_owned().into()),
            Self::SpanId => Value::Text(span.id.to_string().into()),
            Self::ParentId => Value::Text(span.parent().map(|id| id.to_string()).unwrap_or_default().into()),
            Self::EventName => Each::value(span, Of::EventName),
            Self::EventTimeSinceStart => Each::value(span, Of::EventTime),
            Self::LinkTraceId => Each::value(span, Of::LinkTrace),
            Self::LinkSpanId => Each::value(span, Of::LinkSpan),
            Self::InstrumentationName => Value::text(&span.scope().name),
            Self::InstrumentationVersion => Value::text(&span.scope().version),
        }
    }
}

fn attribute<'a>(scope: Scope, key: &'a str, span: &'a StoredSpan) -> Value<'a> {
    let set = |value: &Value<'_>| *value != Value::Nil;
    match scope {
        Scope::Span => span.attribute(key).map_or(Value::Nil, value),
        Scope::Resource => span.resource_attribute(key).map_or(Value::Nil, value),
        Scope::Instrumentation => in_list(&span.scope().attributes, key),
        Scope::Event => Each::value(span, Of::EventAttribute(key)),
        Scope::Link => Each::value(span, Of::LinkAttribute(key)),
        Scope::Any => [Scope::Span, Scope::Resource, Scope::Event, Scope::Link, Scope::Instrumentation]
            .into_iter()
            .map(|scope| attribute(scope, key, span))
            .find(set)
            .unwrap_or(Value::Nil),
    }
}

fn in_list<'a>(list: &'a [Attribute], key: &str) -> Value<'a> {
    attributes::find(list, key).map_or(Value::Nil, value)
}

/// One value for each event or link of a span; made one by one, as there may be half a million.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Each<'a> {
    span: &'a StoredSpan,
    of: Of<'a>,
}

#[derive(Debug, Clone, Copy)]
enum Of<'a> {
    EventName,
    EventTime,
    EventAttribute(&'a str),
    LinkTrace,
    LinkSpan,
    LinkAttribute(&'a str),
}

impl<'a> Each<'a> {
    /// `Nil` where there is none.
    fn value(span: &'a StoredSpan, of: Of<'a>) -> Value<'a> {
        let each = Self { span, of };
        if each.iter().next().is_some() { Value::Each(each) } else { Value::Nil }
    }

    pub(super) fn iter(self) -> impl Iterator<Item = Value<'a>> {
        let Self { span, of } = self;
        let of_event = move |event: &'a Event| match of {
            Of::EventName => Value::text(&event.name),
            Of::EventTime => Value::Duration(event.time.wrapping_sub(span.start()) as i64),
            Of::EventAttribute(key) => in_list(&event.attributes, key),
            Of::LinkTrace | Of::LinkSpan | Of::LinkAttribute(_) => Value::Nil,
        };
        let of_link = move |link: &'a Link| match of {
            Of::LinkTrace => Value::Text(hex(&link.trace).into()),
            Of::LinkSpan => Value::Text(hex(&link.span).into()),
            Of::LinkAttribute(key) => in_list(&link.attributes, key),
            Of::EventName | Of::EventTime | Of::EventAttribute(_) => Value::Nil,
        };
        let values = span.events().iter().map(of_event).chain(span.links().iter().map(of_link));
        values.filter(|value| *value != Value::Nil)
    }
}

impl PartialEq for Each<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

/// Maps and bytes have no type in TraceQL.
pub(super) fn value(value: &attributes::Value) -> Value<'_> {
    match value {
        attributes::Value::Text(text) => Value::text(text),
        attributes::Value::Bool(flag) => Value::Flag(*flag),
        attributes::Value::Int(number) => Value::Integer(*number),
        attributes::Value::Double(number) => Value::Float(*number),
        attributes::Value::Array(items) => Value::List(Cow::Borrowed(items)),
        attributes::Value::Map(_) | attributes::Value::Bytes(_) | attributes::Value::Empty => Value::Nil,
    }
}

/// The span's status as TraceQL writes it.
pub(crate) fn status(span: &StoredSpan) -> &'static str {
    STATUSES[span.status() as usize]
}

/// The span's kind as TraceQL writes it.
pub(crate) fn kind(span: &StoredSpan) -> &'static str {
    KINDS[span.kind() as usize]
}
