//! The critical path: the spans that decided the duration of a trace. Only making one of them faster makes the trace
//! shorter.
//!
//! It is found backwards from the end, as in Uber's CRISP and in Jaeger: the parent waited for the child that ended
//! last; before that child started, it waited for the child that had ended last by then, or worked itself.

use std::cmp::Reverse;
use std::collections::HashMap;

use serde::Serialize;
use smol_str::SmolStr;

use crate::span::tolerance;
use crate::tree::Tree;

/// A part of the critical path, within one span. Times are nanoseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// The index of the span.
    pub span: usize,
    /// Where it begins.
    pub from: u64,
    /// Where it ends; never before `from`.
    pub to: u64,
}

/// The critical path of one span.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Path {
    /// What each span itself contributed: by time, without gaps, from the start of the span to its end. None is empty.
    pub segments: Vec<Segment>,
    /// The spans on the path, each with the stretch that it covers together with its descendants.
    pub stretches: Vec<Segment>,
}

/// What all spans of one service and name contribute to the critical path.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Share {
    /// Of the spans.
    pub service: SmolStr,
    /// Of the spans.
    pub name: SmolStr,
    /// Nanoseconds; those of all shares add up to the duration of the root.
    #[serde(skip)]
    pub nanoseconds: u64,
    /// The same in seconds.
    pub seconds: f64,
    /// Of the whole, 0 to 1.
    pub share: f64,
    /// The span of these that contributes most.
    #[serde(skip)]
    pub span: usize,
}

/// The critical path of the span `top`.
///
/// Of a child only the part within its parent's stretch counts: clocks may differ, and work may go on after the
/// response. Where two children end at nearly the same time (2 % of the stretch), the one with children of its own is
/// taken, because it shows what the parent waited for.
pub fn critical_path(tree: &Tree, top: usize) -> Path {
    let mut path = Path::default();
    let mut pending = vec![Segment { span: top, from: tree.spans[top].start, to: tree.spans[top].end }];
    while let Some(stretch) = pending.pop() {
        path.stretches.push(stretch);
        let Segment { span, from, to } = stretch;
        let mut candidates = Candidates::of(tree, stretch);
        let mut until = to;
        while let Some(child) = candidates.before(until) {
            let end = child.to.min(until);
            path.segments.push(Segment { span, from: end, to: until });
            pending.push(Segment { to: end, ..child });
            until = child.from;
        }
        path.segments.push(Segment { span, from, to: until });
    }
    path.segments.retain(|segment| segment.from < segment.to);
    path.segments.sort_by_key(|segment| segment.from);
    path
}

/// The children of a stretch, cut to it, the best last: the later end, the earlier start, the smaller id.
///
/// A child that is no candidate at some time is none before it, so that each is dropped once.
struct Candidates<'a> {
    tree: &'a Tree,
    /// Two ends that are no further apart count as the same.
    near: u64,
    all: Vec<Segment>,
    /// Those with children of their own.
    parents: Vec<Segment>,
}

impl<'a> Candidates<'a> {
    fn of(tree: &'a Tree, Segment { span, from, to }: Segment) -> Self {
        let cut = |&child: &usize| Segment {
            span: child,
            from: tree.spans[child].start.max(from),
            to: tree.spans[child].end.min(to),
        };
        let mut all: Vec<Segment> = tree.children[span].iter().map(cut).filter(|child| child.from < child.to).collect();
        all.sort_by_key(|child| (child.to, Reverse((child.from, tree.spans[child.span].id))));
        let parents = all.iter().filter(|child| !tree.children[child.span].is_empty()).copied().collect();
        Self { tree, near: (to - from) / 50, all, parents }
    }

    /// The child that the parent waited for before `until`.
    fn before(&mut self, until: u64) -> Option<Segment> {
        let spans = &self.tree.spans;
        let fits = |child: &Segment| {
            child.from < until && child.to <= until.saturating_add(tolerance(spans[child.span].duration()))
        };
        for candidates in [&mut self.all, &mut self.parents] {
            while candidates.last().is_some_and(|child| !fits(child)) {
                candidates.pop();
            }
        }
        let last = *self.all.last()?;
        let parent = self.parents.last().filter(|parent| last.to - parent.to <= self.near);
        Some(parent.copied().unwrap_or(last))
    }
}

