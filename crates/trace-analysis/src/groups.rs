//! Groups: the calls of one span to the same callee, and how many of them ran at the same time.

use std::collections::HashMap;

use serde::{Serialize, Serializer};
use smol_str::SmolStr;

use crate::span::{Kind, Span, tolerance};
use crate::tree::Tree;
use crate::words::{starred, stem};

/// Children of one parent with the same callee. Times are nanoseconds, as JSON they are seconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Group {
    /// The service of the parent.
    pub parent_service: SmolStr,
    /// The name of the parent.
    pub parent_name: SmolStr,
    /// The service of the callee.
    pub service: SmolStr,
    /// The name of the callee, digits at its end as one `*`.
    pub name: SmolStr,
    /// How many children.
    pub count: usize,
    /// The most that were in progress at the same time; at least 1.
    pub peak_concurrency: usize,
    /// The sum of their durations: what they would take one after the other.
    #[serde(rename = "sum_seconds", serialize_with = "seconds")]
    pub sum: u64,
    /// From the first start to the last end.
    #[serde(rename = "wall_seconds", serialize_with = "seconds")]
    pub wall: u64,
    /// The longest duration: what they would take at least, all at the same time.
    #[serde(rename = "slowest_seconds", serialize_with = "seconds")]
    pub slowest: u64,
    /// The index of the parent.
    #[serde(skip)]
    pub parent: usize,
    /// The indices of the children, by start.
    #[serde(skip)]
    pub members: Vec<usize>,
}

fn seconds<S: Serializer>(nanoseconds: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(*nanoseconds as f64 / 1e9)
}

impl Group {
    fn of(tree: &Tree, parent: usize, members: Vec<usize>) -> Self {
        let callee = called(tree, members[0]);
        let spans = || members.iter().map(|&i| &tree.spans[i]);
        let first = spans().map(|span| span.start).min().unwrap_or(0);
        let end = spans().map(|span| span.end).max().unwrap_or(0);
        Self {
            parent_service: tree.spans[parent].service.clone(),
            parent_name: tree.spans[parent].name.clone(),
            service: callee.service.clone(),
            name: if stem(&callee.name).1 { starred(&callee.name).into() } else { callee.name.clone() },
            count: members.len(),
            peak_concurrency: steps(tree, &members).iter().map(|&(_, active)| active).max().unwrap_or(0).max(1),
            sum: spans().map(|span| span.duration()).fold(0, u64::saturating_add),
            wall: end - first,
            slowest: spans().map(|span| span.duration()).max().unwrap_or(0),
            parent,
            members,
        }
    }

    /// How many times as long one after the other would have taken; less than 1 where there were pauses.
    pub fn speedup(&self) -> f64 {
        if self.wall == 0 { 1.0 } else { self.sum as f64 / self.wall as f64 }
    }

    /// Whether some ran at the same time, and that saved time worth speaking of.
    pub(crate) fn gained(&self) -> bool {
        self.peak_concurrency > 1 && self.speedup() >= 1.05
    }

    /// The member that ended last.
    pub(crate) fn last(&self, tree: &Tree) -> Option<usize> {
        self.members.iter().copied().max_by_key(|&i| (tree.spans[i].end, std::cmp::Reverse(tree.spans[i].id)))
    }
}

/// Service and name of what a span calls: those of its only child where it is a CLIENT span with one, else its own.
/// Digits at the end of the name are one `*`.
pub fn callee(tree: &Tree, span: usize) -> (&str, String) {
    let callee = called(tree, span);
    (&callee.service, starred(&callee.name))
}

fn called(tree: &Tree, span: usize) -> &Span {
    match tree.children[span][..] {
        [child] if tree.spans[span].kind == Kind::Client => &tree.spans[child],
        _ => &tree.spans[span],
    }
}

/// The groups of at least `least` children, the largest sum of durations first.
pub fn groups(tree: &Tree, least: usize) -> Vec<Group> {
    let mut groups = Vec::new();
    for (parent, children) in tree.children.iter().enumerate().filter(|(_, children)| children.len() >= least) {
        let mut by_callee = HashMap::<_, Vec<usize>>::new();
        for &child in children {
            let callee = called(tree, child);
            by_callee.entry((&callee.service, stem(&callee.name))).or_default().push(child);
        }
        let large = by_callee.into_values().filter(|members| members.len() >= least);
        groups.extend(large.map(|members| Group::of(tree, parent, members)));
    }
    let id = |group: &Group| tree.spans[group.parent].id;
    groups.sort_by(|a, b| (b.sum, id(a), &a.service, &a.name).cmp(&(a.sum, id(b), &b.service, &b.name)));
    groups
}

