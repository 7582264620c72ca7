//! Values of fields and in queries: how they compare, and how one calculates with them.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::evaluate::Deadline;
use super::field::{self, Each};
use super::{Arithmetic, Comparison};
use crate::attributes::{self, Double};

/// A value in a query, or of a span's field.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value<'a> {
    /// The span lacks the field.
    Nil,
    Integer(i64),
    Float(f64),
    Text(Cow<'a, str>),
    Flag(bool),
    /// Nanoseconds.
    Duration(i64),
    /// A status as TraceQL writes it.
    Status(&'static str),
    /// A kind as TraceQL writes it.
    Kind(&'static str),
    /// An attribute that is a list. `!=` and `!~` hold if they hold for all items, the others if they hold for one.
    List(Cow<'a, [attributes::Value]>),
    /// One value for each event or link. A comparison holds if it holds for one.
    Each(Each<'a>),
}

impl<'a> Value<'a> {
    pub(crate) fn text(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }

    /// False where a value is missing, and where the types differ.
    ///
    /// Two lists are compared item by item with item, so each counts for the deadline; behind it, whoever runs the query
    /// drops the result.
    pub(super) fn compare(&self, comparison: Comparison, other: &Self, deadline: &Deadline) -> bool {
        let for_all = comparison == Comparison::NotEqual;
        let in_time = || deadline.check().is_ok();
        let left = |item: Value<'_>| item.compare(comparison, other, deadline);
        let right = |item: Value<'_>| self.compare(comparison, &item, deadline);
        match (self, other) {
            (Self::List(list), _) if for_all => items(list).all(|item| in_time() && left(item)),
            (_, Self::List(list)) if for_all => items(list).all(|item| in_time() && right(item)),
            (Self::List(list), _) => items(list).any(|item| !in_time() || left(item)),
            (_, Self::List(list)) => items(list).any(|item| !in_time() || right(item)),
            (Self::Each(values), _) => values.iter().any(|value| !in_time() || left(value)),
            (_, Self::Each(values)) => values.iter().any(|value| !in_time() || right(value)),
            (Self::Text(a), Self::Text(b)) => comparison.holds(Some(a.cmp(b))),
            (Self::Flag(a), Self::Flag(b)) => comparison.holds(Some(a.cmp(b))),
            (Self::Status(a), Self::Status(b)) | (Self::Kind(a), Self::Kind(b)) => comparison.holds(Some(a.cmp(b))),
            (Self::Integer(a) | Self::Duration(a), Self::Integer(b) | Self::Duration(b)) => {
                comparison.holds(Some(a.cmp(b)))
            }
            (a, b) => a.number().zip(b.number()).is_some_and(|(a, b)| comparison.holds(a.partial_cmp(&b))),
        }
    }

    /// Whether `test` holds for a text, or as [`Value::List`] and [`Value::Each`] say; `wanted` is false for `!~`.
    pub(super) fn matches(&self, test: &dyn Fn(&str) -> bool, wanted: bool) -> bool {
        match self {
            Self::Text(text) => test(text) == wanted,
            Self::List(list) if !wanted => items(list).all(|item| item.matches(test, wanted)),
            Self::List(list) => items(list).any(|item| item.matches(test, wanted)),
            Self::Each(values) => values.iter().any(|value| value.matches(test, wanted)),
            _ => false,
        }
    }

    /// `Nil` where one of the two is no number, and for a division of integers by zero.
    pub(super) fn calculate(&self, operation: Arithmetic, other: &Self) -> Value<'static> {
        if let (Self::Integer(a), Self::Integer(b)) = (self, other) {
            let result = match operation {
                Arithmetic::Add => Some(a.wrapping_add(*b)),
                Arithmetic::Subtract => Some(a.wrapping_sub(*b)),
                Arithmetic::Multiply => Some(a.wrapping_mul(*b)),
                Arithmetic::Divide => a.checked_div(*b),
                Arithmetic::Remainder => a.checked_rem(*b),
                Arithmetic::Power => Some((*a as f64).powf(*b as f64) as i64),
            };
            return result.map_or(Value::Nil, Value::Integer);
        }
        let Some((a, b)) = self.number().zip(other.number()) else { return Value::Nil };
        Value::Float(match operation {
            Arithmetic::Add => a + b,
            Arithmetic::Subtract => a - b,
            Arithmetic::Multiply => a * b,
            Arithmetic::Divide => a / b,
            Arithmetic::Remainder => a % b,
            Arithmetic::Power => a.powf(b),
        })
    }

    pub(super) fn negative(&self) -> Value<'static> {
        match self {
            Self::Integer(number) => Value::Integer(number.wrapping_neg()),
            Self::Float(number) => Value::Float(-number),
            Self::Duration(nanos) => Value::Duration(nanos.wrapping_neg()),
            _ => Value::Nil,
        }
    }

    /// The sum of two of the same type. Tempo leaves out those of another type, too.
    pub(super) fn plus(&self, other: &Self) -> Value<'static> {
        match (self, other) {
            (Self::Integer(a), Self::Integer(b)) => Value::Integer(a.saturating_add(*b)),
            (Self::Duration(a), Self::Duration(b)) => Value::Duration(a.saturating_add(*b)),
            (Self::Float(a), Self::Float(b)) => Value::Float(a + b),
            _ => self.clone().owned(),
        }
    }

    pub(super) fn divided_by(&self, count: usize) -> Value<'static> {
        match self {
            Self::Integer(sum) => Value::Float(*sum as f64 / count as f64),
            Self::Float(sum) => Value::Float(sum / count as f64),
            Self::Duration(sum) => Value::Duration(sum / count as i64),
            _ => Value::Nil,
        }
    }

    /// Integers, floats and durations (in nanoseconds) compare with each other.
    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Self::Integer(number) | Self::Duration(number) => Some(*number as f64),
            Self::Float(number) => Some(*number),
            _ => None,
        }
    }

    /// The same without a copy of a text.
    pub(super) fn borrowed(&self) -> Value<'_> {
        match self {
            Self::Text(text) => Value::text(text),
            other => other.clone(),
        }
    }

    pub(super) fn owned(self) -> Value<'static> {
        match self {
            Self::Nil => Value::Nil,
            Self::Integer(number) => Value::Integer(number),
            Self::Float(number) => Value::Float(number),
            Self::Text(text) => Value::Text(Cow::Owned(text.into_owned())),
            Self::Flag(flag) => Value::Flag(flag),
            Self::Duration(nanos) => Value::Duration(nanos),
            Self::Status(name) => Value::Status(name),
            Self::Kind(name) => Value::Kind(name),
            // Neither is a number, and results of aggregates are.
            Self::List(_) | Self::Each(_) => Value::Nil,
        }
    }

    /// The value, or those of a list, as text, each with TraceQL's name of its type; none of maps, bytes and durations.
    pub(crate) fn typed_texts(&self) -> Box<dyn Iterator<Item = (&'static str, Cow<'_, str>)> + '_> {
        match self {
            Self::List(list) => Box::new(items(list).filter_map(Value::typed_text)),
            Self::Each(values) => Box::new(values.iter().flat_map(Value::into_typed_texts)),
            one => Box::new(one.borrowed().typed_text().into_iter()),
        }
    }

    fn into_typed_texts(self) -> Box<dyn Iterator<Item = (&'static str, Cow<'a, str>)> + 'a> {
        match self {
            Self::List(Cow::Borrowed(list)) => Box::new(items(list).filter_map(Value::typed_text)),
            one => Box::new(one.typed_text().into_iter()),
        }
    }

    fn typed_text(self) -> Option<(&'static str, Cow<'a, str>)> {
        Some(match self {
            Self::Nil | Self::Duration(_) | Self::List(_) | Self::Each(_) => return None,
            Self::Integer(number) => ("int", number.to_string().into()),
            Self::Float(number) => ("float", number.to_string().into()),
            Self::Text(text) => ("string", text),
            Self::Flag(flag) => ("bool", flag.to_string().into()),
            Self::Status(name) | Self::Kind(name) => ("keyword", name.into()),
        })
    }
}

