//! The difference of two traces in one to three sentences.

use std::collections::BTreeMap;

use crate::comparison::{Comparison, OnlyIn};
use crate::groups::{Group, groups};
use crate::report::Report;
use crate::tree::Tree;
use crate::words::{calls, duration, name, number, sentence as as_sentence, spans, stem};

/// Kinds of spans that are named where only one trace has them.
const MOST_NAMED: usize = 2;

pub(crate) fn sentence(a: &Tree, b: &Tree, difference: &Comparison) -> String {
    let mut clauses = Vec::new();
    clauses.extend(outcome(a, b));
    match batches(a, b) {
        Some((in_a, in_b)) => {
            clauses.push(about_batches(&in_a, &in_b));
            clauses.extend(decided((a, &difference.a, &in_a), (b, &difference.b, &in_b)));
        }
        None => {
            clauses.push(durations(a, b, difference));
            clauses.extend(most_of_it(a, b, difference).filter(|_| clauses.len() < 2));
        }
    }
    clauses.extend(alone(difference));
    while clauses.len() > 3 {
        let last = clauses.pop().unwrap_or_default();
        clauses.last_mut().into_iter().for_each(|clause| *clause += &format!("; {last}"));
    }
    clauses.iter().map(|clause| as_sentence(clause)).collect::<Vec<_>>().join(" ")
}

/// Where one failed and the other did not.
fn outcome(a: &Tree, b: &Tree) -> Option<String> {
    let failed = |tree: &Tree| tree.root.is_some_and(|root| tree.spans[root].failed);
    match (failed(a), failed(b)) {
        (true, false) => Some("A failed, B did not".to_owned()),
        (false, true) => Some("B failed, A did not".to_owned()),
        _ => None,
    }
}

/// The same calls in both, which ran differently wide and took at least half of the slower trace.
fn batches(a: &Tree, b: &Tree) -> Option<(Group, Group)> {
    fn key(group: &Group) -> impl Ord {
        let Group { parent_service, parent_name, service, name, count, .. } = group;
        (parent_service, stem(parent_name), service, name, count)
    }
    let (of_a, of_b) = (groups(a, 2), groups(b, 2));
    let mut by_key = BTreeMap::<_, (Vec<&Group>, Vec<&Group>)>::new();
    of_a.iter().for_each(|group| by_key.entry(key(group)).or_default().0.push(group));
    of_b.iter().for_each(|group| by_key.entry(key(group)).or_default().1.push(group));
    // Where a trace has several of the same key, it is not known which is which.
    let pairs =
        by_key.into_values().filter_map(|(a, b)| Some((<[_; 1]>::try_from(a).ok()?, <[_; 1]>::try_from(b).ok()?)));
    let half = a.duration().max(b.duration()).div_ceil(2);
    let wall = |a: &Group, b: &Group| a.wall.max(b.wall);
    let different = pairs.map(|([a], [b])| (a, b)).filter(|(a, b)| a.peak_concurrency != b.peak_concurrency);
    let pair = different.filter(|(a, b)| wall(a, b) >= half).max_by_key(|(a, b)| wall(a, b))?;
    Some((pair.0.clone(), pair.1.clone()))
}

fn about_batches(a: &Group, b: &Group) -> String {
    let how = |group: &Group| match group.peak_concurrency {
        1 => "one after the other".to_owned(),
        peak if peak == group.count => "at once".to_owned(),
        peak => format!("{} at a time", number(peak)),
    };
    // The same work takes the same time in sum; otherwise the durations say little about how they ran.
    let same = a.sum.abs_diff(b.sum) <= a.sum.max(b.sum) / 10;
    let what =
        if same { format!("the same {}", calls(a)) } else { format!("{} in each, of different durations", calls(a)) };
    let (wall_a, wall_b) = (duration(a.wall), duration(b.wall));
    format!("{what}: {} {wall_a}, {} {wall_b}, {}", how(a), how(b), times(a.wall, b.wall))
}

