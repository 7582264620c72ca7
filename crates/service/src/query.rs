//! Query parameters, read strictly: a missing, doubled, malformed or out-of-range one is a 422 that says so.
//!
//! axum's own `Query` turns bytes that are not UTF-8 into U+FFFD, takes `+5` as a number, and its rejection does not say
//! what is allowed. This one has the same shape: a struct with serde's `Deserialize`, which with utoipa's `IntoParams`
//! is the OpenAPI description too.

mod deserializer;

use std::borrow::Cow;
use std::ops::RangeInclusive;

use axum::extract::FromRequestParts;
use http::request::Parts;
use serde::de::DeserializeOwned;

pub use self::deserializer::{ALLOWED_TEXT, fault_of_text};
use self::deserializer::{Error, Pairs};
use crate::problem::Problem;

/// The query of a request as a struct of texts (`String`), numbers (`u32`, `u64`), choices (enums of unit variants),
/// `bool`s, and `Option`s of them; `#[serde(default)]` works. Parameters that the struct does not name are ignored.
///
/// A text has 1 to 128 bytes and no control characters. Add `#[into_params(parameter_in = Query)]`.
#[derive(Debug, Clone)]
pub struct Query<T>(pub T);

/// What the types of a query's fields do not say, because it depends on the state `S` of the service.
pub trait Parameters<S> {
    /// Parameters that count as absent when they are empty: a form sends a field that was left empty.
    const MAY_BE_EMPTY: &'static [&'static str] = &[];

    /// The range of the number `name`. `number` reads another number of the same query.
    fn range(name: &str, state: &S, number: &dyn Fn(&str) -> Option<u64>) -> RangeInclusive<u64> {
        let _ = (name, state, number);
        0..=u64::MAX
    }
}

impl<S: Sync, T: DeserializeOwned + Parameters<S>> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = parts.uri.query().unwrap_or_default();
        let number = |name: &str| value(query, name).ok()??.parse().ok();
        let range = |name: &str| T::range(name, state, &number);
        let read = |missing| T::deserialize(Pairs { query, missing, range: &range, may_be_empty: T::MAY_BE_EMPTY });
        let result = match read(None) {
            // Only the field's type knows what would be allowed: it is read again, and says so.
            Err(Error::Missing(name)) => read(Some(name)),
            result => result,
        };
        result.map(Self).map_err(|error| Problem::parameter(error.to_string()))
    }
}

