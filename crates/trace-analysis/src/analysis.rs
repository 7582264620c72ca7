//! Which spans ran at the same time, and the speedup.
//!
//! A trace has many sets of siblings. All figures are those of the largest set of similar names under one parent, such
//! as the rolls of a batch.

use std::collections::BTreeMap;

use crate::critical_path::{Segment, critical_path, tolerance};
use crate::ids::SpanId;
use crate::tree::Tree;

/// The result for one trace.
pub(crate) struct Analysis<'a> {
    /// `None` where no span has two children of similar names or at the same time.
    pub(crate) siblings: Option<Siblings<'a>>,
    /// The critical path of the top span, sorted by time.
    pub(crate) path: Vec<Segment>,
}

/// What siblings have in common, beside their parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Likeness<'a> {
    /// The name, but for a number at its end; this is the name without it.
    Numbered(&'a str),
    /// The name.
    Named(&'a str),
    /// Nothing.
    Mixed,
}

/// Spans with the same parent. Times are nanoseconds.
#[derive(Debug)]
pub(crate) struct Siblings<'a> {
    pub(crate) likeness: Likeness<'a>,
    pub(crate) count: usize,
    /// How many of them failed.
    pub(crate) failed: usize,
    /// How many ended because their client went away.
    pub(crate) cancelled: usize,
    /// From the first start to the last end.
    pub(crate) wall: u64,
    /// The sum of the durations: the time that one after the other would take.
    pub(crate) sum: u64,
    /// The most that were in progress at the same time.
    pub(crate) peak: usize,
    /// How many are in progress from when (since 1970) on.
    pub(crate) steps: Vec<(u64, usize)>,
    /// The one that ended last.
    pub(crate) last: usize,
}

impl Siblings<'_> {
    /// How much longer one after the other would have taken.
    pub(crate) fn speedup(&self) -> f64 {
        if self.wall == 0 { 1.0 } else { self.sum as f64 / self.wall as f64 }
    }
}

impl<'a> Analysis<'a> {
    pub(crate) fn of(tree: &Tree<'a>) -> Self {
        let path = tree.top.map(|top| critical_path(tree, top)).unwrap_or_default();
        Self { siblings: most_concurrent(tree), path }
    }
}

/// Prefers siblings that overlap, then those of similar names, then the larger set.
fn most_concurrent<'a>(tree: &Tree<'a>) -> Option<Siblings<'a>> {
    let mut by_parent = BTreeMap::<SpanId, Vec<usize>>::new();
    for (i, node) in tree.nodes.iter().enumerate() {
        // By the parent's id, so that the parent itself may be missing.
        if let Some(parent) = node.parent {
            by_parent.entry(parent).or_default().push(i);
        }
    }
    let mut sets = Vec::new();
    for children in by_parent.into_values() {
        let mut by_name = BTreeMap::<_, Vec<usize>>::new();
        for &child in &children {
            by_name.entry(likeness(tree.nodes[child].name)).or_default().push(child);
        }
        sets.extend(by_name.into_iter().map(|(likeness, members)| measure(tree, likeness, &members)));
        sets.push(measure(tree, Likeness::Mixed, &children));
    }
    let similar = |set: &Siblings<'_>| set.likeness != Likeness::Mixed;
    sets.retain(|set| set.count > 1 && (set.peak > 1 || similar(set)));
    sets.into_iter().max_by_key(|set| (set.peak > 1, similar(set), set.count, set.sum))
}

fn likeness(name: &str) -> Likeness<'_> {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let bare = stem.trim_end_matches([' ', '_', '-', '.', '#', ':', '/']);
    if stem.len() == name.len() || bare.is_empty() { Likeness::Named(name) } else { Likeness::Numbered(bare) }
}

fn measure<'a>(tree: &Tree<'a>, likeness: Likeness<'a>, members: &[usize]) -> Siblings<'a> {
    let spans = || members.iter().map(|&i| &tree.nodes[i]);
    let first = spans().map(|span| span.start).min().unwrap_or(0);
    let end = spans().map(|span| span.end).max().unwrap_or(0);
    let steps = steps(spans().map(|span| (span.start, span.end - tolerance(span.duration()))));
    Siblings {
        likeness,
        count: members.len(),
        failed: spans().filter(|span| span.failed).count(),
        cancelled: spans().filter(|span| span.cancelled).count(),
        wall: end - first,
        sum: spans().map(|span| span.duration()).fold(0, u64::saturating_add),
        peak: steps.iter().map(|&(_, active)| active).max().unwrap_or(0).max(1),
        steps,
        last: members.iter().copied().max_by_key(|&i| tree.nodes[i].end).unwrap_or(0),
    }
}

