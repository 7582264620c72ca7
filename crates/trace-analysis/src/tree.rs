//! The spans of a trace as a forest.
//!
//! Spans whose parent is missing are roots. Spans that are each other's parents (only a faulty sender has such) would
//! never be reached from a root: one span of each cycle becomes a root.

use std::collections::{HashMap, HashSet};

use crate::span::{Span, SpanId};

/// The forest. A span is identified by its index in `spans`.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    /// The spans, in the sequence in which they were given.
    pub spans: Vec<Span>,
    /// The parent of each span, if it is there.
    pub parents: Vec<Option<usize>>,
    /// The children of each span, by start.
    pub children: Vec<Vec<usize>>,
    /// The spans without a parent in the tree, by start.
    pub roots: Vec<usize>,
    /// Spans and their depth, each parent before its children.
    pub order: Vec<(usize, usize)>,
    /// The earliest span whose parent is not there; of equally early ones that of the smaller id. `None` without spans.
    pub root: Option<usize>,
    /// Whether some span has no parent at all; otherwise the root has not arrived.
    pub has_root: bool,
    /// Whether each span ended because its client went away.
    pub cancelled: Vec<bool>,
    /// How many spans have a parent that is missing.
    pub missing_parents: usize,
    /// How many spans begin before their parents, which clocks that disagree can cause.
    pub early_children: usize,
}

impl Tree {
    /// The tree of `spans`. Of several spans with the same id the first stays: a sender that tries again sends twice.
    pub fn new(mut spans: Vec<Span>) -> Self {
        let mut seen = HashSet::with_capacity(spans.len());
        spans.retain(|span| seen.insert(span.id));
        for span in &mut spans {
            span.end = span.end.max(span.start);
        }
        let indices: HashMap<SpanId, usize> = spans.iter().enumerate().map(|(i, span)| (span.id, i)).collect();
        let mut parents: Vec<Option<usize>> = spans.iter().map(|span| indices.get(&span.parent?).copied()).collect();
        let mut by_start: Vec<usize> = (0..spans.len()).collect();
        by_start.sort_by_key(|&i| (spans[i].start, spans[i].end, spans[i].id));
        let without_parent = |&&i: &&usize| parents[i].is_none();
        let earliest = by_start.iter().filter(without_parent).min_by_key(|&&i| (spans[i].start, spans[i].id)).copied();

        break_cycles(&by_start, &mut parents);
        let mut children = vec![Vec::new(); spans.len()];
        let mut roots = Vec::new();
        for &i in &by_start {
            match parents[i] {
                Some(parent) => children[parent].push(i),
                None => roots.push(i),
            }
        }
        let mut order = Vec::with_capacity(spans.len());
        let mut pending: Vec<_> = roots.iter().rev().map(|&root| (root, 0)).collect();
        while let Some((i, depth)) = pending.pop() {
            order.push((i, depth));
            pending.extend(children[i].iter().rev().map(|&child| (child, depth + 1)));
        }

        let with_parents =
            || parents.iter().enumerate().filter_map(|(i, parent)| Some((&spans[i], &spans[(*parent)?])));
        let early_children = with_parents().filter(|(span, parent)| span.start < parent.start).count();
        let missing_parents =
            spans.iter().filter(|span| span.parent.is_some_and(|parent| !indices.contains_key(&parent))).count();
        Self {
            root: earliest.or(roots.first().copied()),
            has_root: spans.iter().any(|span| span.parent.is_none()),
            cancelled: cancelled(&spans, &parents, &children),
            missing_parents,
            early_children,
            spans,
            parents,
            children,
            roots,
            order,
        }
    }

    /// Whether no parent is missing. More spans may still follow.
    pub fn is_complete(&self) -> bool {
        self.has_root && self.missing_parents == 0
    }

    /// The duration of the root in nanoseconds.
    pub fn duration(&self) -> u64 {
        self.root.map_or(0, |root| self.spans[root].duration())
    }
}

/// Spans that say that they were cancelled, and the calls without an outcome beside them.
fn cancelled(spans: &[Span], parents: &[Option<usize>], children: &[Vec<usize>]) -> Vec<bool> {
    let says = |i: usize| spans[i].says_cancelled();
    let of_call = |i: usize| children[i].iter().any(|&child| says(child)) || parents[i].is_some_and(says);
    (0..spans.len()).map(|i| says(i) || (spans[i].is_call_without_outcome() && of_call(i))).collect()
}

