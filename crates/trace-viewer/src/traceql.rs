//! The simple part of TraceQL: conditions on one span, joined by `&&`.
//!
//! `{ resource.service.name = "dice-roller" && name = "GET /roll-async" && duration > 100ms }`
//!
//! Everything else is refused with a reason, so that nobody takes an answer for what was not asked.

mod parse;

use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;

use crate::attributes;
use crate::trace::{StoredSpan, Trace};

pub(crate) use parse::duration;

/// A query: all conditions must hold for the same span.
#[derive(Debug, PartialEq)]
pub(crate) struct Query(pub(crate) Vec<Condition>);

/// A comparison of a span's field with a value.
#[derive(Debug, PartialEq)]
pub(crate) struct Condition {
    pub(crate) field: Field,
    operator: Operator,
    value: Literal,
}

/// What a condition looks at.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Field {
    Name,
    Status,
    StatusMessage,
    Kind,
    Duration,
    TraceDuration,
    RootName,
    RootServiceName,
    Attribute(Scope, String),
}

/// Where an attribute is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    Span,
    Resource,
    /// On the span first, then on the resource.
    Either,
}

/// A value in a query, or that of a span's field.
#[derive(Debug, Clone, PartialEq, PartialOrd)]
enum Literal {
    Text(String),
    Number(f64),
    Flag(bool),
    /// Nanoseconds.
    Duration(f64),
    Status(&'static str),
    Kind(&'static str),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

/// Fields that TraceQL calls intrinsic, as they are written.
pub(crate) const INTRINSICS: [(&str, Field); 8] = [
    ("duration", Field::Duration),
    ("kind", Field::Kind),
    ("name", Field::Name),
    ("rootName", Field::RootName),
    ("rootServiceName", Field::RootServiceName),
    ("status", Field::Status),
    ("statusMessage", Field::StatusMessage),
    ("traceDuration", Field::TraceDuration),
];

impl Query {
    /// Whether `span` of `trace` meets all conditions.
    pub(crate) fn matches(&self, trace: &Trace, span: &StoredSpan) -> bool {
        self.0.iter().all(|condition| condition.holds(trace, span))
    }
}

impl Field {
    /// Reads a field's name: an intrinsic, `.attribute`, `span.attribute` or `resource.attribute`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if let Some((_, field)) = INTRINSICS.iter().find(|(name, _)| *name == text) {
            return Some(field.clone());
        }
        let scopes = [("span.", Scope::Span), ("resource.", Scope::Resource), (".", Scope::Either)];
        let (scope, key) = scopes.iter().find_map(|(prefix, scope)| Some((*scope, text.strip_prefix(prefix)?)))?;
        (!key.is_empty()).then(|| Self::Attribute(scope, key.to_owned()))
    }

    /// The attribute of `span` that the field speaks of.
    pub(crate) fn attribute<'a>(&self, span: &'a StoredSpan) -> Option<(&str, &'a Any)> {
        let Self::Attribute(scope, key) = self else { return None };
        let on_span = || attributes::find(&span.span.attributes, key);
        let on_resource = || attributes::find(&span.origin.resource.attributes, key);
        let value = match scope {
            Scope::Span => on_span(),
            Scope::Resource => on_resource(),
            Scope::Either => on_span().or_else(on_resource),
        };
        Some((key, value?))
    }

    /// The values of the field: none where a span lacks it, several where an attribute is a list.
    fn values(&self, trace: &Trace, span: &StoredSpan) -> Vec<Literal> {
        let text = |text: &str| vec![Literal::Text(text.to_owned())];
        match self {
            Self::Name => text(&span.span.name),
            Self::StatusMessage => text(span.span.status.as_ref().map_or("", |status| &status.message)),
            Self::Status => vec![Literal::Status(status(span))],
            Self::Kind => vec![Literal::Kind(kind(span))],
            Self::Duration => vec![Literal::Duration((span.end() - span.start()) as f64)],
            Self::TraceDuration => vec![Literal::Duration(trace.duration() as f64)],
            Self::RootName => trace.root().map(|root| text(&root.span.name)).unwrap_or_default(),
            Self::RootServiceName => trace.root().map(|root| text(&root.origin.service)).unwrap_or_default(),
            Self::Attribute(..) => self.attribute(span).map(|(_, value)| literals(value)).unwrap_or_default(),
        }
    }
}

/// The span's status as TraceQL writes it.
pub(crate) fn status(span: &StoredSpan) -> &'static str {
    match span.span.status.as_ref().map(|status| status.code()) {
        Some(StatusCode::Ok) => "ok",
        Some(StatusCode::Error) => "error",
        Some(StatusCode::Unset) | None => "unset",
    }
}

/// The span's kind as TraceQL writes it.
pub(crate) fn kind(span: &StoredSpan) -> &'static str {
    match span.span.kind() {
        SpanKind::Unspecified => "unspecified",
        SpanKind::Internal => "internal",
        SpanKind::Server => "server",
        SpanKind::Client => "client",
        SpanKind::Producer => "producer",
        SpanKind::Consumer => "consumer",
    }
}

fn literals(value: &Any) -> Vec<Literal> {
    match value {
        Any::StringValue(text) => vec![Literal::Text(text.clone())],
        Any::BoolValue(flag) => vec![Literal::Flag(*flag)],
        Any::IntValue(number) => vec![Literal::Number(*number as f64)],
        Any::DoubleValue(number) => vec![Literal::Number(*number)],
        Any::ArrayValue(array) => {
            array.values.iter().filter_map(|item| item.value.as_ref()).flat_map(literals).collect()
        }
        Any::KvlistValue(_) | Any::BytesValue(_) | Any::StringValueStrindex(_) => Vec::new(),
    }
}

impl Condition {
    /// Values of different types never meet a condition, and neither does a field that the span lacks.
    fn holds(&self, trace: &Trace, span: &StoredSpan) -> bool {
        self.field.values(trace, span).iter().any(|actual| {
            let same_type = std::mem::discriminant(actual) == std::mem::discriminant(&self.value);
            same_type
                && match self.operator {
                    Operator::Equal => *actual == self.value,
                    Operator::NotEqual => *actual != self.value,
                    Operator::Greater => *actual > self.value,
                    Operator::GreaterOrEqual => *actual >= self.value,
                    Operator::Less => *actual < self.value,
                    Operator::LessOrEqual => *actual <= self.value,
                }
        })
    }
}
