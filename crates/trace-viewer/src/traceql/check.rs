//! The rules of types, which are Tempo's (`pkg/traceql/ast_validate.go`): what cannot hold for any span is refused.

use std::fmt;

use super::{Arithmetic, Comparison, Expression, Field, Intrinsic, Scope, Value};

/// The type of an expression, as far as it is known before a span is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    /// An attribute can have any type.
    Attribute,
    Nil,
    Integer,
    Float,
    Text,
    Flag,
    Duration,
    Status,
    Kind,
}

impl Type {
    pub(super) fn is_numeric(self) -> bool {
        matches!(self, Self::Integer | Self::Float | Self::Duration)
    }

    fn fits(self, other: Self) -> bool {
        self == Self::Attribute || other == Self::Attribute || self == other || self.is_numeric() && other.is_numeric()
    }

    fn has_order(self) -> bool {
        self == Self::Attribute || self == Self::Text || self.is_numeric()
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Attribute => "an attribute",
            Self::Nil => "nil",
            Self::Integer => "an integer",
            Self::Float => "a float",
            Self::Text => "a string",
            Self::Flag => "a boolean",
            Self::Duration => "a duration",
            Self::Status => "a status",
            Self::Kind => "a kind",
        })
    }
}

impl Expression {
    pub(super) fn type_of(&self) -> Type {
        match self {
            Self::Value(value) => match value {
                Value::Nil | Value::List(_) | Value::Each(_) => Type::Nil,
                Value::Integer(_) => Type::Integer,
                Value::Float(_) => Type::Float,
                Value::Text(_) => Type::Text,
                Value::Flag(_) => Type::Flag,
                Value::Duration(_) => Type::Duration,
                Value::Status(_) => Type::Status,
                Value::Kind(_) => Type::Kind,
            },
            Self::Field(Field::Attribute(..)) => Type::Attribute,
            Self::Field(Field::Intrinsic(intrinsic)) => intrinsic.type_of(),
            Self::Calculate(_, left, right) => match left.type_of() {
                Type::Attribute => right.type_of(),
                known => known,
            },
            Self::Negative(of) => of.type_of(),
            _ => Type::Flag,
        }
    }

    /// Whether its value depends on the span.
    pub(super) fn reads_span(&self) -> bool {
        match self {
            Self::Value(_) => false,
            Self::Field(_) => true,
            Self::Compare(_, left, right)
            | Self::Calculate(_, left, right)
            | Self::And(left, right)
            | Self::Or(left, right) => left.reads_span() || right.reads_span(),
            Self::Match(of, ..) | Self::Not(of) | Self::Negative(of) | Self::Exists(of) | Self::Missing(of) => {
                of.reads_span()
            }
        }
    }

    pub(super) fn compare(comparison: Comparison, left: Self, right: Self) -> Result<Self, String> {
        let (left, right) = match (left, right) {
            (Self::Value(Value::Nil), Self::Value(Value::Nil)) if comparison.is_equality() => {
                return Ok(Self::Value(Value::Flag(false)));
            }
            (of, Self::Value(Value::Nil)) | (Self::Value(Value::Nil), of) => return Self::compare_nil(comparison, of),
            both => both,
        };
        let (a, b) = (left.type_of(), right.type_of());
        if !a.fits(b) {
            return Err(format!("cannot compare {a} with {b}"));
        }
        let has_order = a.has_order() && b.has_order();
        if !has_order && !comparison.is_equality() {
            let type_of = if a.has_order() { b } else { a };
            return Err(format!("{type_of} can only be compared with = or !="));
        }
        let (mut left, mut right) = (left, right);
        left.complete_id(&right);
        right.complete_id(&left);
        Ok(Self::Compare(comparison, Box::new(left), Box::new(right)))
    }

    fn compare_nil(comparison: Comparison, of: Self) -> Result<Self, String> {
        match (comparison, &of) {
            (Comparison::NotEqual, _) => Ok(Self::Exists(Box::new(of))),
            (Comparison::Equal, Self::Field(Field::Intrinsic(_))) => Err("intrinsics cannot be nil".to_owned()),
            (Comparison::Equal, Self::Field(Field::Attribute(Scope::Resource, key))) if key == "service.name" => {
                Err("resource.service.name cannot be nil".to_owned())
            }
            (Comparison::Equal, _) => Ok(Self::Missing(Box::new(of))),
            _ => Err("nil can only be compared with = or !=".to_owned()),
        }
    }

    /// An id in a query may lack leading zeros; those of spans have all digits.
    fn complete_id(&mut self, other: &Self) {
        let digits = match other {
            Self::Field(Field::Intrinsic(Intrinsic::TraceId | Intrinsic::LinkTraceId)) => 32,
            Self::Field(Field::Intrinsic(Intrinsic::SpanId | Intrinsic::ParentId | Intrinsic::LinkSpanId)) => 16,
            _ => return,
        };
        if let Self::Value(Value::Text(text)) = self
            && !text.is_empty()
        {
            *text = format!("{:0>digits$}", text.to_lowercase()).into();
        }
    }

    pub(super) fn calculate(operation: Arithmetic, left: Self, right: Self) -> Result<Self, String> {
        for type_of in [left.type_of(), right.type_of()] {
            if type_of != Type::Attribute && !type_of.is_numeric() {
                return Err(format!("cannot calculate with {type_of}"));
            }
        }
        Ok(Self::Calculate(operation, Box::new(left), Box::new(right)))
    }

    pub(super) fn join(left: Self, right: Self, join: fn(Box<Self>, Box<Self>) -> Self) -> Result<Self, String> {
        left.expect_flag("&& and || join conditions")?;
        right.expect_flag("&& and || join conditions")?;
        Ok(join(Box::new(left), Box::new(right)))
    }

    pub(super) fn not(of: Self) -> Result<Self, String> {
        of.expect_flag("! needs a condition")?;
        Ok(Self::Not(Box::new(of)))
    }

    pub(super) fn negative(of: Self) -> Result<Self, String> {
        match of.type_of() {
            Type::Attribute => Ok(Self::Negative(Box::new(of))),
            type_of if type_of.is_numeric() => Ok(Self::Negative(Box::new(of))),
            type_of => Err(format!("- needs a number, not {type_of}")),
        }
    }

    pub(super) fn expect_flag(&self, rule: &str) -> Result<(), String> {
        match self.type_of() {
            Type::Flag | Type::Attribute => Ok(()),
            type_of => Err(format!("{rule}, not {type_of}")),
        }
    }
}

impl Comparison {
    fn is_equality(self) -> bool {
        matches!(self, Self::Equal | Self::NotEqual)
    }
}

impl Intrinsic {
    fn type_of(self) -> Type {
        match self {
            Self::Duration | Self::TraceDuration | Self::EventTimeSinceStart => Type::Duration,
            Self::Status => Type::Status,
            Self::Kind => Type::Kind,
            Self::ChildCount | Self::NestedSetLeft | Self::NestedSetRight | Self::NestedSetParent => Type::Integer,
            _ => Type::Text,
        }
    }
}
