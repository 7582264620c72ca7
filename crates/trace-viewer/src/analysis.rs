//! What ran at the same time, and what that gained.
//!
//! A trace has many sets of siblings. The one that tells the story is the largest set of the same kind under one
//! caller: the rolls of a batch, the queries of a page. All figures speak of that set, and the sentence names it.

use std::collections::BTreeMap;

use crate::critical_path::{Segment, critical_path, handover};
use crate::ids::SpanId;
use crate::tree::Tree;

/// What the page says about a trace.
pub(crate) struct Analysis<'a> {
    /// The siblings that the figures speak of; none where no span has two children of a kind or at once.
    pub(crate) siblings: Option<Siblings<'a>>,
    /// What decided the end of the top span, by time.
    pub(crate) path: Vec<Segment>,
}

/// What siblings have in common, beside their caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Likeness<'a> {
    /// The name, but for a number at its end; this is the name without it.
    Numbered(&'a str),
    /// The name.
    Named(&'a str),
    /// Nothing.
    Mixed,
}

/// Spans with the same caller. Times are nanoseconds.
#[derive(Debug)]
pub(crate) struct Siblings<'a> {
    pub(crate) likeness: Likeness<'a>,
    pub(crate) count: usize,
    /// How many of them failed.
    pub(crate) failed: usize,
    /// How many ended because nobody waited for them any more.
    pub(crate) cancelled: usize,
    /// From the first start to the last end.
    pub(crate) wall: u64,
    /// What each took, added up: the time that one after the other would take.
    pub(crate) sum: u64,
    /// Most of them under way at any one time.
    pub(crate) peak: usize,
    /// From when (since 1970) on how many are under way.
    pub(crate) steps: Vec<(u64, usize)>,
    /// The one that ended last.
    pub(crate) last: usize,
}

impl Siblings<'_> {
    /// How many times longer one after the other would have taken.
    pub(crate) fn speedup(&self) -> f64 {
        if self.wall == 0 { 1.0 } else { self.sum as f64 / self.wall as f64 }
    }
}

impl<'a> Analysis<'a> {
    pub(crate) fn of(tree: &Tree<'a>) -> Self {
        let path = tree.top.map(|top| critical_path(tree, top)).unwrap_or_default();
        Self { siblings: telling_siblings(tree), path }
    }
}

/// Siblings that overlap say more than those that do not, siblings of a kind more than a mixture, many more than few.
fn telling_siblings<'a>(tree: &Tree<'a>) -> Option<Siblings<'a>> {
    let mut by_caller = BTreeMap::<SpanId, Vec<usize>>::new();
    for (i, node) in tree.nodes.iter().enumerate() {
        // By the id that they name, so that the picture is right even before the caller itself has arrived.
        if let Some(caller) = node.parent {
            by_caller.entry(caller).or_default().push(i);
        }
    }
    let mut sets = Vec::new();
    for children in by_caller.into_values() {
        let mut alike = BTreeMap::<_, Vec<usize>>::new();
        for &child in &children {
            alike.entry(likeness(tree.nodes[child].name)).or_default().push(child);
        }
        sets.extend(alike.into_iter().map(|(likeness, members)| measure(tree, likeness, &members)));
        sets.push(measure(tree, Likeness::Mixed, &children));
    }
    let of_kind = |set: &Siblings<'_>| set.likeness != Likeness::Mixed;
    sets.retain(|set| set.count > 1 && (set.peak > 1 || of_kind(set)));
    sets.into_iter().max_by_key(|set| (set.peak > 1, of_kind(set), set.count, set.sum))
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
    let steps = steps(spans().map(|span| (span.start, span.end - handover(span.duration()))));
    Siblings {
        likeness,
        count: members.len(),
        failed: spans().filter(|span| span.failed).count(),
        cancelled: spans().filter(|span| span.cancelled).count(),
        wall: end - first,
        sum: spans().map(|span| span.duration()).fold(0, u64::saturating_add),
        peak: steps.iter().map(|&(_, under_way)| under_way).max().unwrap_or(0).max(1),
        steps,
        last: members.iter().copied().max_by_key(|&i| tree.nodes[i].end).unwrap_or(0),
    }
}