/// `5.6 times faster`, from `a` to `b`.
fn times(a: u64, b: u64) -> String {
    match (a as f64, b as f64) {
        (a, b) if a.max(b) < a.min(b) * 1.05 || a == b => "about the same".to_owned(),
        (a, b) if a > b && b > 0.0 => format!("{:.1} times faster", a / b),
        (a, b) if b > a && a > 0.0 => format!("{:.1} times slower", b / a),
        (a, b) => if a > b { "faster" } else { "slower" }.to_owned(),
    }
}

/// The last of the calls where most ran at once, if the trace waited for it.
fn decided(a: (&Tree, &Report, &Group), b: (&Tree, &Report, &Group)) -> Option<String> {
    let (tree, report, group) = if a.2.peak_concurrency > b.2.peak_concurrency { a } else { b };
    let last = group.last(tree).filter(|last| report.path.stretches.iter().any(|stretch| stretch.span == *last))?;
    Some(format!("What decided the end: {}", name(&tree.spans[last].name)))
}

fn durations(a: &Tree, b: &Tree, difference: &Comparison) -> String {
    let (in_a, in_b) = (a.duration(), b.duration());
    let nothing_changed = difference.slower.is_empty() && difference.faster.is_empty();
    match times(in_a, in_b) {
        same if same == "about the same" && difference.same_structure && nothing_changed => {
            let (from, to) = (duration(in_a), duration(in_b));
            let took = if from == to { format!("{from} each") } else { format!("{from} and {to}") };
            format!("no difference: both have the same {}, and took {took}", spans(a.spans.len()))
        }
        times => format!("A took {}, B {}: {times}", duration(in_a), duration(in_b)),
    }
}

/// The part of the critical path that changed most.
fn most_of_it(a: &Tree, b: &Tree, difference: &Comparison) -> Option<String> {
    let mut changes = BTreeMap::<(&str, (&str, bool)), i128>::new();
    for (report, sign) in [(&difference.a, -1), (&difference.b, 1)] {
        for share in &report.critical_path {
            *changes.entry((share.service.as_str(), stem(&share.name))).or_default() +=
                sign * i128::from(share.nanoseconds);
        }
    }
    let least = u128::from(a.duration().max(b.duration()) / 20).max(1);
    let ((service, what), change) = changes.into_iter().max_by_key(|(_, change)| change.unsigned_abs())?;
    let size = u64::try_from(change.unsigned_abs()).ok().filter(|&size| u128::from(size) >= least)?;
    let more = if change > 0 { "more" } else { "less" };
    Some(format!("the largest change: {} of {}, {} {more} in B", name(&joined(what)), name(service), duration(size)))
}

fn joined((stem, is_numbered): (&str, bool)) -> String {
    format!("{stem}{}", if is_numbered { "*" } else { "" })
}

/// What only one of them has.
fn alone(difference: &Comparison) -> Option<String> {
    let list = |side: &str, only: &[OnlyIn]| {
        let mut kinds = BTreeMap::<(&str, (&str, bool)), usize>::new();
        for span in only {
            *kinds.entry((span.service.as_str(), stem(&span.name))).or_default() += 1;
        }
        let mut kinds: Vec<_> = kinds.into_iter().collect();
        kinds.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
        let what = |&((service, what), count): &((&str, (&str, bool)), usize)| match count {
            1 => format!("{} of {}", name(&joined(what)), name(service)),
            count => format!("{count} × {} of {}", name(&joined(what)), name(service)),
        };
        let more = if kinds.len() > MOST_NAMED { " and others" } else { "" };
        let named: Vec<_> = kinds.iter().take(MOST_NAMED).map(what).collect();
        (!only.is_empty()).then(|| format!("only {side} has {}{more}", named.join(" and ")))
    };
    let sides = [list("A", &difference.only_in_a), list("B", &difference.only_in_b)];
    let sides: Vec<String> = sides.into_iter().flatten().collect();
    (!sides.is_empty()).then(|| sides.join("; "))
}
