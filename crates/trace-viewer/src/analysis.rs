//! A stored trace for the crate `trace-analysis`.

use std::collections::HashMap;
use std::time::Duration;

use trace_analysis::{Kind, READ_ATTRIBUTES, Report, Span, SpanId, Tree};

use crate::attributes::{Attribute, text};
use crate::short::short;
use crate::span::StoredSpan;
use crate::trace::Trace;

/// When nothing has arrived for a trace in this time, nothing more is expected: exporters send every few seconds.
const SETTLED_AFTER: Duration = Duration::from_secs(15);

/// Whether no more spans are expected.
pub(crate) fn settled(trace: &Trace) -> bool {
    trace.updated.elapsed() > SETTLED_AFTER
}

/// The tree of a trace; its span `i` is the `i`th of `trace.spans`.
pub(crate) fn tree(trace: &Trace) -> Tree {
    Tree::new(trace.spans.values().map(|stored| span(stored)).collect())
}

/// A span of a trace and all below it, as a tree of its own; `None` if the span is not there.
pub(crate) fn subtree(trace: &Trace, top: crate::ids::SpanId) -> Option<Tree> {
    trace.spans.get(&top)?;
    let mut below = HashMap::<_, Vec<_>>::new();
    for stored in trace.spans.values() {
        if let Some(parent) = stored.parent() {
            below.entry(parent).or_default().push(stored);
        }
    }
    let (mut spans, mut pending) = (Vec::new(), vec![top]);
    while let Some(id) = pending.pop() {
        // Taken out, so that spans which are each other's parents are listed once.
        pending.extend(below.remove(&id).into_iter().flatten().map(|child| child.id).filter(|child| *child != top));
        spans.extend(trace.spans.get(&id).map(|stored| span(stored)));
    }
    spans[0].parent = None;
    Some(Tree::new(spans))
}

/// What is said of the trace. While a parent is missing that may still come, no critical path is.
pub(crate) fn report(trace: &Trace, tree: &Tree) -> Report {
    if tree.is_complete() || settled(trace) { Report::of(tree) } else { Report::of_arriving(tree) }
}

fn span(stored: &StoredSpan) -> Span {
    let mut attributes = read(stored.attributes());
    if let Some(exception) = stored.events().iter().rev().find(|event| event.name == "exception") {
        attributes.extend(read(&exception.attributes));
    }
    Span {
        parent: stored.parent().map(span_id),
        name: short(stored.name()).into_owned(),
        service: short(stored.service()).into_owned(),
        kind: Kind::from_number(stored.kind.into()),
        start: stored.start(),
        end: stored.end(),
        failed: stored.failed(),
        message: short(stored.status_message()).into_owned(),
        attributes,
        ..Span::new(span_id(stored.id))
    }
}

fn span_id(id: crate::ids::SpanId) -> SpanId {
    SpanId(u64::from_be_bytes(id.to_bytes()))
}

fn read(attributes: &[Attribute]) -> Vec<(String, String)> {
    let read = attributes.iter().filter(|pair| READ_ATTRIBUTES.contains(&pair.key.as_str()));
    read.map(|pair| (pair.key.to_string(), short(&text(&pair.value)).into_owned())).collect()
}
