//! The simple part of TraceQL: conditions on one span, joined by `&&`. Everything else is refused with a reason.
//!
//! `{ resource.service.name = "dice-roller" && name = "GET /roll-async" && duration > 100ms }`

mod parse;

use std::mem::discriminant;

use crate::attributes::Value;
use crate::span::StoredSpan;
use crate::trace::Trace;

pub(crate) use parse::{duration, quoted};

/// A query: all conditions must hold for the same span.
#[derive(Debug)]
pub(crate) struct Query(pub(crate) Vec<Condition>);

/// A comparison of a span's field with a value.
#[derive(Debug)]
pub(crate) struct Condition {
    pub(crate) field: Field,
    operator: Operator,
    value: Literal,
}

/// What a condition compares.
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

/// Where an attribute is searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    Span,
    Resource,
    /// On the span first, then on the resource.
    Either,
}

/// A value in a query, or that of a span's field.
#[derive(Debug, Clone, PartialEq, PartialOrd)]
pub(crate) enum Literal {
    Text(String),
    Number(f64),
    Flag(bool),
    /// Nanoseconds.
    Duration(f64),
    /// A status or a kind.
    Keyword(&'static str),
}

/// Compares the value of a span's field with the one in the query.
type Operator = fn(&Literal, &Literal) -> bool;

/// The names of the statuses and of the kinds in TraceQL, each at the index of its number in OTLP.
const STATUSES: [&str; 3] = ["unset", "ok", "error"];
const KINDS: [&str; 6] = ["unspecified", "internal", "server", "client", "producer", "consumer"];

/// The fields that TraceQL calls intrinsics.
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
    /// Parses a field's name: an intrinsic, `.attribute`, `span.attribute` or `resource.attribute`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if let Some((_, field)) = INTRINSICS.iter().find(|(name, _)| *name == text) {
            return Some(field.clone());
        }
        let scopes = [("span.", Scope::Span), ("resource.", Scope::Resource), (".", Scope::Either)];
        let (scope, key) = scopes.iter().find_map(|(prefix, scope)| Some((*scope, text.strip_prefix(prefix)?)))?;
        (!key.is_empty()).then(|| Self::Attribute(scope, key.to_owned()))
    }

    /// Key and value of the attribute of `span` that the field names.
    pub(crate) fn attribute<'a>(&self, span: &'a StoredSpan) -> Option<(&str, &'a Value)> {
        let Self::Attribute(scope, key) = self else { return None };
        let on_span = || span.attribute(key);
        let on_resource = || span.resource_attribute(key);
        let value = match scope {
            Scope::Span => on_span(),
            Scope::Resource => on_resource(),
            Scope::Either => on_span().or_else(on_resource),
        };
        Some((key, value?))
    }

    /// The values of the field: none where a span lacks it, several where an attribute is a list.
    pub(crate) fn values(&self, trace: &Trace, span: &StoredSpan) -> Vec<Literal> {
        let text = |text: &str| vec![Literal::Text(text.to_owned())];
        match self {
            Self::Name => text(span.name()),
            Self::StatusMessage => text(span.status_message()),
            Self::Status => vec![Literal::Keyword(status(span))],
            Self::Kind => vec![Literal::Keyword(kind(span))],
            Self::Duration => vec![Literal::Duration((span.end() - span.start()) as f64)],
            Self::TraceDuration => vec![Literal::Duration(trace.duration() as f64)],
            Self::RootName => trace.root().map(|root| text(root.name())).unwrap_or_default(),
            Self::RootServiceName => trace.root().map(|root| text(root.service())).unwrap_or_default(),
            Self::Attribute(..) => self.attribute(span).map(|(_, value)| literals(value)).unwrap_or_default(),
        }
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

fn literals(value: &Value) -> Vec<Literal> {
    match value {
        Value::Text(text) => vec![Literal::Text(text.to_string())],
        Value::Bool(flag) => vec![Literal::Flag(*flag)],
        Value::Int(number) => vec![Literal::Number(*number as f64)],
        Value::Double(number) => vec![Literal::Number(*number)],
        Value::Array(values) => values.iter().flat_map(literals).collect(),
        Value::Map(_) | Value::Bytes(_) | Value::Empty => Vec::new(),
    }
}

impl Condition {
    /// False where the span lacks the field, and where the types differ.
    fn holds(&self, trace: &Trace, span: &StoredSpan) -> bool {
        let same_type = |actual: &Literal| discriminant(actual) == discriminant(&self.value);
        let mut values = self.field.values(trace, span).into_iter().filter(same_type);
        values.any(|actual| (self.operator)(&actual, &self.value))
    }
}
