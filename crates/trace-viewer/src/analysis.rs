//! A stored trace for the crate `trace-analysis`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use smol_str::{SmolStr, format_smolstr};
use trace_analysis::{Kind, READ_ATTRIBUTES, Report, Span, SpanId, Tree};

use crate::attributes::Value;
use crate::short::short;
use crate::span::StoredSpan;
use crate::trace::Trace;

/// When nothing has arrived for a trace in this time, nothing more is expected: exporters send every few seconds.
const SETTLED_AFTER: Duration = Duration::from_secs(15);

/// Texts up to this length are shared with the store: a copy for each of 100,000 spans would take many times its memory.
/// Of longer ones, which the store does not share either, the beginning is copied.
const LONGEST_SHARED: usize = 4096;

/// Whether no more spans are expected.
pub(crate) fn settled(trace: &Trace) -> bool {
    trace.updated.elapsed() > SETTLED_AFTER
}

/// The tree of a trace; its span `i` is the `i`th of `trace.spans`.
pub(crate) fn tree(trace: &Trace) -> Tree {
    let mut services = Services::default();
    Tree::new(trace.spans.values().map(|stored| span(stored, &mut services)).collect())
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
    let (mut spans, mut pending, mut services) = (Vec::new(), vec![top], Services::default());
    while let Some(id) = pending.pop() {
        // Taken out, so that spans which are each other's parents are listed once.
        pending.extend(below.remove(&id).into_iter().flatten().map(|child| child.id).filter(|child| *child != top));
        spans.extend(trace.spans.get(&id).map(|stored| span(stored, &mut services)));
    }
    spans[0].parent = None;
    Some(Tree::new(spans))
}

/// What is said of the trace. While a parent is missing that may still come, no critical path is.
pub(crate) fn report(trace: &Trace, tree: &Tree) -> Report {
    if tree.is_complete() || settled(trace) { Report::of(tree) } else { Report::of_arriving(tree) }
}

/// The service of each resource, by its address.
type Services = HashMap<usize, SmolStr>;

fn span(stored: &StoredSpan, services: &mut Services) -> Span {
    let resource = &stored.origin.resource;
    let service = services.entry(Arc::as_ptr(resource).addr()).or_insert_with(|| shared(&resource.service));
    let exception = stored.events().iter().rev().find(|event| event.name == "exception");
    let lists = [Some(stored.attributes()), exception.map(|event| &*event.attributes)];
    // The first of each name: a sender may repeat one thousands of times.
    let first = |key| lists.into_iter().flatten().flatten().find(|pair| pair.key == key);
    let read = READ_ATTRIBUTES.into_iter().filter_map(first);
    Span {
        parent: stored.parent().map(span_id),
        name: shared(&stored.name),
        service: service.clone(),
        kind: Kind::from_number(stored.kind.into()),
        start: stored.start(),
        end: stored.end(),
        failed: stored.failed(),
        message: stored.rest.as_ref().map(|rest| shared(&rest.status_message)).unwrap_or_default(),
        attributes: read.filter_map(|pair| Some((pair.key.clone(), scalar(&pair.value)?))).collect(),
        ..Span::new(span_id(stored.id))
    }
}

fn span_id(id: crate::ids::SpanId) -> SpanId {
    SpanId(u64::from_be_bytes(id.to_bytes()))
}

/// A text without a copy; of one that is very long, the beginning.
fn shared(text: &SmolStr) -> SmolStr {
    if text.len() <= LONGEST_SHARED { text.clone() } else { short(text).into() }
}

/// A value as text; a list or map is none of those that are read.
fn scalar(value: &Value) -> Option<SmolStr> {
    match value {
        Value::Text(text) => Some(shared(text)),
        Value::Int(number) => Some(format_smolstr!("{number}")),
        Value::Bool(flag) => Some(format_smolstr!("{flag}")),
        Value::Double(number) => Some(format_smolstr!("{number}")),
        Value::Empty | Value::Bytes(_) | Value::Array(_) | Value::Map(_) => None,
    }
}