/// The decoded value of `name`; an error where it is given twice or is not UTF-8.
fn value<'a>(query: &'a str, name: &str) -> Result<Option<Cow<'a, str>>, String> {
    let mut found = None;
    for pair in query.split('&') {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if decoded(key).as_deref() != Some(name) {
            continue;
        }
        let not_utf8 = || format!("Parameter '{name}' is not UTF-8: {}; allowed: percent-encoded UTF-8", shown(value));
        if found.replace(decoded(value).ok_or_else(not_utf8)?).is_some() {
            return Err(format!("Parameter '{name}' is given more than once; allowed: once"));
        }
    }
    Ok(found)
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
    use futures::FutureExt;
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Batch {
        die: String,
        times: u32,
        #[serde(default)]
        strategy: Strategy,
        concurrency: Option<u32>,
        seed: Option<u64>,
        details: Option<bool>,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    enum Strategy {
        #[default]
        AllOrNothing,
        BestEffort,
    }

    /// The state of a service: the largest `times`.
    struct MaxRolls(u64);

    impl Parameters<MaxRolls> for Batch {
        fn range(name: &str, state: &MaxRolls, number: &dyn Fn(&str) -> Option<u64>) -> RangeInclusive<u64> {
            match name {
                "times" => 1..=state.0,
                "concurrency" => 1..=number("times").unwrap_or(state.0),
                _ => 0..=u64::MAX,
            }
        }
    }

    #[derive(Debug, Deserialize)]
    struct Form {
        die: Option<String>,
        concurrency: Option<u32>,
    }

    impl<S> Parameters<S> for Form {
        const MAY_BE_EMPTY: &'static [&'static str] = &["concurrency"];
    }

    fn parse<T: DeserializeOwned + Parameters<MaxRolls>>(query: &str) -> Result<T, Problem> {
        let encoded = percent_encoding::utf8_percent_encode(query, percent_encoding::CONTROLS).to_string();
        let encoded = encoded.replace(['#', ' ', '"', '<', '>', '\\', '^', '`', '{', '|', '}'], "_");
        let (mut parts, ()) = http::Request::get(format!("/?{encoded}")).body(()).unwrap().into_parts();
        let read = Query::from_request_parts(&mut parts, &MaxRolls(20)).now_or_never().unwrap();
        read.map(|Query(query)| query)
    }

    fn refusal(query: &str) -> String {
        let problem = parse::<Batch>(query).unwrap_err();
        assert_eq!(problem.status(), 422, "{query}");
        problem.detail().to_owned()
    }

    #[test]
    fn every_type_of_parameter_is_read_and_unknown_ones_are_ignored() {
        let query = "x=%ff&x=1&die=a+b%26c&%74imes=007&strategy=best-effort&concurrency=%37&seed=18446744073709551615&details=true";
        let batch: Batch = parse(query).unwrap();
        assert_eq!((&*batch.die, batch.times, batch.concurrency), ("a b&c", 7, Some(7)));
        assert_eq!((batch.strategy, batch.seed, batch.details), (Strategy::BestEffort, Some(u64::MAX), Some(true)));
        let batch: Batch = parse("times=5&die=%3Cscript%3E").unwrap();
        assert_eq!((&*batch.die, batch.strategy, batch.concurrency), ("<script>", Strategy::AllOrNothing, None));
    }

    #[test]
    fn malformed_numbers_are_422_with_the_range_of_the_state() {
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
            "5%00",
        ] {
            let error = refusal(&format!("die=fair&times={bad}"));
            assert!(
                error.starts_with("Parameter 'times' is '") && error.ends_with("a whole number from 1 to 20"),
                "{error}"
            );
        }
        assert_eq!(refusal("die=fair"), "Parameter 'times' is missing; allowed: a whole number from 1 to 20");
        assert_eq!(refusal("die=fair&times=5&times=5"), "Parameter 'times' is given more than once; allowed: once");
        assert_eq!(
            refusal("die=fair&times=%ff"),
            "Parameter 'times' is not UTF-8: '%ff'; allowed: percent-encoded UTF-8"
        );
        assert_eq!(
            refusal("die=fair&times=5&concurrency=6"),
            "Parameter 'concurrency' is '6'; allowed: a whole number from 1 to 5"
        );
        assert_eq!(
            refusal("die=fair&times=5&seed=18446744073709551616"),
            "Parameter 'seed' is '18446744073709551616'; allowed: a whole number from 0 to 18446744073709551615"
        );
    }

    #[test]
    fn malformed_texts_and_choices_are_422_and_say_what_is_allowed() {
        let allowed = "allowed: a text of 1 to 128 bytes without control characters";
        assert_eq!(refusal("times=5"), "Parameter 'die' is missing; allowed: a text, for example fair");
        assert_eq!(refusal("die&times=5"), format!("Parameter 'die' is empty: ''; {allowed}"));
        assert_eq!(refusal("die=a%0Ab"), format!(r"Parameter 'die' holds control characters: 'a\nb'; {allowed}"));
        let long = refusal(&format!("die={}", "x".repeat(129)));
        assert_eq!(long, format!("Parameter 'die' is too long: '{}…'; {allowed}", "x".repeat(40)));
        assert_eq!(
            refusal("die=fair&times=5&strategy=hope"),
            "Parameter 'strategy' is 'hope'; allowed: all-or-nothing, best-effort"
        );
        assert_eq!(refusal("die=fair&times=5&details=1"), "Parameter 'details' is '1'; allowed: true, false");
    }

    #[test]
    fn empty_field_of_a_form_is_absent_where_the_struct_says_so() {
        let form: Form = parse("die=fair&concurrency=").unwrap();
        assert_eq!((form.die.as_deref(), form.concurrency), (Some("fair"), None));
        assert_eq!(parse::<Form>("die=&concurrency=").unwrap_err().status(), 422);
    }

    proptest! {
        #[test]
        fn any_query_is_a_number_in_range_or_a_422(query in ".{0,60}") {
            match parse::<Batch>(&format!("die=fair&times={query}")) {
                Ok(batch) => prop_assert!((1..=20).contains(&batch.times)),
                Err(problem) => prop_assert_eq!(problem.status(), 422),
            }
        }
    }
}
