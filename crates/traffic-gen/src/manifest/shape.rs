//! The shape of a trace: how many spans, who called whom, how many failed.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use tempo_client::{Span, StatusCode};

/// Counts that tell two traces apart without times, ids or attributes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Shape {
    /// Spans in all.
    pub(super) spans: u32,
    /// Spans with status Error.
    pub(super) errors: u32,
    /// How often a span was called by another: `service span → service span`.
    pub(super) edges: BTreeMap<String, u32>,
}

/// A span in an edge: `service span`.
pub(super) fn name(service: &str, span: &str) -> String {
    format!("{service} {span}")
}

impl Shape {
    /// The shape of the spans that a backend holds. A span that it holds twice counts once.
    pub(super) fn of(spans: &[Span]) -> Self {
        let by_id: HashMap<&str, &Span> = spans.iter().map(|span| (&*span.id, span)).collect();
        let mut shape = Self::default();
        for span in by_id.values() {
            shape.spans += 1;
            shape.errors += u32::from(span.status.code == StatusCode::Error);
            if let Some(parent) = by_id.get(&*span.parent_id) {
                shape.edge(&name(&parent.service, &parent.name), &name(&span.service, &span.name));
            }
        }
        shape
    }

    /// One more call from `parent` to `child`, each a [`name`].
    pub(super) fn edge(&mut self, parent: &str, child: &str) {
        *self.edges.entry(format!("{parent} → {child}")).or_default() += 1;
    }

    /// What of this shape is not in `found`.
    pub(super) fn missing_from(&self, found: &Self) -> Self {
        let lost = |(edge, count): (&String, &u32)| {
            let lost = count.saturating_sub(found.edges.get(edge).copied().unwrap_or_default());
            (lost > 0).then(|| (edge.clone(), lost))
        };
        Self {
            spans: self.spans.saturating_sub(found.spans),
            errors: self.errors.saturating_sub(found.errors),
            edges: self.edges.iter().filter_map(lost).collect(),
        }
    }
}
