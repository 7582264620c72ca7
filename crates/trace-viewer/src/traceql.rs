//! TraceQL, as far as this viewer takes part in it: filters of spans joined by `&&` and `||`, `select`, and scalar
//! aggregates. Everything else is refused with a reason.
//!
//! ```text
//! { resource.service.name = "dice-roller" && duration > 100ms } | count() > 3 | select(span.die.type)
//! ```
//!
//! `parse` makes a [`Query`] of a text, with the grammar and precedence of Tempo 3 (`pkg/traceql/expr.y`); `check` has
//! the rules of types; `evaluate` runs a query over the spans of one trace; `field` reads what a span has; `value`
//! compares and calculates.

mod check;
mod evaluate;
mod field;
mod parse;
#[cfg(test)]
mod tests;
mod value;

use regex::Regex;

pub(crate) use evaluate::{Deadline, SpanSet, TimedOut, TraceContext};
pub(crate) use field::{Field, INTRINSICS, Intrinsic, Scope, kind, status};
pub(crate) use parse::{duration, quoted};
pub(crate) use value::Value;

/// A query.
#[derive(Debug)]
pub(crate) struct Query {
    pipeline: Vec<Stage>,
    /// The fields that the query mentions, which a response shows for each span.
    pub(crate) fields: Vec<Field>,
}

/// A part of a pipeline, which takes spans of one trace and passes spans on.
#[derive(Debug)]
enum Stage {
    Spans(SpanSets),
    /// Keeps all spans, or none.
    Aggregate(Aggregate),
    /// The fields are in [`Query::fields`].
    Select,
}

/// `{…}`, alone or joined.
#[derive(Debug)]
enum SpanSets {
    Filter(Expression),
    Pipeline(Vec<Stage>),
    /// The spans of both, where both have some.
    And(Box<Self>, Box<Self>),
    Or(Box<Self>, Box<Self>),
}

/// `avg(duration) > 1s`.
#[derive(Debug)]
struct Aggregate {
    /// As the query writes it.
    text: String,
    function: Function,
    /// `None` for `count()`.
    of: Option<Expression>,
    comparison: Comparison,
    limit: Value<'static>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Function {
    Count,
    Average,
    Least,
    Most,
    Sum,
}

/// What is between the braces.
#[derive(Debug)]
enum Expression {
    Value(Value<'static>),
    Field(Field),
    Compare(Comparison, Box<Self>, Box<Self>),
    /// Whether the regular expression matches, compared with the flag.
    Match(Box<Self>, Box<Regex>, bool),
    Calculate(Arithmetic, Box<Self>, Box<Self>),
    And(Box<Self>, Box<Self>),
    Or(Box<Self>, Box<Self>),
    Not(Box<Self>),
    Negative(Box<Self>),
    /// `!= nil`
    Exists(Box<Self>),
    /// `= nil`
    Missing(Box<Self>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Power,
}
