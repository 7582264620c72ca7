//! Spans for tests.

use crate::span::{Kind, Span, SpanId};

pub(crate) const MS: u64 = 1_000_000;

/// Span `number`, child of span `parent` (0: none).
pub(crate) fn span(number: u64, parent: u64, start: u64, end: u64) -> Span {
    let service = "s".into();
    Span { parent: SpanId::new(parent), service, kind: Kind::Internal, start, end, ..Span::new(SpanId(number)) }
}

pub(crate) fn named(name: &str, span: Span) -> Span {
    Span { name: name.into(), ..span }
}

pub(crate) fn of(service: &str, kind: Kind, span: Span) -> Span {
    Span { service: service.into(), kind, ..span }
}

pub(crate) fn failed(message: &str, span: Span) -> Span {
    Span { failed: true, message: message.into(), ..span }
}

pub(crate) fn with(attributes: &[(&str, &str)], span: Span) -> Span {
    let attributes = attributes.iter().map(|&(key, value)| (key.into(), value.into()));
    Span { attributes: attributes.collect(), ..span }
}

/// Any trace: up to 40 spans with skewed clocks, children that outlive their parents, ties, missing parents, cycles,
/// few names, and some that failed.
pub(crate) fn any_trace() -> impl proptest::strategy::Strategy<Value = Vec<Span>> {
    use proptest::prelude::*;
    // Small numbers make ties; large ones make tolerances.
    let scale = prop_oneof![Just(1u64), Just(60), Just(3_000_000)];
    let one = (0u64..42, 0u64..60, 0u64..40, 0usize..5, 0u8..4, proptest::bool::weighted(0.2), 0u64..4);
    (scale, proptest::collection::vec(one, 0..40)).prop_map(|(scale, spans)| {
        let mut all = vec![named("root", span(1, 0, 20 * scale, 60 * scale))];
        for (number, (parent, start, length, name, kind, fails, jitter)) in (2..).zip(spans) {
            let (start, length) = (start * scale + jitter, length * scale);
            let span =
                named(["roll_1", "roll_22", "GET", "GET /x", "7"][name], span(number, parent, start, start + length));
            let span = of(["a", "b"][usize::from(kind) % 2], if kind < 2 { Kind::Client } else { Kind::Server }, span);
            all.push(if fails { failed("no", span) } else { span });
        }
        all
    })
}
