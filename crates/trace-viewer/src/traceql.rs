//! The simple part of TraceQL: conditions on one span, joined by `&&`.
//!
//! `{ resource.service.name = "dice-roller" && name = "GET /roll-async" && duration > 100ms }`
//!
//! Everything else is refused with a reason, so that nobody takes an answer for what was not asked.

use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;

use crate::attributes;
use crate::trace::{StoredSpan, Trace};

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

const STATUSES: [&str; 3] = ["unset", "ok", "error"];
const KINDS: [&str; 6] = ["unspecified", "internal", "server", "client", "producer", "consumer"];

impl Query {
    /// Reads a query.
    ///
    /// # Errors
    /// What was expected, and at which character.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut parser = Parser { text, at: 0 };
        parser.expect("{")?;
        let mut conditions = Vec::new();
        if !parser.take("}") {
            conditions.push(parser.condition()?);
            while !parser.take("}") {
                parser.expect("&&")?;
                conditions.push(parser.condition()?);
            }
        }
        if parser.rest().is_empty() { Ok(Self(conditions)) } else { Err(parser.error("the end of the query")) }
    }

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

struct Parser<'a> {
    text: &'a str,
    /// In bytes.
    at: usize,
}

impl<'a> Parser<'a> {
    fn rest(&mut self) -> &'a str {
        let rest = self.text[self.at..].trim_start();
        self.at = self.text.len() - rest.len();
        rest
    }

    fn take(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    fn expect(&mut self, token: &str) -> Result<(), String> {
        if self.take(token) { Ok(()) } else { Err(self.error(&format!("`{token}`"))) }
    }

    fn error(&mut self, expected: &str) -> String {
        let found = self.rest().chars().take(12).collect::<String>();
        let at = self.text[..self.at].chars().count() + 1;
        let found = if found.is_empty() { "nothing".to_owned() } else { format!("`{found}`") };
        format!("expected {expected} at character {at}, found {found}")
    }

    fn word(&mut self) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|c: char| c.is_whitespace() || "{}()=!<>&|~,\"`".contains(c)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    fn condition(&mut self) -> Result<Condition, String> {
        let before = self.at;
        let word = self.word();
        let Some(field) = Field::parse(word) else {
            self.at = before;
            let names = INTRINSICS.map(|(name, _)| name).join(", ");
            return Err(self.error(&format!("a field (.attribute, span.attribute, resource.attribute, {names})")));
        };
        let operator = self.operator()?;
        let before = self.at;
        let value = self.literal(&field)?;
        let ordered = !matches!(value, Literal::Status(_) | Literal::Kind(_) | Literal::Flag(_));
        if !ordered && !matches!(operator, Operator::Equal | Operator::NotEqual) {
            self.at = before;
            return Err(self.error("a value that has an order after this operator"));
        }
        Ok(Condition { field, operator, value })
    }

    fn operator(&mut self) -> Result<Operator, String> {
        // The longer first: `>=` begins with `>`.
        let operators = [
            ("!=", Operator::NotEqual),
            (">=", Operator::GreaterOrEqual),
            ("<=", Operator::LessOrEqual),
            (">", Operator::Greater),
            ("<", Operator::Less),
            ("=", Operator::Equal),
        ];
        let is_pattern = self.rest().starts_with("=~");
        let found = operators.into_iter().find(|(token, _)| !is_pattern && self.take(token));
        found.map(|(_, operator)| operator).ok_or_else(|| self.error("one of = != > >= < <="))
    }

    fn literal(&mut self, field: &Field) -> Result<Literal, String> {
        let before = self.at;
        if let Some(quote @ ('"' | '`')) = self.rest().chars().next() {
            return self.quoted(quote).map(Literal::Text);
        }
        let word = self.word();
        let value = match field {
            Field::Status => STATUSES.iter().find(|name| **name == word).map(|name| Literal::Status(name)),
            Field::Kind => KINDS.iter().find(|name| **name == word).map(|name| Literal::Kind(name)),
            Field::Duration | Field::TraceDuration => duration(word).map(Literal::Duration),
            Field::Name | Field::StatusMessage | Field::RootName | Field::RootServiceName => None,
            Field::Attribute(..) => match word {
                "true" => Some(Literal::Flag(true)),
                "false" => Some(Literal::Flag(false)),
                _ => word.parse().ok().filter(|number: &f64| number.is_finite()).map(Literal::Number),
            },
        };
        value.ok_or_else(|| {
            self.at = before;
            self.error(match field {
                Field::Status => "unset, ok or error",
                Field::Kind => "unspecified, internal, server, client, producer or consumer",
                Field::Duration | Field::TraceDuration => "a duration such as 100ms",
                Field::Attribute(..) => "a text in quotes, a number, true or false",
                _ => "a text in quotes",
            })
        })
    }

    fn quoted(&mut self, quote: char) -> Result<String, String> {
        let mut text = String::new();
        let mut chars = self.rest().char_indices().skip(1);
        while let Some((i, c)) = chars.next() {
            match c {
                _ if c == quote => {
                    self.at += i + 1;
                    return Ok(text);
                }
                '\\' if quote == '"' => text.extend(chars.next().map(|(_, escaped)| escaped)),
                _ => text.push(c),
            }
        }
        Err(self.error("a text that ends with its quote"))
    }
}

/// A duration as Go writes it (`1.5s`, `1m30s`, `100ms`), in nanoseconds.
pub(crate) fn duration(text: &str) -> Option<f64> {
    let mut rest = text;
    let mut total = 0.0;
    while !rest.is_empty() {
        let unit_at = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..unit_at].parse().ok()?;
        let units = &rest[unit_at..];
        let unit = &units[..units.find(|c: char| c.is_ascii_digit()).unwrap_or(units.len())];
        total += number
            * match unit {
                "ns" => 1.0,
                "us" | "µs" | "μs" => 1e3,
                "ms" => 1e6,
                "s" => 1e9,
                "m" => 60e9,
                "h" => 3600e9,
                _ => return None,
            };
        rest = &units[unit.len()..];
    }
    (!text.is_empty()).then_some(total)
}