/// How many of `spans` (start, end) are in progress, for each time at which that changes.
fn steps(spans: impl Iterator<Item = (u64, u64)>) -> Vec<(u64, usize)> {
    let mut changes: Vec<(u64, i8)> =
        spans.filter(|(start, end)| start < end).flat_map(|(start, end)| [(start, 1), (end, -1)]).collect();
    changes.sort_unstable();
    let mut steps = Vec::<(u64, usize)>::new();
    let mut active = 0usize;
    for (at, change) in changes {
        active = active.saturating_add_signed(change.into());
        // At one time only the last number counts: a span that starts when another ends does not overlap it.
        match steps.last_mut() {
            Some(last) if last.0 == at => last.1 = active,
            _ => steps.push((at, active)),
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::tests::{named, node};

    const MS: u64 = 1_000_000;

    /// Siblings `roll_0`… under span 1, each from and to so many milliseconds; count, wall, sum (ms) and peak.
    fn rolls(times: &[(u64, u64)]) -> (usize, u64, u64, usize) {
        let names: Vec<String> = (0..times.len()).map(|i| format!("roll_{i}")).collect();
        let mut nodes = vec![node(1, 0, 0, 10_000 * MS)];
        for ((n, name), (from, to)) in (2..).zip(&names).zip(times) {
            nodes.push(named(name, node(n, 1, from * MS, to * MS)));
        }
        let tree = Tree::new(nodes);
        let siblings = Analysis::of(&tree).siblings.expect("siblings");
        assert_eq!(siblings.likeness, Likeness::Numbered("roll"));
        (siblings.count, siblings.wall / MS, siblings.sum / MS, siblings.peak)
    }

    #[test]
    fn concurrent_rolls_have_their_number_as_peak() {
        assert_eq!(rolls(&[(10, 510), (11, 911), (12, 212)]), (3, 901, 1600, 3));
    }

    #[test]
    fn sequential_rolls_have_peak_one_even_if_they_overlap_slightly() {
        assert_eq!(rolls(&[(0, 300), (300, 600), (600, 1000)]), (3, 1000, 1000, 1));
        let tree = Tree::new(vec![
            node(1, 0, 0, 900 * MS),
            named("roll_0", node(2, 1, 0, 300 * MS + 50_000)),
            named("roll_1", node(3, 1, 300 * MS, 600 * MS)),
        ]);
        assert_eq!(Analysis::of(&tree).siblings.map(|set| set.peak), Some(1));
    }

    #[test]
    fn waves_have_their_width_as_peak() {
        let two_waves = [(0, 400), (0, 500), (0, 300), (500, 800), (500, 900), (500, 1000)];
        assert_eq!(rolls(&two_waves), (6, 1000, 2400, 3));
        // A new one starts when one has ended: never more than two.
        assert_eq!(rolls(&[(0, 400), (0, 500), (400, 700), (500, 900)]), (4, 900, 1600, 2));
    }

    #[test]
    fn spans_without_duration_have_speedup_and_peak_one() {
        assert_eq!(rolls(&[(5, 5), (5, 5)]), (2, 0, 0, 1));
        let tree = Tree::new(vec![node(1, 0, 5, 5), node(2, 1, 5, 5), node(3, 1, 5, 5)]);
        assert_eq!(Analysis::of(&tree).siblings.map(|set| set.speedup()), Some(1.0));
    }

    #[test]
    fn call_before_the_rolls_is_not_one_of_the_siblings() {
        let tree = Tree::new(vec![
            node(1, 0, 0, 100),
            named("GET", node(2, 1, 0, 10)),
            named("roll_0", node(3, 1, 10, 90)),
            named("roll_1", node(4, 1, 10, 80)),
        ]);
        let set = Analysis::of(&tree).siblings.expect("siblings");
        assert_eq!((set.likeness, set.count, set.last), (Likeness::Numbered("roll"), 2, 2));
        assert_eq!(set.steps, [(10, 2), (79, 1), (89, 0)]);
    }

    #[test]
    fn siblings_are_found_without_their_parent() {
        let tree = Tree::new(vec![named("roll_0", node(3, 1, 0, 90)), named("roll_1", node(4, 1, 0, 80))]);
        let analysis = Analysis::of(&tree);
        assert_eq!(analysis.siblings.map(|set| (set.count, set.peak)), Some((2, 2)));
        assert_eq!(analysis.path, [Segment { node: 0, from: 0, to: 90 }]);
    }

    #[test]
    fn siblings_of_different_names_count_only_if_they_overlap() {
        let at = |from, to| {
            let nodes = vec![node(1, 0, 0, 99), named("a", node(2, 1, 0, 50)), named("b", node(3, 1, from, to))];
            Analysis::of(&Tree::new(nodes)).siblings.map(|set| set.likeness)
        };
        assert_eq!(at(50, 90), None);
        assert_eq!(at(10, 90), Some(Likeness::Mixed));
    }

    #[test]
    fn chain_of_calls_has_no_siblings() {
        let tree = Tree::new(vec![node(1, 0, 0, 90), node(2, 1, 10, 80), node(3, 2, 20, 70)]);
        assert!(Analysis::of(&tree).siblings.is_none());
    }

    #[test]
    fn likeness_ignores_the_number_at_the_end_of_a_name() {
        assert_eq!(likeness("async_roll_12"), Likeness::Numbered("async_roll"));
        assert_eq!(likeness("chunk #3"), Likeness::Numbered("chunk"));
        assert_eq!(likeness("GET /dice"), Likeness::Named("GET /dice"));
        assert_eq!(likeness("404"), Likeness::Named("404"));
    }
}
