//! The spans of a trace as a forest.
//!
//! While a trace arrives, spans whose parent is missing are roots. Spans that are each other's parents (only a faulty
//! sender has such) would never be reached from a root: one span of each cycle becomes a root.

use std::collections::HashMap;
use std::sync::Arc;

use crate::ids::SpanId;
use crate::span::StoredSpan;
use crate::trace::Trace;

/// What the analysis uses of a span. Times are nanoseconds since 1970.
#[derive(Debug, Clone)]
pub(crate) struct Node<'a> {
    pub(crate) id: SpanId,
    /// The parent's id, whether the parent has arrived or not.
    pub(crate) parent: Option<SpanId>,
    pub(crate) name: &'a str,
    pub(crate) service: &'a str,
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) failed: bool,
    pub(crate) cancelled: bool,
}

impl Node<'_> {
    pub(crate) fn duration(&self) -> u64 {
        self.end - self.start
    }
}

/// The forest. A span is identified by its index in `nodes`.
pub(crate) struct Tree<'a> {
    pub(crate) nodes: Vec<Node<'a>>,
    /// The children of each node, by start.
    pub(crate) children: Vec<Vec<usize>>,
    /// Nodes and their depth, each parent before its children.
    pub(crate) order: Vec<(usize, usize)>,
    /// The root span; if it is missing, the longest of the spans whose parent is missing.
    pub(crate) top: Option<usize>,
    /// Whether `top` is the root span.
    pub(crate) has_root: bool,
    /// How many spans have a parent that is missing.
    pub(crate) orphans: usize,
}

impl<'a> Tree<'a> {
    /// The tree of `trace`; node `i` is the `i`th of `trace.spans`.
    pub(crate) fn of(trace: &'a Trace) -> Self {
        let node = |stored: &'a Arc<StoredSpan>| Node {
            id: stored.id,
            parent: stored.parent(),
            name: stored.name(),
            service: stored.service(),
            start: stored.start(),
            end: stored.end(),
            failed: stored.failed(),
            cancelled: stored.cancelled(),
        };
        let mut tree = Self::new(trace.spans.values().map(node).collect());
        // A call whose caller went away has no error of its own (semantic conventions): the SERVER spans beside it say so.
        let parents =
            tree.children.iter().enumerate().flat_map(|(i, of_it)| of_it.iter().map(move |&child| (child, i)));
        let parents: HashMap<usize, usize> = parents.collect();
        let cancelled = |i: &usize| tree.nodes[*i].cancelled;
        let calls = trace.spans.values().enumerate().filter(|(_, stored)| stored.is_call_without_outcome());
        let given_up =
            calls.filter(|(i, _)| tree.children[*i].iter().any(cancelled) || parents.get(i).is_some_and(cancelled));
        for i in given_up.map(|(i, _)| i).collect::<Vec<_>>() {
            tree.nodes[i].cancelled = true;
        }
        tree
    }

    pub(crate) fn new(nodes: Vec<Node<'a>>) -> Self {
        let indices: HashMap<SpanId, usize> = nodes.iter().enumerate().map(|(i, node)| (node.id, i)).collect();
        let mut parents: Vec<Option<usize>> = nodes.iter().map(|node| indices.get(&node.parent?).copied()).collect();
        let mut by_start: Vec<usize> = (0..nodes.len()).collect();
        by_start.sort_by_key(|&i| (nodes[i].start, nodes[i].end, nodes[i].id));

        break_cycles(&by_start, &mut parents);
        let mut children = vec![Vec::new(); nodes.len()];
        let mut roots = Vec::new();
        for &i in &by_start {
            match parents[i] {
                Some(parent) => children[parent].push(i),
                None => roots.push(i),
            }
        }
        let mut order = Vec::with_capacity(nodes.len());
        let first = roots.iter().copied().find(|&i| nodes[i].parent.is_none());
        let longest = roots.iter().copied().max_by_key(|&i| nodes[i].duration());
        let mut pending: Vec<_> = roots.into_iter().rev().map(|root| (root, 0)).collect();
        while let Some((i, depth)) = pending.pop() {
            order.push((i, depth));
            pending.extend(children[i].iter().rev().map(|&child| (child, depth + 1)));
        }

        let orphans = nodes.iter().filter(|n| n.parent.is_some_and(|parent| !indices.contains_key(&parent))).count();
        Self { nodes, children, order, top: first.or(longest), has_root: first.is_some(), orphans }
    }

    /// Whether no parent is missing. More spans may still follow.
    pub(crate) fn is_complete(&self) -> bool {
        self.has_root && self.orphans == 0
    }
}

/// Removes one parent from each cycle of parents.
fn break_cycles(nodes: &[usize], parents: &mut [Option<usize>]) {
    const UNVISITED: usize = 0;
    // Which walk visited a node: a walk that meets itself is in a cycle; one that meets another walk can stop.
    let mut visited = vec![UNVISITED; parents.len()];
    for (walk, &start) in (1..).zip(nodes) {
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
pub(crate) mod tests {
    use super::*;

    pub(crate) fn id(number: u64) -> SpanId {
        SpanId::from_bytes(&number.to_be_bytes()).expect("span numbers start at 1")
    }

    /// Span `number`, child of span `parent` (0: none).
    pub(crate) fn node(number: u64, parent: u64, start: u64, end: u64) -> Node<'static> {
        let parent = (parent > 0).then(|| id(parent));
        Node { id: id(number), parent, name: "", service: "", start, end, failed: false, cancelled: false }
    }

    pub(crate) fn named<'a>(name: &'a str, node: Node<'a>) -> Node<'a> {
        Node { name, ..node }
    }

    pub(crate) fn failed(node: Node<'_>) -> Node<'_> {
        Node { failed: true, ..node }
    }

    /// A span that starts at its own number.
    fn span(number: u64, parent: u64) -> Node<'static> {
        node(number, parent, number, number + 1)
    }

    /// Each span's number and depth, in order.
    fn shape(tree: &Tree<'_>) -> Vec<(u64, usize)> {
        tree.order.iter().map(|&(i, depth)| (tree.nodes[i].start, depth)).collect()
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
        assert_eq!((tree.has_root, tree.orphans, tree.is_complete()), (false, 2, false));
        assert_eq!(tree.top.map(|i| tree.nodes[i].start), Some(4), "of equally long ones the later");
        let tree = Tree::new(vec![span(1, 0), span(4, 3)]);
        assert_eq!((tree.has_root, tree.orphans, tree.is_complete()), (true, 1, false));
        let tree = Tree::new(vec![span(3, 2), span(4, 2), span(5, 3), span(2, 0)]);
        assert_eq!(shape(&tree), [(2, 0), (3, 1), (5, 2), (4, 1)]);
        assert!(tree.is_complete());
    }

    #[test]
    fn spans_of_a_cycle_are_each_in_the_tree_once() {
        // A span that is its own parent; a cycle of three with a child; a correct tree.
        let tree = Tree::new(vec![span(1, 1), span(2, 4), span(3, 2), span(4, 3), span(5, 4), span(6, 0), span(7, 6)]);
        assert_eq!(shape(&tree), [(1, 0), (3, 0), (4, 1), (2, 2), (5, 2), (6, 0), (7, 1)]);
        assert_eq!(tree.top.map(|i| tree.nodes[i].start), Some(6));
    }

    #[test]
    fn chain_of_a_hundred_thousand_spans_does_not_overflow_the_stack() {
        let tree = Tree::new((1..=100_000).map(|number| span(number, number - 1)).collect());
        assert_eq!(tree.order.last(), Some(&(99_999, 99_999)));
    }
}
