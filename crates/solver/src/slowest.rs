//! A guess, to compare with: the slowest span is to blame.

use trace_check::Kind;

use crate::{Conclusion, HEALTHY, NOBODY, Recording};

/// Blames the service of the slowest span that has none below it. What most often makes a span of its kind slow is the
/// mechanism.
pub fn slowest_span(recording: &Recording) -> Conclusion {
    let spans = recording.traces.iter().flat_map(|observed| {
        let tree = observed.trace.tree();
        let leaves = (0..tree.spans.len()).filter(|&i| tree.children[i].is_empty());
        leaves.map(move |i| (&tree.spans[i], &observed.id))
    });
    let Some((span, id)) = spans.max_by_key(|(span, _)| span.duration()) else {
        return Conclusion { culprit: NOBODY.to_owned(), mechanism: HEALTHY, evidence: String::new() };
    };
    let mechanism = match (span.service.as_str(), span.kind) {
        ("frontend", _) => "retry-storm",
        ("die-service", _) => "slow-die",
        (_, Kind::Client) => "small-pool",
        _ => "lock-across-await",
    };
    Conclusion { culprit: span.service.to_string(), mechanism, evidence: id.clone() }
}
