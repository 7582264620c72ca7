//! The spans of two traces side by side.
//!
//! The structure of a trace is the tree of kind, service, name (digits at its end as one `*`) and the ordinal among its
//! likes by start. Spans of the same place in it are a pair.

use std::collections::HashMap;

use crate::span::Kind;
use crate::tree::Tree;
use crate::words::stem;

/// A place in the structure: the span of one trace, or of both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) depth: usize,
    pub(crate) a: Option<usize>,
    pub(crate) b: Option<usize>,
}

/// What a span is among the children of its parent.
type Likeness<'a> = (Kind, &'a str, (&'a str, bool), usize);

/// All places, each parent before its children; the children by start in `a`, those of `b` alone after the one that
/// they follow in `b`.
pub(crate) fn places(a: &Tree, b: &Tree) -> Vec<Place> {
    let mut places = Vec::with_capacity(a.spans.len().max(b.spans.len()));
    let mut pending = siblings(a, &a.roots, b, &b.roots, 0);
    pending.reverse();
    while let Some(place) = pending.pop() {
        places.push(place);
        let children = |tree: &'_ Tree, span: Option<usize>| span.map(|i| tree.children[i].clone()).unwrap_or_default();
        let below = siblings(a, &children(a, place.a), b, &children(b, place.b), place.depth + 1);
        pending.extend(below.into_iter().rev());
    }
    places
}

fn siblings(a: &Tree, of_a: &[usize], b: &Tree, of_b: &[usize], depth: usize) -> Vec<Place> {
    let (in_a, in_b) = (likenesses(a, of_a), likenesses(b, of_b));
    let a_by_likeness: HashMap<&Likeness<'_>, usize> = in_a.iter().zip(0..).collect();
    let b_by_likeness: HashMap<&Likeness<'_>, usize> = in_b.iter().zip(of_b.iter().copied()).collect();
    // Those of b alone, by the index in a that they follow: 0 before all.
    let mut alone = vec![Vec::new(); of_a.len() + 1];
    let mut after = 0;
    for (likeness, &i) in in_b.iter().zip(of_b) {
        match a_by_likeness.get(likeness) {
            Some(&index) => after = index + 1,
            None => alone[after].push(Place { depth, a: None, b: Some(i) }),
        }
    }
    let mut places = std::mem::take(&mut alone[0]);
    for (index, (likeness, &i)) in in_a.iter().zip(of_a).enumerate() {
        places.push(Place { depth, a: Some(i), b: b_by_likeness.get(likeness).copied() });
        places.append(&mut alone[index + 1]);
    }
    places
}

/// `spans` are by start.
fn likenesses<'a>(tree: &'a Tree, spans: &[usize]) -> Vec<Likeness<'a>> {
    let mut counts = HashMap::<(Kind, &str, (&str, bool)), usize>::new();
    let likeness = |&i: &usize| {
        let span = &tree.spans[i];
        let name = stem(&span.name);
        let count = counts.entry((span.kind, span.service.as_str(), name)).or_default();
        *count += 1;
        (span.kind, span.service.as_str(), name, *count)
    };
    spans.iter().map(likeness).collect()
}