/// How many of `members` are in progress, for each time at which that changes.
///
/// Touching is not overlapping: a span ends up to 2 % of its duration, or 200 µs, earlier here.
pub fn steps(tree: &Tree, members: &[usize]) -> Vec<(u64, usize)> {
    let spans = members.iter().map(|&i| &tree.spans[i]);
    let spans = spans.map(|span| (span.start, span.end - tolerance(span.duration())));
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
    use crate::testing::{MS, any_trace, named, of, span};

    /// Children `roll_0`… of span 1, each from and to so many milliseconds; count, wall, sum (ms) and peak.
    fn rolls(times: &[(u64, u64)]) -> (usize, u64, u64, usize) {
        let mut spans = vec![span(1, 0, 0, 10_000 * MS)];
        for (n, (from, to)) in (2..).zip(times) {
            spans.push(named(&format!("roll_{}", n - 2), span(n, 1, from * MS, to * MS)));
        }
        let groups = groups(&Tree::new(spans), 2);
        let [group] = &groups[..] else { panic!("{groups:?}") };
        assert_eq!(group.name, "roll_*");
        (group.count, group.wall / MS, group.sum / MS, group.peak_concurrency)
    }

    #[test]
    fn concurrent_rolls_have_their_number_as_peak() {
        assert_eq!(rolls(&[(10, 510), (11, 911), (12, 212)]), (3, 901, 1600, 3));
    }

    #[test]
    fn sequential_rolls_have_peak_one_even_if_they_overlap_slightly() {
        assert_eq!(rolls(&[(0, 300), (300, 600), (600, 1000)]), (3, 1000, 1000, 1));
        let peak = |over| {
            let spans = vec![span(1, 0, 0, 9), span(2, 1, 0, 300 * MS + over), span(3, 1, 300 * MS, 600 * MS)];
            groups(&Tree::new(spans), 2)[0].peak_concurrency
        };
        assert_eq!((peak(200_000), peak(200_001)), (1, 2));
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
        let tree = Tree::new(vec![span(1, 0, 5, 5), span(2, 1, 5, 5), span(3, 1, 5, 5)]);
        assert_eq!(groups(&tree, 2)[0].speedup(), 1.0);
    }

    #[test]
    fn call_with_one_child_counts_as_that_child() {
        let client = |n| named("HTTP GET", of("shop", Kind::Client, span(n, 1, n, n + 5)));
        let server = |n, parent| named("GET /x/1", of("stock", Kind::Server, span(n, parent, n, n + 1)));
        let mut spans = vec![span(1, 0, 0, 99), client(2), client(3), client(4), client(5)];
        spans.extend([server(6, 2), server(7, 3), server(8, 4), server(9, 4)]);
        let tree = Tree::new(spans);
        let found: Vec<_> = groups(&tree, 2).into_iter().map(|g| (g.service, g.name, g.count)).collect();
        let two = |service: &str, name: &str| (service.into(), name.into(), 2);
        assert_eq!(found, [two("shop", "HTTP GET"), two("stock", "GET /x/*"), two("stock", "GET /x/*")]);
        assert!(groups(&tree, 3).is_empty());
    }

    #[test]
    fn group_is_written_with_the_names_of_the_contract() {
        let tree = Tree::new(vec![named("p", span(1, 0, 0, MS)), span(2, 1, 0, MS), span(3, 1, 0, MS / 2)]);
        let expected = serde_json::json!([{
            "parent_service": "s", "parent_name": "p", "service": "s", "name": "", "count": 2, "peak_concurrency": 2,
            "sum_seconds": 0.0015, "wall_seconds": 0.001, "slowest_seconds": 0.001,
        }]);
        assert_eq!(serde_json::to_value(groups(&tree, 2)).expect("JSON"), expected);
    }

    #[test]
    fn peak_of_any_trace_is_that_of_counting_at_each_start() {
        use proptest::prelude::*;
        proptest!(|(spans in any_trace())| {
            let tree = Tree::new(spans);
            for group in groups(&tree, 2) {
                let spans: Vec<_> = group.members.iter().map(|&i| &tree.spans[i]).collect();
                let active = |at: u64| spans.iter().filter(|span| {
                    let earlier = (span.duration() as f64 / 50.0).min(200_000.0);
                    span.start <= at && (at as f64) < span.end as f64 - earlier
                }).count();
                let peak = spans.iter().map(|span| active(span.start)).max().unwrap_or(0).max(1);
                prop_assert_eq!(group.peak_concurrency, peak);
                prop_assert!(group.slowest <= group.wall);
            }
        });
    }
}
