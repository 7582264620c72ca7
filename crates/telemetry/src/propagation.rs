//! W3C Trace Context, strictly: what a request says about the trace it belongs to, and what a call hands on.
//!
//! The SDK's `TraceContextPropagator` takes ids of the wrong length, version `0`, a `+` as a digit; it clears the
//! random flag, takes the first of two `traceparent` headers and loses the second `tracestate`. Each of these would
//! let a broken client decide what our traces look like, so this file reads the headers itself. `baggage` is left to
//! the SDK's propagator, which keeps the limits of its specification.
//!
//! Sources: W3C Trace Context Level 2 (sections 3.2 `traceparent`, 3.3 `tracestate`), W3C Baggage.

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::Context;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use opentelemetry_http::{HeaderExtractor, HeaderInjector};
use opentelemetry_sdk::propagation::BaggagePropagator;

use crate::logs::push_hex;
use crate::settings::PropagatorName;

static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
static TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
static BAGGAGE: HeaderName = HeaderName::from_static("baggage");

/// Bit 0: the caller recorded this trace. Bit 1: the trace id is random in at least its last 7 bytes (section 3.2.2.5).
const SAMPLED: u8 = 0x01;
const RANDOM: u8 = 0x02;

/// Most list members of a `tracestate` (section 3.3.1.1).
const MAX_TRACESTATE_MEMBERS: usize = 32;

/// Which headers are read and written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Propagation {
    trace_context: bool,
    baggage: bool,
    /// `OTEL_SDK_DISABLED`: there are no spans, and what came in is handed on byte for byte.
    untouched: bool,
}

/// The random flag of the caller, which an unsampled span of the SDK would forget.
#[derive(Debug, Clone, Copy)]
struct RandomFlag;

/// The caller's vendors' entries, as one valid list. Handed on from here, not from the span: the SDK's `TraceState`
/// refuses keys that Level 2 allows (`foo@@bar`).
#[derive(Debug, Clone)]
struct VendorState(HeaderValue);

/// The headers of a request whose context is passed on untouched.
#[derive(Debug, Clone)]
struct Untouched(HeaderMap);

impl Propagation {
    pub(crate) fn new(names: &[PropagatorName], untouched: bool) -> Self {
        let has = |name| names.contains(&name) && !names.contains(&PropagatorName::None);
        Self { trace_context: has(PropagatorName::Tracecontext), baggage: has(PropagatorName::Baggage), untouched }
    }

    /// The context that a request's headers describe; empty where they are missing or malformed.
    pub(crate) fn extract(&self, headers: &HeaderMap) -> Context {
        if self.untouched {
            let mut kept = HeaderMap::new();
            for name in [&TRACEPARENT, &TRACESTATE, &BAGGAGE] {
                kept.extend(headers.get_all(name).iter().map(|value| (name.clone(), value.clone())));
            }
            return Context::new().with_value(Untouched(kept));
        }
        let mut context = Context::new();
        if self.baggage && headers.contains_key(&BAGGAGE) {
            context = BaggagePropagator::new().extract_with_context(&context, &HeaderExtractor(headers));
        }
        if self.trace_context
            && let Some(parent) = span_context(headers)
        {
            if parent.trace_flags().to_u8() & RANDOM != 0 {
                context = context.with_value(RandomFlag);
            }
            if let Some(state) = vendor_state(headers) {
                context = context.with_value(state);
            }
            context = context.with_remote_span_context(parent);
        }
        context
    }

    /// Writes `context` into the headers of an outgoing request.
    pub(crate) fn inject(&self, context: &Context, headers: &mut HeaderMap) {
        if let Some(Untouched(kept)) = context.get::<Untouched>() {
            headers.extend(kept.iter().map(|(name, value)| (name.clone(), value.clone())));
            return;
        }
        let span = context.span();
        let span_context = span.span_context();
        if self.trace_context && span_context.is_valid() {
            headers.insert(&TRACEPARENT, traceparent(context));
            if let Some(VendorState(state)) = context.get::<VendorState>() {
                headers.insert(&TRACESTATE, state.clone());
            }
        }
        if self.baggage {
            BaggagePropagator::new().inject_context(context, &mut HeaderInjector(headers));
        }
    }
}