/// Removes one parent from each cycle of parents.
fn break_cycles(spans: &[usize], parents: &mut [Option<usize>]) {
    const UNVISITED: usize = 0;
    // Which walk visited a span: a walk that meets itself is in a cycle; one that meets another walk can stop.
    let mut visited = vec![UNVISITED; parents.len()];
    for (walk, &start) in (1..).zip(spans) {
        let mut at = start;
        while visited[at] == UNVISITED {
            visited[at] = walk;
            match parents[at] {
                Some(parent) if visited[parent] == walk => parents[at] = None,
                Some(parent) => at = parent,
                None => break,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A span that starts at its own number.
    fn span(number: u64, parent: u64) -> Span {
        crate::testing::span(number, parent, number, number + 1)
    }

    /// Each span's number and depth, in order.
    fn shape(tree: &Tree) -> Vec<(u64, usize)> {
        tree.order.iter().map(|&(i, depth)| (tree.spans[i].id.0, depth)).collect()
    }

    fn root(tree: &Tree) -> Option<u64> {
        tree.root.map(|i| tree.spans[i].id.0)
    }

    #[test]
    fn parents_come_before_their_children_and_children_by_start() {
        let tree = Tree::new(vec![span(5, 2), span(4, 1), span(3, 2), span(1, 0), span(2, 1)]);
        assert_eq!(shape(&tree), [(1, 0), (2, 1), (3, 2), (5, 2), (4, 1)]);
        assert!(tree.is_complete());
    }

    #[test]
    fn spans_whose_parent_is_missing_are_roots_until_it_arrives() {
        let tree = Tree::new(vec![span(3, 2), span(4, 2), span(5, 3)]);
        assert_eq!(shape(&tree), [(3, 0), (5, 1), (4, 0)]);
        assert_eq!((tree.has_root, tree.missing_parents, tree.is_complete()), (false, 2, false));
        assert_eq!(root(&tree), Some(3), "the earliest");
        let tree = Tree::new(vec![span(1, 0), span(4, 3)]);
        assert_eq!((tree.has_root, tree.missing_parents, tree.is_complete()), (true, 1, false));
        let tree = Tree::new(vec![span(3, 2), span(4, 2), span(5, 3), span(2, 0)]);
        assert_eq!(shape(&tree), [(2, 0), (3, 1), (5, 2), (4, 1)]);
        assert!(tree.is_complete());
    }

    #[test]
    fn spans_of_a_cycle_are_each_in_the_tree_once_and_none_is_the_root() {
        // A span that is its own parent; a cycle of three with a child; a correct tree.
        let tree = Tree::new(vec![span(1, 1), span(2, 4), span(3, 2), span(4, 3), span(5, 4), span(6, 0), span(7, 6)]);
        assert_eq!(shape(&tree), [(1, 0), (3, 0), (4, 1), (2, 2), (5, 2), (6, 0), (7, 1)]);
        assert_eq!(root(&tree), Some(6));
        assert_eq!(root(&Tree::new(vec![span(2, 3), span(3, 2)])), Some(3), "but where there is nothing else, one is");
    }

    #[test]
    fn span_that_arrives_twice_is_in_the_tree_once() {
        let tree = Tree::new(vec![span(1, 0), span(2, 1), Span { end: 9, ..span(2, 1) }]);
        assert_eq!(shape(&tree), [(1, 0), (2, 1)]);
        assert_eq!(tree.spans[1].end, 3);
    }

    #[test]
    fn span_that_ends_before_its_start_has_no_duration() {
        let tree = Tree::new(vec![Span { end: 0, ..span(5, 0) }]);
        assert_eq!((tree.spans[0].end, tree.duration()), (5, 0));
    }

    #[test]
    fn children_that_begin_before_their_parents_are_counted() {
        let tree = Tree::new(vec![span(3, 0), span(2, 3), span(4, 3), span(1, 2)]);
        assert_eq!(tree.early_children, 2);
    }

    #[test]
    fn call_without_outcome_beside_a_cancelled_span_is_cancelled() {
        let with = |pairs: &[(&str, &str)], span| crate::testing::with(pairs, span);
        let call =
            |n, parent| with(&[("http.request.method", "GET")], Span { kind: crate::Kind::Client, ..span(n, parent) });
        let server = with(&[("error.type", "cancelled")], span(2, 1));
        let tree = Tree::new(vec![call(1, 0), server, call(3, 2), call(4, 3)]);
        assert_eq!(tree.cancelled, [true, true, true, false]);
    }

    #[test]
    fn chain_of_a_hundred_thousand_spans_does_not_overflow_the_stack() {
        let tree = Tree::new((1..=100_000).map(|number| span(number, number - 1)).collect());
        assert_eq!(tree.order.last(), Some(&(99_999, 99_999)));
    }
}