/// How many of `spans` (start, end) are under way, from each moment on at which that changes.
fn steps(spans: impl Iterator<Item = (u64, u64)>) -> Vec<(u64, usize)> {
    let mut changes: Vec<(u64, i8)> =
        spans.filter(|(start, end)| start < end).flat_map(|(start, end)| [(start, 1), (end, -1)]).collect();
    changes.sort_unstable();
    let mut steps = Vec::<(u64, usize)>::new();
    let mut under_way = 0usize;
    for (at, change) in changes {
        under_way = under_way.saturating_add_signed(change.into());
        // Of one moment only the last number counts: a span that starts as another ends does not overlap it.
        match steps.last_mut() {
            Some(last) if last.0 == at => last.1 = under_way,
            _ => steps.push((at, under_way)),
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
    fn all_at_once() {
        assert_eq!(rolls(&[(10, 510), (11, 911), (12, 212)]), (3, 901, 1600, 3));
    }

    #[test]
    fn a_staircase_has_peak_one_even_when_the_steps_touch() {
        assert_eq!(rolls(&[(0, 300), (300, 600), (600, 1000)]), (3, 1000, 1000, 1));
        let tree = Tree::new(vec![
            node(1, 0, 0, 900 * MS),
            named("roll_0", node(2, 1, 0, 300 * MS + 50_000)),
            named("roll_1", node(3, 1, 300 * MS, 600 * MS)),
        ]);
        assert_eq!(Analysis::of(&tree).siblings.map(|set| set.peak), Some(1));
    }

    #[test]
    fn waves_peak_at_their_width() {
        let two_waves = [(0, 400), (0, 500), (0, 300), (500, 800), (500, 900), (500, 1000)];
        assert_eq!(rolls(&two_waves), (6, 1000, 2400, 3));
        // With a new one as soon as one is done, never more than two are under way.
        assert_eq!(rolls(&[(0, 400), (0, 500), (400, 700), (500, 900)]), (4, 900, 1600, 2));
    }

    #[test]
    fn spans_without_length_neither_divide_by_zero_nor_overlap() {
        assert_eq!(rolls(&[(5, 5), (5, 5)]), (2, 0, 0, 1));
        let tree = Tree::new(vec![node(1, 0, 5, 5), node(2, 1, 5, 5), node(3, 1, 5, 5)]);
        assert_eq!(Analysis::of(&tree).siblings.map(|set| set.speedup()), Some(1.0));
    }

    #[test]
    fn the_rolls_are_told_from_the_call_before_them() {
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
    fn siblings_are_seen_before_their_caller_has_arrived() {
        let tree = Tree::new(vec![named("roll_0", node(3, 1, 0, 90)), named("roll_1", node(4, 1, 0, 80))]);
        let analysis = Analysis::of(&tree);
        assert_eq!(analysis.siblings.map(|set| (set.count, set.peak)), Some((2, 2)));
        assert_eq!(analysis.path, [Segment { node: 0, from: 0, to: 90 }]);
    }

    #[test]
    fn calls_of_different_kinds_count_only_when_they_overlap() {
        let at = |from, to| {
            let nodes = vec![node(1, 0, 0, 99), named("a", node(2, 1, 0, 50)), named("b", node(3, 1, from, to))];
            Analysis::of(&Tree::new(nodes)).siblings.map(|set| set.likeness)
        };
        assert_eq!(at(50, 90), None);
        assert_eq!(at(10, 90), Some(Likeness::Mixed));
    }

    #[test]
    fn one_call_after_the_other_down_a_chain_has_no_siblings() {
        let tree = Tree::new(vec![node(1, 0, 0, 90), node(2, 1, 10, 80), node(3, 2, 20, 70)]);
        assert!(Analysis::of(&tree).siblings.is_none());
    }

    #[test]
    fn names_are_alike_up_to_the_number_at_their_end() {
        assert_eq!(likeness("async_roll_12"), Likeness::Numbered("async_roll"));
        assert_eq!(likeness("chunk #3"), Likeness::Numbered("chunk"));
        assert_eq!(likeness("GET /dice"), Likeness::Named("GET /dice"));
        assert_eq!(likeness("404"), Likeness::Named("404"));
    }
}
