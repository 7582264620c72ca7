//! Two traces: whether they have the same structure, and what became slower or faster.

use serde::{Serialize, Serializer};
use smol_str::SmolStr;

use crate::difference;
use crate::matching::{Place, places};
use crate::report::Report;
use crate::span::{Kind, Span, SpanId};
use crate::tree::Tree;

/// A change of less than this part of the longer trace is noise.
const NOISE: u128 = 100;

/// The difference between the traces A and B. As JSON what `dice compare --json` prints.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// The difference in one to three sentences.
    pub sentence: String,
    /// Whether both are the same tree of kind, service, name (digits at its end as `*`) and ordinal among its likes.
    pub same_structure: bool,
    /// The duration of B's root divided by that of A's; `None` where A's has none and B's has.
    pub ratio: Option<f64>,
    /// The topmost spans that only A has.
    pub only_in_a: Vec<OnlyIn>,
    /// The topmost spans that only B has.
    pub only_in_b: Vec<OnlyIn>,
    /// Spans that are slower in B, the largest difference first.
    pub slower: Vec<Changed>,
    /// Spans that are faster in B, the largest difference first.
    pub faster: Vec<Changed>,
    /// The report about A.
    pub a: Report,
    /// The report about B.
    pub b: Report,
    /// Both traces, span beside span, each parent before its children.
    #[serde(skip)]
    pub rows: Vec<Row>,
}

/// A span that has no counterpart in the other trace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OnlyIn {
    /// Of the span.
    pub kind: Kind,
    /// Of the span.
    pub service: SmolStr,
    /// Of the span.
    pub name: SmolStr,
    /// Of the span.
    pub span_id: SpanId,
    /// How many spans it stands for: itself and its descendants.
    pub spans: usize,
}

/// A span whose duration differs by more than the factor, and by more than 1 % of the longer trace.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Changed {
    /// Of the span.
    pub kind: Kind,
    /// Of the span.
    pub service: SmolStr,
    /// Of the span in A.
    pub name: SmolStr,
    /// Its duration in A, in nanoseconds; in JSON in seconds.
    #[serde(rename = "a_seconds", serialize_with = "seconds")]
    pub a: u64,
    /// Its duration in B, in nanoseconds; in JSON in seconds.
    #[serde(rename = "b_seconds", serialize_with = "seconds")]
    pub b: u64,
    /// `b` divided by `a`; `None` where only `a` is 0.
    pub ratio: Option<f64>,
}

/// A span of A, its counterpart in B, or both.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Row {
    /// How many parents are above it.
    pub depth: usize,
    /// The index of the span in A.
    pub a: Option<usize>,
    /// The index of the span in B.
    pub b: Option<usize>,
    /// From A to B.
    pub change: Change,
    /// The duration in B divided by that in A, where there are both.
    pub ratio: Option<f64>,
}

/// What became of a span from A to B.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Change {
    Slower,
    Faster,
    Same,
    OnlyA,
    OnlyB,
}

fn seconds<S: Serializer>(nanoseconds: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(*nanoseconds as f64 / 1e9)
}

fn ratio(a: u64, b: u64) -> Option<f64> {
    match (a, b) {
        (0, 0) => Some(1.0),
        (0, _) => None,
        (a, b) => Some(b as f64 / a as f64),
    }
}

impl Comparison {
    /// Compares two traces. What takes more than `factor` times as long is slower; `factor` is 1 or more.
    pub fn of(a: &Tree, b: &Tree, factor: f64) -> Self {
        Self::of_reports((a, Report::of(a)), (b, Report::of(b)), factor)
    }

    /// The same with reports that were made before, such as those of traces that still arrive.
    pub fn of_reports((a, of_a): (&Tree, Report), (b, of_b): (&Tree, Report), factor: f64) -> Self {
        let noise = u128::from(a.duration().max(b.duration())) / NOISE;
        let row = |Place { depth, a: in_a, b: in_b }: Place| {
            let (change, ratio) = match (in_a, in_b) {
                (Some(i), Some(j)) => {
                    let (a, b) = (a.spans[i].duration(), b.spans[j].duration());
                    (change(a, b, noise, factor), ratio(a, b))
                }
                (_, None) => (Change::OnlyA, None),
                (None, _) => (Change::OnlyB, None),
            };
            Row { depth, a: in_a, b: in_b, change, ratio }
        };
        let rows: Vec<Row> = places(a, b).into_iter().map(row).collect();
        let changed = |wanted: Change| {
            let pairs = rows.iter().filter(|row| row.change == wanted).filter_map(|row| Some((row, row.a?, row.b?)));
            let changed = |(row, i, j): (&Row, usize, usize)| {
                let Span { kind, service, name, .. } = &a.spans[i];
                let (a, b) = (a.spans[i].duration(), b.spans[j].duration());
                Changed { kind: *kind, service: service.clone(), name: name.clone(), a, b, ratio: row.ratio }
            };
            let mut changed: Vec<Changed> = pairs.map(changed).collect();
            changed.sort_by_key(|changed| std::cmp::Reverse(changed.a.abs_diff(changed.b)));
            changed
        };
        let mut comparison = Self {
            sentence: String::new(),
            same_structure: rows.iter().all(|row| row.a.is_some() && row.b.is_some()),
            ratio: ratio(a.duration(), b.duration()),
            only_in_a: only_in(a, rows.iter().map(|row| (row.depth, row.a, row.change == Change::OnlyA))),
            only_in_b: only_in(b, rows.iter().map(|row| (row.depth, row.b, row.change == Change::OnlyB))),
            slower: changed(Change::Slower),
            faster: changed(Change::Faster),
            a: of_a,
            b: of_b,
            rows,
        };
        comparison.sentence = difference::sentence(a, b, &comparison);
        comparison
    }

    /// Whether B is slower than A by more than `factor`.
    pub fn slower_by_more_than(&self, factor: f64) -> bool {
        self.ratio.is_none_or(|ratio| ratio > factor)
    }
}

fn change(a: u64, b: u64, noise: u128, factor: f64) -> Change {
    match (a as f64, b as f64) {
        _ if u128::from(a.abs_diff(b)) <= noise => Change::Same,
        (a, b) if b > a * factor => Change::Slower,
        (a, b) if a > b * factor => Change::Faster,
        _ => Change::Same,
    }
}

/// The topmost of the rows (depth, span, whether it is alone), by start.
fn only_in(tree: &Tree, rows: impl Iterator<Item = (usize, Option<usize>, bool)>) -> Vec<OnlyIn> {
    let mut found = Vec::<(u64, OnlyIn)>::new();
    let mut top = None;
    for (depth, span, alone) in rows {
        if top.is_some_and(|top| depth <= top) {
            top = None;
        }
        let (Some(i), true) = (span, alone) else { continue };
        match (top, found.last_mut()) {
            (Some(_), Some((_, last))) => last.spans += 1,
            _ => {
                let Span { kind, service, name, id, start, .. } = &tree.spans[i];
                let (service, name) = (service.clone(), name.clone());
                top = Some(depth);
                found.push((*start, OnlyIn { kind: *kind, service, name, span_id: *id, spans: 1 }));
            }
        }
    }
    found.sort_by_key(|(start, only)| (*start, only.span_id));
    found.into_iter().map(|(_, only)| only).collect()
}

#[cfg(test)]
mod tests;
