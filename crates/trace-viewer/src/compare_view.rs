//! Two traces side by side, or two spans with all below them, as JSON for the comparison page.
//!
//! Times are nanoseconds after the start of each one's own root; a span that begins before it has a negative one.

use std::sync::Arc;

use serde_json::{Value, json};
use trace_analysis::{Comparison, Row, Segment, Tree};

use crate::analysis::{report, settled, subtree, tree};
use crate::ids::{SpanId, TraceId};
use crate::sending::{Full, Text};
use crate::short::short;
use crate::store::Store;
use crate::trace::Trace;

/// Rows at most; a browser takes long to draw more.
const MOST_ROWS: usize = 10_000;

/// What takes this many times as long is marked as slower.
pub(crate) const SLOWER: f64 = 1.5;

/// What is compared.
pub(crate) struct Compared {
    pub(crate) trace: Arc<Trace>,
    /// Only this span and those below it.
    span: Option<SpanId>,
    pub(crate) tree: Tree,
}

impl Compared {
    /// What `text` names: a trace id, or a trace id and a span id joined by `-`.
    pub(crate) fn find(store: &Store, text: &str) -> Option<Self> {
        let (trace, span) = text.split_once('-').map_or((text, None), |(trace, span)| (trace, Some(span)));
        let trace = TraceId::from_hex(trace).ok().and_then(|id| store.get(id))?;
        let span = match span {
            Some(span) => Some(SpanId::from_hex(span)?),
            None => None,
        };
        let tree = span.map_or_else(|| Some(tree(&trace)), |span| subtree(&trace, span))?;
        Some(Self { trace, span, tree })
    }
}

/// Writes the comparison of two traces, or which of them is known.
///
/// # Errors
/// There is no memory for it.
pub(crate) fn comparison(a: Option<Compared>, b: Option<Compared>, out: &mut Text) -> Result<(), Full> {
    let (Some(a), Some(b)) = (&a, &b) else { return out.json(&json!({"known": [a.is_some(), b.is_some()]})) };
    let (tree_a, tree_b) = (&a.tree, &b.tree);
    let reports = (report(&a.trace, tree_a), report(&b.trace, tree_b));
    let difference = Comparison::of_reports((tree_a, reports.0), (tree_b, reports.1), SLOWER);
    let (side_a, side_b) = (Side::new(a, &difference.a.path.segments), Side::new(b, &difference.b.path.segments));
    let row = |row: &Row| {
        let span = row.a.map(|i| &tree_a.spans[i]).or_else(|| row.b.map(|i| &tree_b.spans[i]));
        json!({
            "depth": row.depth,
            "name": span.map(|span| short(&span.name)),
            "service": span.map(|span| short(&span.service)),
            "kind": span.map(|span| span.kind.name().to_lowercase()),
            "a": row.a.map(|i| side_a.span(i)),
            "b": row.b.map(|i| side_b.span(i)),
            "change": row.change,
            "ratio": row.ratio,
        })
    };
    let object = json!({
        "known": [true, true],
        "sentence": difference.sentence,
        "same_structure": difference.same_structure,
        "ratio": difference.ratio,
        "a": side_a.trace(),
        "b": side_b.trace(),
        "cut": difference.rows.len().saturating_sub(MOST_ROWS),
    });
    out.object_with_list(&object, "rows", difference.rows.iter().take(MOST_ROWS).map(row))
}

struct Side<'a> {
    compared: &'a Compared,
    start: u64,
    /// Of each span, its parts of the critical path.
    critical: Vec<Vec<[u64; 2]>>,
}

impl<'a> Side<'a> {
    fn new(compared: &'a Compared, segments: &[Segment]) -> Self {
        let tree = &compared.tree;
        let start = tree.root.map_or(0, |root| tree.spans[root].start);
        let mut critical = vec![Vec::new(); tree.spans.len()];
        for segment in segments {
            critical[segment.span].push([segment.from - start, segment.to - start]);
        }
        Self { compared, start, critical }
    }

    fn trace(&self) -> Value {
        json!({
            "id": self.compared.trace.id.to_string(),
            "span": self.compared.span.map(|span| span.to_string()),
            "duration": self.compared.tree.duration(),
            "start": self.start / 1_000_000,
            "settled": settled(&self.compared.trace),
        })
    }

    fn span(&self, i: usize) -> Value {
        let tree = &self.compared.tree;
        let span = &tree.spans[i];
        json!({
            "id": span.id,
            "start": (i128::from(span.start) - i128::from(self.start)) as f64,
            "duration": span.duration(),
            "failed": span.failed,
            "cancelled": tree.cancelled[i],
            "critical": self.critical[i],
        })
    }
}
