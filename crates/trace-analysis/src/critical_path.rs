//! The critical path: the spans that decided the duration of a trace. Only making one of them faster makes the trace
//! shorter.
//!
//! It is found backwards from the end, as in Uber's CRISP and in Jaeger: the parent waited for the child that ended
//! last; before that child started, it waited for the child that had ended last by then, or worked itself.

use crate::tree::Tree;

/// A part of the critical path, within one span. Times are nanoseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) node: usize,
    pub(crate) from: u64,
    pub(crate) to: u64,
}

/// How far two spans may overlap and still count as sequential: the next one may start before the end time of the
/// previous one is taken.
pub(crate) fn tolerance(duration: u64) -> u64 {
    const MAX: u64 = 200_000;
    (duration / 50).min(MAX)
}

/// The critical path of `top`, sorted by time and without gaps.
///
/// Of a child only the part within its parent counts: clocks may differ, and work may go on after the response.
pub(crate) fn critical_path(tree: &Tree<'_>, top: usize) -> Vec<Segment> {
    let mut path = Vec::new();
    let mut pending = vec![Segment { node: top, from: tree.nodes[top].start, to: tree.nodes[top].end }];
    while let Some(Segment { node, from, to }) = pending.pop() {
        let mut children = tree.children[node].clone();
        children.sort_by_key(|&child| std::cmp::Reverse(tree.nodes[child].end));
        let mut until = to;
        for child in children {
            let span = &tree.nodes[child];
            let (start, end) = (span.start.max(from), span.end.min(to));
            if start >= end || end > until.saturating_add(tolerance(span.duration())) || start >= until {
                continue;
            }
            let end = end.min(until);
            path.push(Segment { node, from: end, to: until });
            pending.push(Segment { node: child, from: start, to: end });
            until = start;
        }
        path.push(Segment { node, from, to: until });
    }
    path.retain(|segment| segment.from < segment.to);
    path.sort_by_key(|segment| segment.from);
    path
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::tests::{id, node};

    /// Span number, from, to.
    fn path(nodes: &[(u64, u64, u64, u64)]) -> Vec<(u64, u64, u64)> {
        let tree = Tree::new(nodes.iter().map(|&(n, parent, start, end)| node(n, parent, start, end)).collect());
        let number = |i: usize| nodes[i].0;
        let root = tree.nodes.iter().position(|n| n.id == id(1)).expect("span 1 is the root");
        critical_path(&tree, root).iter().map(|s| (number(s.node), s.from, s.to)).collect()
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
    fn path_covers_the_root_without_gaps_or_overlaps() {
        use proptest::prelude::*;
        let span = (0u64..12, 0u64..1000, 0u64..500);
        let run = proptest::test_runner::TestRunner::default().run(&proptest::collection::vec(span, 0..40), |spans| {
            let mut nodes = vec![(1, 0, 100, 900)];
            nodes.extend((2..).zip(spans).map(|(n, (parent, start, length))| (n, parent + 1, start, start + length)));
            let path = path(&nodes);
            prop_assert_eq!(path.iter().map(|(_, from, to)| to - from).sum::<u64>(), 800);
            prop_assert!(path.windows(2).all(|pair| pair[0].2 == pair[1].1));
            Ok(())
        });
        run.expect("the path has neither gaps nor overlaps");
    }
}
