//! serde's view of a query: the pairs as a map, each value read by the type of its field.

use std::borrow::Cow;
use std::fmt::Display;
use std::ops::RangeInclusive;

use serde::de::value::MapDeserializer;
use serde::de::{Deserializer, Error as _, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

use super::{shown, value};

/// Longest value of a text parameter, in bytes: far beyond any name, far below what could hurt a log.
const MAX_TEXT: usize = 128;

/// What a text parameter may be, for error messages.
pub const ALLOWED_TEXT: &str = "a text of 1 to 128 bytes without control characters";

/// Why a query cannot carry `text` as the value of a parameter; none where it can.
pub fn fault_of_text(text: &str) -> Option<&'static str> {
    if text.is_empty() {
        Some("is empty")
    } else if text.len() > MAX_TEXT {
        Some("is too long")
    } else if text.chars().any(char::is_control) {
        Some("holds control characters")
    } else {
        None
    }
}

/// Why a query cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// A field that is neither an `Option` nor has a default.
    #[error("Parameter '{0}' is missing")]
    Missing(&'static str),
    #[error("{0}")]
    Malformed(String),
}

impl serde::de::Error for Error {
    fn custom<T: Display>(message: T) -> Self {
        Self::Malformed(message.to_string())
    }

    fn missing_field(name: &'static str) -> Self {
        Self::Missing(name)
    }
}

/// The whole query. serde gets one [`Parameter`] for each field of the struct that is there, in the struct's order, and
/// for the one that is `missing`.
pub(super) struct Pairs<'a> {
    pub(super) query: &'a str,
    pub(super) missing: Option<&'static str>,
    pub(super) range: &'a dyn Fn(&str) -> RangeInclusive<u64>,
    pub(super) may_be_empty: &'a [&'a str],
}

impl<'de> Deserializer<'de> for Pairs<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::custom("a query is read into a struct"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let parameters = fields.iter().filter_map(|name| {
            let given = value(self.query, name).transpose();
            let given = given
                .filter(|given| !(matches!(given, Ok(value) if value.is_empty()) && self.may_be_empty.contains(name)));
            let wanted = given.is_some() || self.missing == Some(name);
            wanted.then_some((*name, Parameter { name, given, range: self.range }))
        });
        visitor.visit_map(MapDeserializer::new(parameters))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// One parameter: its decoded value or what is wrong with it; none where it is missing.
struct Parameter<'a> {
    name: &'static str,
    given: Option<Result<Cow<'a, str>, String>>,
    range: &'a dyn Fn(&str) -> RangeInclusive<u64>,
}

impl Parameter<'_> {
    fn value(&self, allowed: impl Display) -> Result<&str, Error> {
        match &self.given {
            Some(Ok(value)) => Ok(value),
            Some(Err(fault)) => Err(Error::custom(fault)),
            None => Err(Error::custom(format_args!("Parameter '{}' is missing; allowed: {allowed}", self.name))),
        }
    }

    fn not_allowed(&self, value: &str, allowed: impl Display) -> Error {
        Error::custom(format_args!("Parameter '{}' is {}; allowed: {allowed}", self.name, shown(value)))
    }

    fn text(&self) -> Result<&str, Error> {
        let value = self.value("a text, for example fair")?;
        match fault_of_text(value) {
            None => Ok(value),
            Some(fault) => Err(Error::custom(format_args!(
                "Parameter '{}' {fault}: {}; allowed: {ALLOWED_TEXT}",
                self.name,
                shown(value)
            ))),
        }
    }

    /// A number within the range that [`Parameters::range`] gives, at most `max`.
    fn number(&self, max: u64) -> Result<u64, Error> {
        let range = (self.range)(self.name);
        let range = *range.start()..=max.min(*range.end());
        let allowed = format!("a whole number from {} to {}", range.start(), range.end());
        let value = self.value(&allowed)?;
        // Digits only: `parse` alone would take "+5".
        let digits = value.bytes().all(|byte| byte.is_ascii_digit());
        match value.parse() {
            Ok(number) if digits && range.contains(&number) => Ok(number),
            _ => Err(self.not_allowed(value, allowed)),
        }
    }

    fn choice(&self, choices: &[&'static str]) -> Result<&'static str, Error> {
        let allowed = choices.join(", ");
        let value = self.value(&allowed)?;
        choices.iter().find(|choice| **choice == value).copied().ok_or_else(|| self.not_allowed(value, allowed))
    }
}

impl<'de> Deserializer<'de> for Parameter<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_str(self.text()?)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self) // serde takes a field that is not there for none by itself
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_u64(self.number(u32::MAX.into())?)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_u64(self.number(u64::MAX)?)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_bool(self.choice(&["true", "false"])? == "true")
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_enum(self.choice(variants)?.into_deserializer())
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct
        map struct identifier ignored_any
    }
}

impl<'de> IntoDeserializer<'de, Error> for Parameter<'_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}