impl Path {
    /// What each service and name contributes, the largest first.
    pub fn shares(&self, tree: &Tree) -> Vec<Share> {
        let mut own = vec![0; tree.spans.len()];
        for segment in &self.segments {
            own[segment.span] += segment.to - segment.from;
        }
        let whole: u64 = own.iter().sum();
        let mut shares = HashMap::<(&str, &str), Share>::new();
        for (i, &nanoseconds) in own.iter().enumerate().filter(|&(_, &nanoseconds)| nanoseconds > 0) {
            let span = &tree.spans[i];
            let share = shares.entry((&span.service, &span.name)).or_insert_with(|| Share {
                service: span.service.clone(),
                name: span.name.clone(),
                nanoseconds: 0,
                seconds: 0.0,
                share: 0.0,
                span: i,
            });
            share.nanoseconds += nanoseconds;
            share.span = if own[share.span] < nanoseconds { i } else { share.span };
        }
        let mut shares: Vec<Share> = shares.into_values().collect();
        for share in &mut shares {
            share.seconds = share.nanoseconds as f64 / 1e9;
            share.share = share.nanoseconds as f64 / whole as f64;
        }
        shares.sort_by(|a, b| (b.nanoseconds, &a.service, &a.name).cmp(&(a.nanoseconds, &b.service, &b.name)));
        shares
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{any_trace, span};

    /// Span number, from, to.
    fn path(spans: &[(u64, u64, u64, u64)]) -> Vec<(u64, u64, u64)> {
        let tree = Tree::new(spans.iter().map(|&(n, parent, start, end)| span(n, parent, start, end)).collect());
        let root = tree.root.expect("a root");
        critical_path(&tree, root).segments.iter().map(|s| (tree.spans[s.span].id.0, s.from, s.to)).collect()
    }

    #[test]
    fn path_takes_the_slowest_of_concurrent_children() {
        let spans = [(1, 0, 0, 1000), (2, 1, 100, 600), (3, 1, 110, 900), (4, 1, 120, 300)];
        assert_eq!(path(&spans), [(1, 0, 110), (3, 110, 900), (1, 900, 1000)]);
    }

    #[test]
    fn path_takes_the_child_that_ended_before_the_slowest_started() {
        // A fetch, then three rolls, of which the second has a call of its own.
        let spans =
            [(1, 0, 0, 1000), (2, 1, 10, 200), (3, 1, 210, 500), (4, 1, 210, 950), (5, 1, 210, 940), (6, 4, 400, 700)];
        let expected =
            [(1, 0, 10), (2, 10, 200), (1, 200, 210), (4, 210, 400), (6, 400, 700), (4, 700, 950), (1, 950, 1000)];
        assert_eq!(path(&spans), expected);
    }

    #[test]
    fn path_takes_all_sequential_children_even_if_they_overlap_by_a_nanosecond() {
        // Step 3 starts one nanosecond before step 2 has ended.
        let spans = [(1, 0, 0, 900), (2, 1, 0, 301), (3, 1, 300, 600), (4, 1, 600, 900)];
        assert_eq!(path(&spans), [(2, 0, 300), (3, 300, 600), (4, 600, 900)]);
    }

    #[test]
    fn path_takes_one_child_of_each_wave() {
        let spans = [(1, 0, 0, 1000), (2, 1, 0, 400), (3, 1, 0, 500), (4, 1, 400, 1000), (5, 1, 500, 900)];
        assert_eq!(path(&spans), [(2, 0, 400), (4, 400, 1000)]);
    }

    #[test]
    fn path_cuts_children_at_their_parents_bounds() {
        // 2 starts before its parent (its clock is behind), 3 goes on after the response, 4 starts after it.
        let spans = [(1, 0, 1000, 2000), (2, 1, 500, 1400), (3, 1, 1500, 2600), (4, 1, 2100, 2500)];
        assert_eq!(path(&spans), [(2, 1000, 1400), (1, 1400, 1500), (3, 1500, 2000)]);
    }

    #[test]
    fn path_prefers_a_child_with_children_among_those_that_end_within_two_percent() {
        let spans = |end| [(1, 0, 0, 1000), (2, 1, 0, 990), (3, 1, 0, end), (4, 3, 10, 900)];
        assert_eq!(path(&spans(970)), [(3, 0, 10), (4, 10, 900), (3, 900, 970), (1, 970, 1000)]);
        assert_eq!(path(&spans(969)), [(2, 0, 990), (1, 990, 1000)]);
    }

    #[test]
    fn path_of_a_hundred_thousand_children_and_of_as_many_generations_is_found_at_once() {
        let mut wide = vec![(1, 0, 0, 100_001)];
        wide.extend((1..=100_000).map(|n| (n + 1, 1, n, n + 1)));
        assert_eq!(path(&wide).len(), 100_001);
        let deep: Vec<_> = (1..=100_000).map(|n| (n, n - 1, n, 300_000 - n)).collect();
        assert_eq!(path(&deep).len(), 199_999);
    }

    #[test]
    fn shares_of_one_name_are_one_entry() {
        let tree = Tree::new(vec![span(1, 0, 0, 100), span(2, 1, 10, 40), span(3, 1, 40, 90)]);
        let shares = critical_path(&tree, 0).shares(&tree);
        assert_eq!(
            shares.iter().map(|share| (share.nanoseconds, share.share, share.span)).collect::<Vec<_>>(),
            [(100, 1.0, 2)]
        );
    }

    /// The definition word for word, with no thought for time: nanoseconds of each span.
    fn by_definition(tree: &Tree, span: usize, from: u64, to: u64, own: &mut Vec<u64>) {
        let cut = |i: usize| (tree.spans[i].start.max(from), tree.spans[i].end.min(to));
        let mut t = to;
        loop {
            let candidates: Vec<usize> = tree.children[span]
                .iter()
                .copied()
                .filter(|&i| {
                    let (start, end) = cut(i);
                    let allowed = (u128::from(tree.spans[i].duration())).min(200_000 * 50);
                    start < end && start < t && u128::from(end.saturating_sub(t)) * 50 <= allowed
                })
                .collect();
            let Some(latest) = candidates.iter().map(|&i| cut(i).1).max() else { break };
            let near = candidates.into_iter().filter(|&i| (latest - cut(i).1) * 50 <= to - from);
            let rank = |i: usize| {
                let (start, end) = cut(i);
                (tree.children[i].is_empty(), Reverse(end), start, tree.spans[i].id)
            };
            // Only the latest ones and those with children of their own compete: without such, the latest wins.
            let Some(chosen) = near.min_by_key(|&i| rank(i)) else { break };
            let (start, end) = cut(chosen);
            own[span] += t - end.min(t);
            by_definition(tree, chosen, start, end.min(t), own);
            t = start;
        }
        own[span] += t - from;
    }

    #[test]
    fn path_of_any_trace_is_that_of_the_definition_and_tiles_the_root() {
        use proptest::prelude::*;
        proptest!(|(spans in any_trace())| {
            let tree = Tree::new(spans);
            let root = tree.root.expect("a root");
            let path = critical_path(&tree, root);
            let (start, end) = (tree.spans[root].start, tree.spans[root].end);
            prop_assert!(path.segments.windows(2).all(|pair| pair[0].to == pair[1].from));
            prop_assert_eq!(path.segments.first().map_or(end, |first| first.from), start);
            prop_assert_eq!(path.segments.last().map_or(start, |last| last.to), end);
            prop_assert_eq!(path.shares(&tree).iter().map(|share| share.nanoseconds).sum::<u64>(), tree.duration());

            let mut expected = vec![0; tree.spans.len()];
            by_definition(&tree, root, start, end, &mut expected);
            let mut own = vec![0; tree.spans.len()];
            path.segments.iter().for_each(|segment| own[segment.span] += segment.to - segment.from);
            prop_assert_eq!(own, expected);
        });
    }

    #[test]
    fn path_does_not_depend_on_the_sequence_of_the_spans_or_on_when_they_ran() {
        use proptest::prelude::*;
        proptest!(|(spans in any_trace(), later in 0u64..1 << 60)| {
            let shares = |spans| {
                let tree = Tree::new(spans);
                let shares = critical_path(&tree, tree.root.expect("a root")).shares(&tree);
                shares.into_iter().map(|share| (share.service, share.name, share.nanoseconds)).collect::<Vec<_>>()
            };
            let expected = shares(spans.clone());
            let mut spans = spans;
            spans.reverse();
            for span in &mut spans {
                (span.start, span.end) = (span.start + later, span.end + later);
            }
            prop_assert_eq!(shares(spans), expected);
        });
    }
}