/// `00-<trace id>-<span id>-<flags>` of the span in `context`: the value of `traceparent` and of `traceresponse`.
pub(crate) fn traceparent(context: &Context) -> HeaderValue {
    let span = context.span();
    let span_context = span.span_context();
    let random = context.get::<RandomFlag>().map_or(0, |_| RANDOM);
    let flags = (span_context.trace_flags().to_u8() | random) & (SAMPLED | RANDOM);
    let mut text = b"00-".to_vec();
    push_hex(&span_context.trace_id().to_bytes(), &mut text);
    text.push(b'-');
    push_hex(&span_context.span_id().to_bytes(), &mut text);
    text.push(b'-');
    push_hex(&[flags], &mut text);
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// The remote span of a request, or none where `traceparent` is absent, doubled or malformed.
fn span_context(headers: &HeaderMap) -> Option<SpanContext> {
    let mut given = headers.get_all(&TRACEPARENT).iter();
    let (Some(only), None) = (given.next(), given.next()) else { return None };
    let (trace_id, span_id, flags) = parse_traceparent(only.as_bytes())?;
    Some(SpanContext::new(trace_id, span_id, TraceFlags::new(flags), true, TraceState::NONE))
}

/// Section 3.2.2: `version "-" trace-id "-" parent-id "-" trace-flags`, lower-case hex only.
///
/// A version above 00 may add fields behind a further dash; of its flags only the two known ones are kept.
fn parse_traceparent(value: &[u8]) -> Option<(TraceId, SpanId, u8)> {
    let (fields, rest) = value.split_at_checked(55)?;
    if fields[2] != b'-' || fields[35] != b'-' || fields[52] != b'-' {
        return None;
    }
    let version = u8::try_from(hex(&fields[..2])?).ok()?;
    let trace_id = hex(&fields[3..35])?;
    let span_id = u64::try_from(hex(&fields[36..52])?).ok()?;
    let flags = u8::try_from(hex(&fields[53..])?).ok()?;
    let ends_well = if version == 0 { rest.is_empty() } else { rest.is_empty() || rest[0] == b'-' };
    if version == 0xff || trace_id == 0 || span_id == 0 || !ends_well {
        return None;
    }
    Some((TraceId::from(trace_id), SpanId::from(span_id), flags & (SAMPLED | RANDOM)))
}

/// Lower-case hex digits only: `u128::from_str_radix` would take `A` and `+1`.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0_u128, |number, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(digit))
    })
}

/// Section 3.3: all `tracestate` headers are one list, in order; of an entry given twice the first counts.
///
/// None where there is nothing, or any part is malformed: the list is then dropped and the trace goes on (3.3.1).
fn vendor_state(headers: &HeaderMap) -> Option<VendorState> {
    let mut members: Vec<(&str, &str)> = Vec::new();
    for header in headers.get_all(&TRACESTATE) {
        for member in header.to_str().ok()?.split(',').map(|member| member.trim_matches([' ', '\t'])) {
            if member.is_empty() {
                continue; // "empty list members are allowed" (section 3.3.1.1)
            }
            let (key, value) = member.split_once('=')?;
            if members.len() == MAX_TRACESTATE_MEMBERS || !valid_key(key) || !valid_value(value) {
                return None;
            }
            if !members.iter().any(|(other, _)| *other == key) {
                members.push((key, value));
            }
        }
    }
    let list = members.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",");
    HeaderValue::try_from(list).ok().filter(|list| !list.is_empty()).map(VendorState)
}

/// Section 3.3.1.3.1: a lower-case letter or digit, then up to 255 of `a-z 0-9 _ - * / @`.
fn valid_key(key: &str) -> bool {
    let first = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let other = |byte: u8| first(byte) || b"_-*/@".contains(&byte);
    key.len() <= 256 && key.bytes().next().is_some_and(first) && key.bytes().all(other)
}

