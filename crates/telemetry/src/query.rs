//! Query parameters, read strictly: what is missing, doubled, malformed or out of range is a 422 that says so.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use axum::extract::FromRequestParts;
use http::request::Parts;

use crate::problem::Problem;

/// Longest value of a text parameter, in bytes: far beyond any name, far below what could hurt a log.
const MAX_TEXT: usize = 128;

/// The query string of a request, not yet decoded.
#[derive(Debug, Clone, Default)]
pub struct Query(String);

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(parts.uri.query().unwrap_or_default().to_owned()))
    }
}

impl Query {
    /// A text parameter that has to be there: up to 128 bytes, not empty, no control characters.
    ///
    /// # Errors
    /// 422 that names the parameter, what was given and what is allowed.
    pub fn text(&self, name: &str) -> Result<String, Problem> {
        self.optional_text(name)?.ok_or_else(|| missing(name, "a text, for example fair"))
    }

    /// As [`Query::text`], for a parameter that may be left out.
    ///
    /// # Errors
    /// 422 when it is there and not well-formed.
    pub fn optional_text(&self, name: &str) -> Result<Option<String>, Problem> {
        let Some(value) = self.value(name)? else { return Ok(None) };
        let fault = if value.is_empty() {
            "is empty"
        } else if value.len() > MAX_TEXT {
            "is too long"
        } else if value.chars().any(char::is_control) {
            "holds control characters"
        } else {
            return Ok(Some(value));
        };
        Err(Problem::parameter(format!(
            "Parameter '{name}' {fault}: {}; allowed: a text of 1 to {MAX_TEXT} bytes without control characters",
            shown(&value)
        )))
    }

    /// A whole number within `range` that has to be there.
    ///
    /// # Errors
    /// 422 that names the parameter, what was given and what is allowed.
    pub fn number(&self, name: &str, range: RangeInclusive<u32>) -> Result<u32, Problem> {
        let allowed = format!("a whole number from {} to {}", range.start(), range.end());
        self.optional_number(name, range)?.ok_or_else(|| missing(name, &allowed))
    }

    /// As [`Query::number`], for a parameter that may be left out.
    ///
    /// # Errors
    /// 422 when it is there and not such a number.
    pub fn optional_number(&self, name: &str, range: RangeInclusive<u32>) -> Result<Option<u32>, Problem> {
        let Some(value) = self.value(name)? else { return Ok(None) };
        // Digits only: `parse` alone would take "+5".
        let digits = value.bytes().all(|byte| byte.is_ascii_digit());
        match value.parse::<u32>() {
            Ok(number) if digits && range.contains(&number) => Ok(Some(number)),
            _ => Err(Problem::parameter(format!(
                "Parameter '{name}' is {}; allowed: a whole number from {} to {}",
                shown(&value),
                range.start(),
                range.end()
            ))),
        }
    }

    /// One of `choices`, or none where the parameter is left out.
    ///
    /// # Errors
    /// 422 that names the parameter, what was given and what is allowed.
    pub fn choice<T: Copy>(&self, name: &str, choices: &[(&str, T)]) -> Result<Option<T>, Problem> {
        let Some(value) = self.value(name)? else { return Ok(None) };
        choices.iter().find(|(word, _)| *word == value).map(|(_, choice)| Some(*choice)).ok_or_else(|| {
            let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
            Problem::parameter(format!("Parameter '{name}' is {}; allowed: {}", shown(&value), words.join(", ")))
        })
    }

    /// The decoded value of `name`; an error where it is given twice or is not UTF-8.
    fn value(&self, name: &str) -> Result<Option<String>, Problem> {
        let mut found = None;
        for pair in self.0.split('&') {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            if decoded(key).as_deref() != Some(name) {
                continue;
            }
            let value = decoded(value).ok_or_else(|| {
                Problem::parameter(format!(
                    "Parameter '{name}' is not UTF-8: {}; allowed: percent-encoded UTF-8",
                    shown(value)
                ))
            })?;
            if found.replace(value.into_owned()).is_some() {
                return Err(Problem::parameter(format!("Parameter '{name}' is given more than once; allowed: once")));
            }
        }
        Ok(found)
    }
}

fn missing(name: &str, allowed: &str) -> Problem {
    Problem::parameter(format!("Parameter '{name}' is missing; allowed: {allowed}"))
}

/// `application/x-www-form-urlencoded`, as HTML forms send it. None where the result is not UTF-8.
fn decoded(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains(['+', '%']) {
        return Some(text.into());
    }
    let spaced = text.replace('+', " ");
    percent_encoding::percent_decode_str(&spaced).decode_utf8().ok().map(|text| text.into_owned().into())
}

/// What was given, cut to a length that one can read, with control characters escaped.
fn shown(value: &str) -> String {
    let start: String = value.chars().take(40).collect();
    let more = if start.len() < value.len() { "…" } else { "" };
    format!("'{}{more}'", start.escape_debug())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn times(query: &str) -> Result<u32, String> {
        Query(query.to_owned()).number("times", 1..=20).map_err(|problem| problem.detail().to_owned())
    }

    #[test]
    fn numbers() {
        assert_eq!(times("die=fair&times=5"), Ok(5));
        assert_eq!(times("times=%35"), Ok(5));
        assert_eq!(times("%74imes=007"), Ok(7));
        for bad in [
            "",
            "0",
            "21",
            "-1",
            "+5",
            "%2B5",
            "5.0",
            "1e1",
            "five",
            "4294967296",
            "99999999999999999999",
            "５",
            "0x5",
            " 5",
            "5%00",
        ] {
            let error = times(&format!("times={bad}")).unwrap_err();
            assert!(
                error.starts_with("Parameter 'times' is '") && error.ends_with("a whole number from 1 to 20"),
                "{error}"
            );
        }
        assert_eq!(
            times("die=fair").unwrap_err(),
            "Parameter 'times' is missing; allowed: a whole number from 1 to 20"
        );
        assert!(times("times=5&times=5").unwrap_err().contains("more than once"));
        assert!(times("times=%ff").unwrap_err().contains("not UTF-8"));
    }

    #[test]
    fn texts() {
        let die = |query: &str| Query(query.to_owned()).text("die");
        assert_eq!(die("die=a+b%26c").unwrap(), "a b&c");
        assert_eq!(die("die=%3Cscript%3E").unwrap(), "<script>");
        for bad in ["", "die", "die=", "die=%00", "die=a%0Ab", &format!("die={}", "x".repeat(129))] {
            assert_eq!(die(bad).unwrap_err().status(), 422, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_query_is_a_number_in_range_or_a_422(query in ".{0,60}") {
            match Query(format!("times={query}")).number("times", 1..=20) {
                Ok(number) => prop_assert!((1..=20).contains(&number)),
                Err(problem) => prop_assert_eq!(problem.status(), 422),
            }
        }
    }
}
