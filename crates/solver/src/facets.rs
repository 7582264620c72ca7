//! What the rules count: calls, batches, and what of a trace is not as usual.

use serde_json::Value;
use trace_check::{Kind, Span, Trace};

/// A call, and the span of the service that was called.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call<'t> {
    pub(crate) client: &'t Span,
    pub(crate) server: &'t Span,
    /// The index of `server`.
    pub(crate) index: usize,
}

/// A request whose work are several likes below it.
#[derive(Debug, Clone)]
pub(crate) struct Batch<'t> {
    pub(crate) server: &'t Span,
    /// The index of `server`.
    pub(crate) index: usize,
    /// INTERNAL spans below it, by start.
    pub(crate) parts: Vec<usize>,
}

/// The calls whose both sides are there.
pub(crate) fn calls(trace: &Trace) -> Vec<Call<'_>> {
    let tree = trace.tree();
    let call = |(index, server): (usize, &'_ Span)| {
        let client = &tree.spans[tree.parents[index]?];
        (server.kind == Kind::Server && client.kind == Kind::Client).then_some((client.id, index))
    };
    let pairs: Vec<_> = tree.spans.iter().enumerate().filter_map(call).collect();
    let of = |(_, index): (_, usize)| {
        Some(Call { client: &tree.spans[tree.parents[index]?], server: &tree.spans[index], index })
    };
    pairs.into_iter().filter_map(of).collect()
}

/// Requests with two and more INTERNAL children.
pub(crate) fn batches(trace: &Trace) -> Vec<Batch<'_>> {
    let tree = trace.tree();
    let of_kind = |i: &usize, kind| tree.spans[*i].kind == kind;
    let servers = (0..tree.spans.len()).filter(|i| of_kind(i, Kind::Server));
    let batch = |index: usize| Batch {
        server: &tree.spans[index],
        index,
        parts: tree.children[index].iter().copied().filter(|i| of_kind(i, Kind::Internal)).collect(),
    };
    servers.map(batch).filter(|batch| batch.parts.len() >= 2).collect()
}

/// Descendants of that kind and service, at any depth.
pub(crate) fn below(trace: &Trace, span: usize, kind: Kind) -> usize {
    let tree = trace.tree();
    let mut pending = tree.children[span].clone();
    let mut count = 0;
    while let Some(i) = pending.pop() {
        let of_service = tree.spans[i].service == tree.spans[span].service;
        count += usize::from(of_service && tree.spans[i].kind == kind);
        // What another service calls is not this one's work.
        if of_service {
            pending.extend(&tree.children[i]);
        }
    }
    count
}

/// An attribute that is a number.
pub(crate) fn number(trace: &Trace, span: usize, name: &str) -> Option<i64> {
    trace.details(span).attributes.get(name).and_then(Value::as_i64)
}

/// An attribute that is a text.
pub(crate) fn text<'t>(trace: &'t Trace, span: usize, name: &str) -> Option<&'t str> {
    trace.details(span).attributes.get(name).and_then(Value::as_str)
}

/// The value that so many percent of the others do not exceed; `None` without values.
pub(crate) fn percentile(values: impl IntoIterator<Item = u64>, percent: usize) -> Option<u64> {
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_unstable();
    values.get((values.len() * percent / 100).min(values.len().saturating_sub(1))).copied()
}