/// Section 3.3.1.3.2: up to 256 printable ASCII characters without `,` and `=`, not ending in a space.
fn valid_value(value: &str) -> bool {
    let printable = |byte: u8| (0x20..=0x7e).contains(&byte) && byte != b',' && byte != b'=';
    !value.is_empty() && value.len() <= 256 && value.bytes().all(printable) && !value.ends_with(' ')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const SPAN: &str = "b7ad6b7169203331";

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        map
    }

    fn both() -> Propagation {
        Propagation::new(&[PropagatorName::Tracecontext, PropagatorName::Baggage], false)
    }

    /// What a service would send on after receiving `pairs`.
    fn passed_on(propagation: Propagation, pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut out = HeaderMap::new();
        propagation.inject(&propagation.extract(&headers(pairs)), &mut out);
        out
    }

    #[test]
    fn well_formed_traceparents_are_taken() {
        for (given, flags) in [
            (format!("00-{TRACE}-{SPAN}-01"), 0x01),
            (format!("00-{TRACE}-{SPAN}-00"), 0x00),
            (format!("00-{TRACE}-{SPAN}-03"), 0x03),
            (format!("00-{TRACE}-{SPAN}-02"), 0x02),
            (format!("00-{TRACE}-{SPAN}-ff"), 0x03),
            (format!("01-{TRACE}-{SPAN}-01"), 0x01),
            (format!("cc-{TRACE}-{SPAN}-01-what-the-future-brings"), 0x01),
            (format!("cc-{TRACE}-{SPAN}-01-"), 0x01),
        ] {
            let (trace_id, span_id, parsed) = parse_traceparent(given.as_bytes()).unwrap();
            assert_eq!((trace_id.to_string(), span_id.to_string()), (TRACE.into(), SPAN.into()), "{given}");
            assert_eq!(parsed, flags, "{given}");
        }
    }

    #[test]
    fn malformed_traceparents_start_a_new_trace() {
        let upper = TRACE.to_uppercase();
        for given in [
            String::new(),
            format!("00-{TRACE}-{SPAN}"),
            format!("00-{TRACE}-{SPAN}-"),
            format!("00-{TRACE}-{SPAN}-1"),
            format!("00-{TRACE}-{SPAN}-001"),
            format!("00-{TRACE}-{SPAN}-0x"),
            format!("00-{TRACE}-{SPAN}-01-"),
            format!("00-{TRACE}-{SPAN}-01-x"),
            format!("00-{TRACE}-{SPAN}-01."),
            format!("01-{TRACE}-{SPAN}-01."),
            format!("0-{TRACE}-{SPAN}-01"),
            format!("000-{TRACE}-{SPAN}-01"),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("0G-{TRACE}-{SPAN}-01"),
            format!(".0-{TRACE}-{SPAN}-01"),
            format!("00-{upper}-{SPAN}-01"),
            format!("00-{TRACE}-{}-01", SPAN.to_uppercase()),
            format!("00-{}-{SPAN}-01", &TRACE[1..]),
            format!("00-0{TRACE}-{SPAN}-01"),
            format!("00-+{}-{SPAN}-01", &TRACE[1..]),
            format!("00-{}-{SPAN}-01", "0".repeat(32)),
            format!("00-{TRACE}-{}-01", "0".repeat(16)),
            format!("00-{TRACE}-{}-01", &SPAN[1..]),
            format!("00-{TRACE}-{SPAN}0-01"),
            format!("00_{TRACE}_{SPAN}_01"),
            format!(" 00-{TRACE}-{SPAN}-01"),
        ] {
            assert!(parse_traceparent(given.as_bytes()).is_none(), "taken: {given:?}");
        }
    }

    #[test]
    fn two_traceparent_headers_start_a_new_trace() {
        let one = format!("00-{TRACE}-{SPAN}-01");
        assert!(!passed_on(both(), &[("traceparent", &one)]).is_empty());
        assert!(passed_on(both(), &[("traceparent", &one), ("traceparent", &one)]).is_empty());
    }

    fn state_of(states: &[&str]) -> String {
        let one = format!("00-{TRACE}-{SPAN}-01");
        let mut pairs = vec![("traceparent", one.as_str())];
        pairs.extend(states.iter().map(|state| ("tracestate", *state)));
        let out = passed_on(both(), &pairs);
        assert_eq!(out["traceparent"], one.as_str());
        out.get("tracestate").map(|state| state.to_str().unwrap().to_owned()).unwrap_or_default()
    }

    #[test]
    fn several_tracestate_headers_are_one_list_in_order() {
        assert_eq!(state_of(&["b=2,a=1", "c=3"]), "b=2,a=1,c=3");
        assert_eq!(state_of(&["a=1 ,\t b=2", "", " , c=3"]), "a=1,b=2,c=3");
        let most = (0..32).map(|i| format!("k{i}=v")).collect::<Vec<_>>().join(",");
        assert_eq!(state_of(&[&most]), most);
        assert_eq!(state_of(&[&format!("{}={}", "k".repeat(256), "v".repeat(256))]).len(), 513);
        assert_eq!(state_of(&["a=1,foo@@bar=2", "a=3"]), "a=1,foo@@bar=2");
        assert_eq!(state_of(&["tenant@vendor=x y*/!", "0a=1"]), "tenant@vendor=x y*/!,0a=1");
    }

    #[test]
    fn a_malformed_tracestate_is_dropped_and_the_trace_goes_on() {
        let too_many = (0..33).map(|i| format!("k{i}=v")).collect::<Vec<_>>().join(",");
        let long_key = format!("{}=v", "k".repeat(257));
        let long_value = format!("k={}", "v".repeat(257));
        for bad in [
            "a",
            "a=",
            "=1",
            "A=1",
            "a =1",
            "a=1=2",
            "@a=1",
            "_a=1",
            "a=\u{e9}",
            "a!=1",
            &too_many,
            &long_key,
            &long_value,
        ] {
            assert_eq!(state_of(&["good=1", bad]), "", "kept: {bad:?}");
        }
    }

    #[test]
    fn the_random_flag_is_kept() {
        for flags in ["00", "01", "02", "03"] {
            let one = format!("00-{TRACE}-{SPAN}-{flags}");
            assert_eq!(passed_on(both(), &[("traceparent", &one)])["traceparent"], one.as_str());
        }
    }

    #[test]
    fn switched_off_it_hands_on_what_came_byte_for_byte() {
        let off = Propagation::new(&[PropagatorName::Tracecontext, PropagatorName::Baggage], true);
        let given = [("traceparent", "99-odd"), ("tracestate", "a=1"), ("tracestate", "B"), ("baggage", "x=1")];
        assert_eq!(passed_on(off, &given), headers(&given));
    }

    #[test]
    fn propagators_can_be_left_out() {
        let one = format!("00-{TRACE}-{SPAN}-01");
        let given = [("traceparent", one.as_str()), ("baggage", "user=1")];
        let names = |names: &[PropagatorName]| {
            let mut names: Vec<_> =
                passed_on(Propagation::new(names, false), &given).keys().map(ToString::to_string).collect();
            names.sort();
            names
        };
        assert_eq!(names(&[PropagatorName::Tracecontext, PropagatorName::Baggage]), ["baggage", "traceparent"]);
        assert_eq!(names(&[PropagatorName::Baggage]), ["baggage"]);
        assert_eq!(names(&[PropagatorName::None]), [""; 0]);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_and_what_it_takes_it_writes_again(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Some((trace_id, span_id, flags)) = parse_traceparent(&bytes) {
                let rewritten = format!("00-{trace_id}-{span_id}-{flags:02x}");
                prop_assert_eq!(parse_traceparent(rewritten.as_bytes()), Some((trace_id, span_id, flags)));
            }
        }

        #[test]
        fn one_changed_character_is_refused_or_another_valid_header(at in 0_usize..55, byte in 0x20_u8..0x7f) {
            let mut text = format!("00-{TRACE}-{SPAN}-01").into_bytes();
            text[at] = byte;
            let dash = matches!(at, 2 | 35 | 52);
            let digit = byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
            let expected = if dash { byte == b'-' } else { digit && &text[..2] != b"ff" };
            prop_assert_eq!(parse_traceparent(&text).is_some(), expected);
        }
    }
}