/// The items of a list that are no lists themselves; made one by one, as there may be half a million.
fn items(list: &[attributes::Value]) -> impl Iterator<Item = Value<'_>> {
    list.iter().filter(|item| !matches!(item, attributes::Value::Array(_))).map(field::value)
}

/// As a value of an attribute in Tempo's JSON.
impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = match self {
            Self::Each(values) => match (values.iter().next(), values.iter().nth(1)) {
                (Some(one), None) => return one.serialize(serializer),
                _ => serializer.serialize_map(None)?,
            },
            _ => serializer.serialize_map(None)?,
        };
        match self {
            Self::Nil => {}
            Self::Integer(number) => map.serialize_entry("intValue", &number.to_string())?,
            Self::Float(number) => map.serialize_entry("doubleValue", &Double(*number))?,
            Self::Text(text) => map.serialize_entry("stringValue", text)?,
            Self::Flag(flag) => map.serialize_entry("boolValue", flag)?,
            Self::Duration(nanos) => map.serialize_entry("stringValue", &go_duration(*nanos))?,
            Self::Status(name) | Self::Kind(name) => map.serialize_entry("stringValue", name)?,
            Self::List(list) => map.serialize_entry("arrayValue", &ArrayValue { values: Items(list) })?,
            Self::Each(values) => map.serialize_entry("arrayValue", &ArrayValue { values: OfEach(*values) })?,
        }
        map.end()
    }
}

