//! Two traces with known differences, and any two.

use proptest::prelude::*;

use super::*;
use crate::testing::{MS, any_trace, failed, named, span};

const LENGTHS: [u64; 10] = [540, 300, 700, 500, 420, 610, 80, 960, 770, 520];

/// A batch of ten rolls, so many at a time in waves.
fn batch(width: usize, stretched: u64) -> Tree {
    let mut spans = vec![named("GET /roll-async", span(1, 0, 0, 0))];
    let mut begin = 0;
    for wave in (0..10).collect::<Vec<usize>>().chunks(width) {
        for &i in wave {
            let end = begin + LENGTHS[i] * MS * stretched / 100;
            spans.push(named(&format!("async_roll_{i}"), span(i as u64 + 2, 1, begin + i as u64, end)));
            spans[0].end = spans[0].end.max(end);
        }
        begin = spans[0].end;
    }
    Tree::new(spans)
}

#[test]
fn batch_one_after_the_other_and_at_once_says_the_gain_and_what_decided_the_end() {
    let (one_by_one, at_once) = (batch(1, 100), batch(10, 100));
    let difference = Comparison::of(&one_by_one, &at_once, 1.5);
    assert!(difference.same_structure && !difference.slower_by_more_than(1.5));
    assert_eq!(
        difference.sentence,
        "The same 10 rolls: one after the other 5.4 s, at once 0.96 s, 5.6 times faster. \
         What decided the end: async_roll_7."
    );
    let back = Comparison::of(&at_once, &one_by_one, 1.5);
    assert!(back.slower_by_more_than(1.5) && !back.slower_by_more_than(6.0));
    assert_eq!(
        back.sentence,
        "The same 10 rolls: at once 0.96 s, one after the other 5.4 s, 5.6 times slower. \
         What decided the end: async_roll_7."
    );
    let others = Comparison::of(&batch(1, 200), &at_once, 1.5).sentence;
    assert!(
        others.starts_with("10 rolls in each, of different durations: one after the other 11 s, at once"),
        "{others}"
    );
}

#[test]
fn slower_call_is_named_with_its_difference() {
    let trace = |end| {
        let call = named("GET /dice", span(2, 1, 10 * MS, end * MS));
        Tree::new(vec![named("GET /roll", span(1, 0, 0, (end + 20) * MS)), call])
    };
    let difference = Comparison::of(&trace(110), &trace(410), 1.5);
    assert_eq!(
        difference.sentence,
        "A took 0.13 s, B 0.43 s: 3.3 times slower. The largest change: GET /dice of s, 0.30 s more in B."
    );
    let slower: Vec<_> = difference.slower.iter().map(|changed| (&*changed.name, changed.ratio)).collect();
    assert_eq!(slower, [("GET /roll", Some(430.0 / 130.0)), ("GET /dice", Some(4.0))]);
    assert!(difference.faster.is_empty());
}

#[test]
fn spans_of_one_trace_alone_are_named_by_their_topmost() {
    let with_call =
        Tree::new(vec![span(1, 0, 0, 90), named("call", span(2, 1, 0, 9)), named("below", span(3, 2, 1, 2))]);
    let without = Tree::new(vec![failed("no", span(7, 0, 50, 140))]);
    let difference = Comparison::of(&with_call, &without, 1.5);
    assert!(!difference.same_structure);
    assert_eq!(difference.only_in_a.iter().map(|only| (&*only.name, only.spans)).collect::<Vec<_>>(), [("call", 2)]);
    assert!(difference.only_in_b.is_empty());
    assert_eq!(
        difference.sentence,
        "B failed, A did not. A took 90 ns, B 90 ns: about the same. Only A has call of s."
    );
}

#[test]
fn rows_keep_the_sequence_of_both_traces() {
    let tree = |names: &[&str]| {
        let child = |(n, name): (u64, &&str)| named(name, span(n, 1, n, 90));
        Tree::new(std::iter::once(span(1, 0, 0, 90)).chain((2..).zip(names).map(child)).collect())
    };
    let (a, b) = (tree(&["x", "both", "y", "z9"]), tree(&["new", "both", "w", "z3"]));
    let rows: Vec<_> = Comparison::of(&a, &b, 1.5)
        .rows
        .iter()
        .skip(1)
        .map(|row| {
            let name = |tree: &Tree, i: Option<usize>| i.map_or(String::new(), |i| tree.spans[i].name.to_string());
            (name(&a, row.a), name(&b, row.b))
        })
        .collect();
    let expected = [("", "new"), ("x", ""), ("both", "both"), ("", "w"), ("y", ""), ("z9", "z3")];
    assert_eq!(rows, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
}

/// Whether two trees are the same structure, by the definition: each span as the path of its ancestors.
fn structure(tree: &Tree) -> Vec<String> {
    let mut paths = vec![String::new(); tree.spans.len()];
    for &(i, _) in &tree.order {
        let siblings = tree.parents[i].map_or(&tree.roots, |parent| &tree.children[parent]);
        let like = |i: usize| {
            let span = &tree.spans[i];
            format!("{} {} {}", span.kind, span.service, crate::words::starred(&span.name))
        };
        let ordinal = siblings.iter().take_while(|&&other| other != i).filter(|&&other| like(other) == like(i)).count();
        let above = tree.parents[i].map(|parent| paths[parent].clone()).unwrap_or_default();
        paths[i] = format!("{above} / {} {ordinal}", like(i));
    }
    paths.sort();
    paths
}

#[test]
fn trace_against_itself_has_no_difference() {
    proptest!(|(spans in any_trace())| {
        let tree = Tree::new(spans);
        let difference = Comparison::of(&tree, &tree, 1.5);
        prop_assert!(difference.same_structure && !difference.slower_by_more_than(1.0));
        prop_assert_eq!(difference.ratio, Some(1.0));
        prop_assert!(difference.slower.is_empty() && difference.faster.is_empty());
        prop_assert!(difference.sentence.starts_with("No difference: "), "{}", difference.sentence);
        prop_assert!(difference.rows.iter().all(|row| row.a == row.b && row.change == Change::Same));
    });
}

#[test]
fn swapped_traces_have_the_swapped_difference() {
    proptest!(|(spans in any_trace(), others in any_trace(), take in 0usize..40)| {
        // Mostly the same, so that there are pairs.
        let mixed = others.into_iter().take(take).chain(spans.clone().into_iter().skip(take)).collect();
        let (a, b) = (Tree::new(spans), Tree::new(mixed));
        let (there, back) = (Comparison::of(&a, &b, 1.5), Comparison::of(&b, &a, 1.5));
        prop_assert_eq!(there.same_structure, back.same_structure);
        prop_assert_eq!(there.same_structure, structure(&a) == structure(&b));
        prop_assert_eq!((&there.only_in_a, &there.only_in_b), (&back.only_in_b, &back.only_in_a));
        let times = |changed: &[Changed]| {
            let mut times: Vec<_> = changed.iter().map(|c| (c.a, c.b)).collect();
            times.sort_unstable();
            times
        };
        let swapped = |changed: &[Changed]| {
            let mut times: Vec<_> = changed.iter().map(|c| (c.b, c.a)).collect();
            times.sort_unstable();
            times
        };
        prop_assert_eq!(times(&there.slower), swapped(&back.faster));
        prop_assert_eq!(times(&there.faster), swapped(&back.slower));
        let in_rows = |side: fn(&Row) -> Option<usize>| there.rows.iter().filter_map(side).count();
        prop_assert_eq!((in_rows(|row| row.a), in_rows(|row| row.b)), (a.spans.len(), b.spans.len()));
    });
}
