//! What ran at the same time, what came after what, and how long it took relative to other spans.
//!
//! The peak of `trace-analysis` lets spans that touch count as sequential, by shortening each a little. A number of
//! spans at once therefore lies between that peak and the one of the times as they are; a statement holds when a number
//! between both does.

use std::fmt;
use std::ops::RangeBounds;

use serde_json::Value;
use trace_analysis::{Span, duration, steps};

use crate::failure::Broken;
use crate::selection::{Bounds, Selection};

/// A duration that comes from spans, to compare others with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Length {
    nanoseconds: Option<u64>,
    code: String,
}

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.code)
    }
}

/// The most spans at the same time, by their times as they are.
fn peak(spans: &[&Span]) -> usize {
    let mut changes: Vec<_> = spans.iter().flat_map(|span| [(span.start, 1), (span.end, -1)]).collect();
    changes.sort_unstable(); // at one time ends come first
    let mut active = 0i64;
    let active = changes.iter().map(|(_, change)| {
        active += change;
        active
    });
    active.max().unwrap_or(0).max(1).unsigned_abs() as usize
}

fn range(low: usize, high: usize) -> String {
    if low == high { low.to_string() } else { format!("{low} to {high}") }
}

impl Selection<'_> {
    /// All were in progress at the same time: the last began before the first ended.
    #[track_caller]
    pub fn all_overlap(self) -> Self {
        self.state("all_overlap", String::new(), |this| {
            let tree = this.trace.tree();
            let last = this.spans.iter().copied().max_by_key(|&i| tree.spans[i].start).unwrap_or_default();
            let first = this.spans.iter().copied().min_by_key(|&i| tree.spans[i].end).unwrap_or_default();
            let (begin, end) = (tree.spans[last].start, tree.spans[first].end);
            let late = duration(begin.saturating_sub(end));
            let found = format!("{} begins {late} after {} has ended", this.name(last), this.name(first));
            let expected = format!("all {} in progress at the same time", this.spans.len());
            Broken::unless(last == first || begin < end, expected, found, &this.spans)
        })
    }

    /// So many were in progress at the same time, at most.
    #[track_caller]
    pub fn peak_concurrency(self, number: impl Into<Bounds>) -> Self {
        let number = number.into();
        self.state("peak_concurrency", number.to_string(), |this| {
            let (low, high) = this.peaks();
            let expected = format!("{number} at the same time");
            Broken::unless(number.holds(low, high), expected, range(low, high), &this.spans)
        })
    }

    /// Each began when the one before had ended.
    #[track_caller]
    pub fn one_after_another(self) -> Self {
        self.state("one_after_another", String::new(), |this| {
            let (low, _) = this.peaks();
            let found = format!("{low} at the same time");
            Broken::unless(low <= 1, "each begins when the one before has ended", found, &this.spans)
        })
    }

    /// They ran in so many waves: between two waves none was in progress.
    #[track_caller]
    pub fn waves(self, number: impl Into<Bounds>) -> Self {
        let number = number.into();
        self.state("waves", number.to_string(), |this| {
            let tree = this.trace.tree();
            let apart = steps(tree, &this.spans).iter().filter(|(_, active)| *active == 0).count();
            let mut end = None;
            let mut touching = 0;
            for span in this.spans() {
                touching += usize::from(end.is_none_or(|end| span.start > end));
                end = end.max(Some(span.end));
            }
            let (low, high) = (touching.min(apart), touching.max(apart));
            let expected = format!("{number} waves, with a pause between two");
            Broken::unless(number.holds(low, high), expected, range(low, high), &this.spans)
        })
    }

    fn peaks(&self) -> (usize, usize) {
        let low = steps(self.trace.tree(), &self.spans).iter().map(|(_, active)| *active).max();
        (low.unwrap_or(0).max(1), peak(&self.spans().collect::<Vec<_>>()))
    }

    /// Each began after all `others` had ended.
    #[track_caller]
    pub fn after(self, others: &Selection<'_>) -> Self {
        self.state("after", others.code.clone(), |this| {
            let expected = format!("all begin after {} has ended", others.code);
            let spans = &this.trace.tree().spans;
            let Some(&last) = others.spans.iter().max_by_key(|&&i| spans[i].end) else {
                return Broken::unless(false, expected, format!("there is no {}", others.code), &this.spans);
            };
            let early: Vec<_> = this.spans.iter().copied().filter(|&i| spans[i].start < spans[last].end).collect();
            let Some(&first) = early.first() else { return Ok(()) };
            let by = duration(spans[last].end - spans[first].start);
            let about: Vec<_> = early.into_iter().chain([last]).collect();
            Broken::unless(false, expected, format!("{} begins {by} before its end", this.name(first)), &about)
        })
    }

    /// They began in the sequence of this attribute, which is a number.
    #[track_caller]
    pub fn begin_in_sequence_of(self, attribute: &str) -> Self {
        self.state("begin_in_sequence_of", format!("{attribute:?}"), |this| {
            let number = |&i: &usize| this.trace.details(i).attributes.get(attribute).and_then(Value::as_f64);
            let found: Vec<_> = this.spans.iter().map(number).collect();
            let text = found.iter().map(|n| n.map_or("no number".to_owned(), |n| n.to_string())).collect::<Vec<_>>();
            let holds = found.iter().all(Option::is_some) && found.is_sorted();
            let expected = format!("the smallest {attribute:?} begins first");
            Broken::unless(holds, expected, cut(&text), &this.spans)
        })
    }

    /// Each began while its parent was in progress. Otherwise clocks disagree, or the span was made too early or too late.
    #[track_caller]
    pub fn begins_inside_parent(self) -> Self {
        self.each("begins_inside_parent", String::new(), "each begins while its parent is in progress", |this, i| {
            let (span, parent) = this.with_parent(i)?;
            let (early, late) = (parent.start.saturating_sub(span.start), span.start.saturating_sub(parent.end));
            match (early, late) {
                (0, 0) => None,
                (0, late) => Some(format!("{} after its parent's end", duration(late))),
                (early, _) => Some(format!("{} before its parent's beginning", duration(early))),
            }
        })
    }

    /// Each ended before its parent did.
    #[track_caller]
    pub fn ends_inside_parent(self) -> Self {
        self.each("ends_inside_parent", String::new(), "each ends before its parent does", |this, i| {
            let (span, parent) = this.with_parent(i)?;
            (span.end > parent.end).then(|| format!("{} after its parent's end", duration(span.end - parent.end)))
        })
    }

    /// A span without a parent is what [`parent`](Self::parent) is for.
    fn with_parent(&self, span: usize) -> Option<(&Span, &Span)> {
        let tree = self.trace.tree();
        Some((&tree.spans[span], &tree.spans[tree.parents[span]?]))
    }

    /// The duration of each is so many times `of`: `takes(..0.5, &rolls.sum())` is less than half of what the rolls take
    /// one after another.
    #[track_caller]
    pub fn takes(self, times: impl RangeBounds<f64> + fmt::Debug, of: &Length) -> Self {
        let expected = format!("{times:?} times {of}");
        self.each("takes", format!("{times:?}, {of}"), &expected, |this, i| {
            let took = this.trace.tree().spans[i].duration();
            let Some(other) = of.nanoseconds else { return Some("there is no such span".to_owned()) };
            let ratio = took as f64 / other.max(1) as f64;
            let times_of = || format!("{ratio:.2} times ({} of {})", duration(took), duration(other));
            (!times.contains(&ratio)).then(times_of)
        })
    }

    /// What they take together.
    pub fn sum(&self) -> Length {
        self.length("sum", |spans| spans.map(Span::duration).reduce(u64::saturating_add))
    }

    /// What the longest takes.
    pub fn longest(&self) -> Length {
        self.length("longest", |spans| spans.map(Span::duration).max())
    }

    /// What the shortest takes.
    pub fn shortest(&self) -> Length {
        self.length("shortest", |spans| spans.map(Span::duration).min())
    }

    fn length<'a>(&'a self, name: &str, of: impl FnOnce(&mut dyn Iterator<Item = &'a Span>) -> Option<u64>) -> Length {
        Length { nanoseconds: of(&mut self.spans()), code: format!("{}.{name}()", self.code) }
    }
}

/// The first of these texts.
pub(crate) fn cut(texts: &[String]) -> String {
    const MOST: usize = 20;
    let more = if texts.len() > MOST { ", …" } else { "" };
    texts[..texts.len().min(MOST)].join(", ") + more
}