#[derive(Serialize)]
struct ArrayValue<T> {
    values: T,
}

struct OfEach<'a>(Each<'a>);

impl Serialize for OfEach<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter())
    }
}

struct Items<'a>(&'a [attributes::Value]);

impl Serialize for Items<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(items(self.0).filter(|item| *item != Value::Nil))
    }
}

impl Comparison {
    /// `ordering` is `None` where one of the numbers is NaN.
    fn holds(self, ordering: Option<Ordering>) -> bool {
        match self {
            Self::Equal => ordering == Some(Ordering::Equal),
            Self::NotEqual => ordering != Some(Ordering::Equal),
            Self::Less => ordering.is_some_and(Ordering::is_lt),
            Self::LessOrEqual => ordering.is_some_and(Ordering::is_le),
            Self::Greater => ordering.is_some_and(Ordering::is_gt),
            Self::GreaterOrEqual => ordering.is_some_and(Ordering::is_ge),
        }
    }
}

/// As Go prints a `time.Duration`, which is what Tempo responds with: `1h0m0.5s`, `1.5ms`, `0s`.
fn go_duration(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let size = nanos.unsigned_abs();
    let unit = |nanos: u64, unit: u64| {
        let text = format!("{}.{:09}", nanos / unit, nanos % unit * (1_000_000_000 / unit));
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    match size {
        0 => "0s".to_owned(),
        1..1_000 => format!("{sign}{size}ns"),
        1_000..1_000_000 => format!("{sign}{}µs", unit(size, 1_000)),
        1_000_000..1_000_000_000 => format!("{sign}{}ms", unit(size, 1_000_000)),
        _ => {
            let (minutes, rest) = (size / 60_000_000_000, size % 60_000_000_000);
            let before = match (minutes / 60, minutes % 60) {
                (0, 0) => String::new(),
                (0, minutes) => format!("{minutes}m"),
                (hours, minutes) => format!("{hours}h{minutes}m"),
            };
            format!("{sign}{before}{}s", unit(rest, 1_000_000_000))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_printed_as_go_prints_them() {
        for (nanos, expected) in [
            (0, "0s"),
            (5, "5ns"),
            (1_500, "1.5µs"),
            (1_050_000, "1.05ms"),
            (1_000_000_001, "1.000000001s"),
            (90_000_000_000, "1m30s"),
            (-3_600_500_000_000, "-1h0m0.5s"),
        ] {
            assert_eq!(go_duration(nanos), expected);
        }
    }
}
