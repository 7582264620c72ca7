//! Two traces side by side, as JSON for the comparison page.
//!
//! Times are nanoseconds after the start of each trace's own root; a span that begins before it has a negative one.

use serde_json::{Value, json};
use trace_analysis::{Comparison, Row, Segment, Tree};

use crate::analysis::{report, settled, tree};
use crate::trace::Trace;

/// Rows at most; a browser takes long to draw more.
const MOST_ROWS: usize = 10_000;

/// What takes this many times as long is marked as slower.
const SLOWER: f64 = 1.5;

/// The comparison of two traces, or which of them is known.
pub(crate) fn comparison(a: Option<&Trace>, b: Option<&Trace>) -> Value {
    let (Some(a), Some(b)) = (a, b) else { return json!({"known": [a.is_some(), b.is_some()]}) };
    let (tree_a, tree_b) = (tree(a), tree(b));
    let reports = (report(a, &tree_a), report(b, &tree_b));
    let difference = Comparison::of_reports((&tree_a, reports.0), (&tree_b, reports.1), SLOWER);
    let (side_a, side_b) =
        (Side::new(a, &tree_a, &difference.a.path.segments), Side::new(b, &tree_b, &difference.b.path.segments));
    let row = |row: &Row| {
        let span = row.a.map(|i| &tree_a.spans[i]).or_else(|| row.b.map(|i| &tree_b.spans[i]));
        json!({
            "depth": row.depth,
            "name": span.map(|span| &span.name),
            "service": span.map(|span| &span.service),
            "kind": span.map(|span| span.kind.name().to_lowercase()),
            "a": row.a.map(|i| side_a.span(i)),
            "b": row.b.map(|i| side_b.span(i)),
            "change": row.change,
            "ratio": row.ratio,
        })
    };
    json!({
        "known": [true, true],
        "sentence": difference.sentence,
        "same_structure": difference.same_structure,
        "ratio": difference.ratio,
        "a": side_a.trace(),
        "b": side_b.trace(),
        "rows": difference.rows.iter().take(MOST_ROWS).map(row).collect::<Value>(),
        "cut": difference.rows.len().saturating_sub(MOST_ROWS),
    })
}

struct Side<'a> {
    trace: &'a Trace,
    tree: &'a Tree,
    start: u64,
    /// Of each span, its parts of the critical path.
    critical: Vec<Vec<[u64; 2]>>,
}

impl<'a> Side<'a> {
    fn new(trace: &'a Trace, tree: &'a Tree, segments: &[Segment]) -> Self {
        let start = tree.root.map_or(0, |root| tree.spans[root].start);
        let mut critical = vec![Vec::new(); tree.spans.len()];
        for segment in segments {
            critical[segment.span].push([segment.from - start, segment.to - start]);
        }
        Self { trace, tree, start, critical }
    }

    fn trace(&self) -> Value {
        json!({
            "id": self.trace.id.to_string(),
            "duration": self.tree.duration(),
            "start": self.start / 1_000_000,
            "settled": settled(self.trace),
        })
    }

    fn span(&self, i: usize) -> Value {
        let span = &self.tree.spans[i];
        json!({
            "id": span.id,
            "start": (i128::from(span.start) - i128::from(self.start)) as f64,
            "duration": span.duration(),
            "failed": span.failed,
            "cancelled": self.tree.cancelled[i],
            "critical": self.critical[i],
        })
    }
}
