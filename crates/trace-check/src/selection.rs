//! Spans chosen by name, service, kind, attribute or parent, and how many there are.

use std::fmt;
use std::ops::{Range, RangeFrom, RangeInclusive, RangeTo, RangeToInclusive};

use serde_json::Value;
use trace_analysis::{Kind, Span};

use crate::bars;
use crate::failure::Broken;
use crate::trace::Trace;

/// Spans of the wanted name that are shown beside those that have another parent: mostly there is one.
const MOST_NAMED: usize = 3;

/// Spans that statements are about. Each statement returns it again, so that more can follow.
#[derive(Debug, Clone)]
pub struct Selection<'t> {
    pub(crate) trace: &'t Trace,
    /// Their indices in the tree, by start.
    pub(crate) spans: Vec<usize>,
    /// How they were chosen.
    pub(crate) code: String,
    /// Whether it has been said that there are none; the statements after it would only repeat it.
    reported_empty: bool,
}

/// A number of spans: `3`, `3..`, `..3`, `..=3`, `2..4` or `2..=4`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    least: usize,
    most: usize,
}

impl Bounds {
    pub(crate) fn contains(self, number: usize) -> bool {
        self.holds(number, number)
    }

    /// Whether a number that lies between `low` and `high` may be one of these.
    pub(crate) fn holds(self, low: usize, high: usize) -> bool {
        high >= self.least && low <= self.most
    }
}

macro_rules! bounds {
    ($($from:ty, $pattern:pat => $least:expr, $most:expr;)*) => {
        $(impl From<$from> for Bounds {
            fn from($pattern: $from) -> Self {
                Self { least: $least, most: $most }
            }
        })*
    };
}

bounds! {
    usize, number => number, number;
    RangeFrom<usize>, range => range.start, usize::MAX;
    RangeTo<usize>, range => 0, range.end.saturating_sub(1);
    RangeToInclusive<usize>, range => 0, range.end;
    Range<usize>, range => range.start, range.end.saturating_sub(1);
    RangeInclusive<usize>, range => *range.start(), *range.end();
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.least, self.most) {
            (least, most) if least == most => write!(f, "{least}"),
            (least, usize::MAX) => write!(f, "{least}.."),
            (0, most) => write!(f, "..={most}"),
            (least, most) => write!(f, "{least}..={most}"),
        }
    }
}

/// Whether `name` is of `pattern`, in which `*` stands for any text.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut left) = name.strip_prefix(first) else { return false };
    let (middle, last) = rest.rsplit_once('*').map_or((None, rest), |(middle, last)| (Some(middle), last));
    for part in middle.into_iter().flat_map(|middle| middle.split('*')) {
        let Some(at) = left.find(part) else { return false };
        left = &left[at + part.len()..];
    }
    left.ends_with(last)
}

impl<'t> Selection<'t> {
    pub(crate) fn of_name(trace: &'t Trace, name: &str) -> Self {
        let all = (0..trace.tree().spans.len()).collect();
        Self::new(trace, all, format!("span({name:?})"), false).retain(|_, span| matches(name, &span.name))
    }

    fn new(trace: &'t Trace, mut spans: Vec<usize>, code: String, reported_empty: bool) -> Self {
        spans.sort_by_key(|&i| (trace.tree().spans[i].start, trace.tree().spans[i].id));
        spans.dedup();
        Self { trace, spans, code, reported_empty }
    }

    fn retain(mut self, wanted: impl Fn(usize, &Span) -> bool) -> Self {
        let tree = self.trace.tree();
        self.spans.retain(|&i| wanted(i, &tree.spans[i]));
        self
    }

    fn also(mut self, code: fmt::Arguments<'_>) -> Self {
        self.code += &format!(".{code}");
        self
    }

    /// Only those of this service.
    pub fn service(self, service: &str) -> Self {
        self.retain(|_, span| span.service == service).also(format_args!("service({service:?})"))
    }

    /// Only those of this kind.
    pub fn kind(self, kind: Kind) -> Self {
        self.retain(|_, span| span.kind == kind).also(format_args!("kind(Kind::{kind:?})"))
    }

    /// Only those with this attribute. Whether all have it says [`attribute`](Self::attribute).
    pub fn with(self, name: &str, value: impl Into<Value>) -> Self {
        let (trace, value) = (self.trace, value.into());
        let has = |i: usize| trace.details(i).attributes.get(name) == Some(&value);
        self.retain(|i, _| has(i)).also(format_args!("with({name:?}, {value})"))
    }

    /// Their children of this name.
    pub fn children(&self, name: &str) -> Self {
        let tree = self.trace.tree();
        let children = self.spans.iter().flat_map(|&i| tree.children[i].iter().copied()).collect();
        let code = format!("{}.children({name:?})", self.code);
        Self::new(self.trace, children, code, self.reported_empty).retain(|_, span| matches(name, &span.name))
    }

    /// All spans of this name below them.
    pub fn descendants(&self, name: &str) -> Self {
        let tree = self.trace.tree();
        let (mut chosen, mut below) = (vec![false; tree.spans.len()], vec![false; tree.spans.len()]);
        self.spans.iter().for_each(|&i| chosen[i] = true);
        for &(i, _) in &tree.order {
            // Parents come first in it.
            below[i] = tree.parents[i].is_some_and(|parent| below[parent] || chosen[parent]);
        }
        let found = (0..below.len()).filter(|&i| below[i]).collect();
        let code = format!("{}.descendants({name:?})", self.code);
        Self::new(self.trace, found, code, self.reported_empty).retain(|_, span| matches(name, &span.name))
    }

    /// The spans, by start.
    pub fn spans(&self) -> impl Iterator<Item = &'t Span> + '_ {
        self.spans.iter().map(|&i| &self.trace.tree().spans[i])
    }

    /// There are so many.
    #[track_caller]
    pub fn count(self, number: impl Into<Bounds>) -> Self {
        self.cardinality("count", number.into())
    }

    /// There is one.
    #[track_caller]
    pub fn exactly_once(self) -> Self {
        self.cardinality("exactly_once", 1.into())
    }

    /// There is none.
    #[track_caller]
    pub fn absent(self) -> Self {
        self.cardinality("absent", 0.into())
    }

    #[track_caller]
    fn cardinality(mut self, statement: &'static str, number: Bounds) -> Self {
        if self.reported_empty {
            return self;
        }
        let found = self.spans.len();
        self.reported_empty = found == 0;
        let argument = if statement == "count" { number.to_string() } else { String::new() };
        let spans = if number == 1.into() { "span" } else { "spans" };
        let holds =
            Broken::unless(number.contains(found), format!("{number} {spans}"), format!("{found}"), &self.spans);
        self.report(statement, argument, holds);
        self
    }

    /// Each has a parent of this name.
    #[track_caller]
    pub fn parent(self, name: &str) -> Self {
        let expected = format!("each has the parent {name:?}");
        let named = Selection::of_name(self.trace, name).spans.into_iter().take(MOST_NAMED).collect::<Vec<_>>();
        self.each_beside(&named, "parent", format!("{name:?}"), &expected, |this, i| {
            match this.trace.tree().parents[i].map(|parent| &this.trace.tree().spans[parent]) {
                Some(parent) if matches(name, &parent.name) => None,
                Some(parent) => Some(format!("the parent {:?}", bars::name(&parent.name))),
                None => Some("no parent among the spans".to_owned()),
            }
        })
    }

    /// None has a parent, not even one that is not among the spans.
    #[track_caller]
    pub fn root(self) -> Self {
        self.each("root", String::new(), "no parent", |this, i| {
            this.trace.tree().spans[i].parent.map(|parent| format!("the parent {parent}"))
        })
    }

    /// Each has so many children of this name.
    #[track_caller]
    pub fn each_has(self, name: &str, number: impl Into<Bounds>) -> Self {
        let number = number.into();
        let expected = format!("each has {number} children {name:?}");
        self.each("each_has", format!("{name:?}, {number}"), &expected, |this, i| {
            let tree = this.trace.tree();
            let found = tree.children[i].iter().filter(|&&child| matches(name, &tree.spans[child].name)).count();
            (!number.contains(found)).then(|| format!("{found}"))
        })
    }

    /// States something of each span; `wrong` says what is there instead.
    #[track_caller]
    pub(crate) fn each(
        self,
        statement: &'static str,
        arguments: String,
        expected: &str,
        wrong: impl Fn(&Self, usize) -> Option<String>,
    ) -> Self {
        self.each_beside(&[], statement, arguments, expected, wrong)
    }

    /// The same, with bars of other spans beside those of which it does not hold.
    #[track_caller]
    fn each_beside(
        self,
        beside: &[usize],
        statement: &'static str,
        arguments: String,
        expected: &str,
        wrong: impl Fn(&Self, usize) -> Option<String>,
    ) -> Self {
        self.state(statement, arguments, |this| {
            let found: Vec<_> = this.spans.iter().filter_map(|&i| Some((i, wrong(this, i)?))).collect();
            let Some((first, text)) = found.first() else { return Ok(()) };
            let more = if found.len() == 1 { String::new() } else { format!(" (and {} more)", found.len() - 1) };
            let about: Vec<_> = found.iter().map(|(i, _)| *i).collect();
            let found = format!("{}: {text}{more}", this.name(*first));
            Err(Broken { expected: expected.to_owned(), found, about, beside: beside.to_vec() })
        })
    }

    /// States something of all spans together, of which there must be one.
    #[track_caller]
    pub(crate) fn state(
        mut self,
        statement: &'static str,
        arguments: String,
        check: impl FnOnce(&Self) -> Result<(), Broken>,
    ) -> Self {
        if self.reported_empty {
            return self;
        }
        let outcome = match self.spans.is_empty() {
            true => Broken::unless(false, format!("a span {}", self.code), "there is none", &[]),
            false => check(&self),
        };
        self.reported_empty = self.spans.is_empty();
        self.report(statement, arguments, outcome);
        self
    }

    #[track_caller]
    fn report(&self, statement: &'static str, arguments: String, outcome: Result<(), Broken>) {
        if let Err(broken) = outcome {
            let code = format!("{}.{statement}({arguments})", self.code);
            self.trace.fail(broken.into_failure(self.trace, statement, code));
        }
    }

    pub(crate) fn name(&self, span: usize) -> String {
        bars::name(&self.trace.tree().spans[span].name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn star_stands_for_any_text() {
        for (pattern, name) in [
            ("a", "a"),
            ("a*", "a"),
            ("*", ""),
            ("a*c", "abc"),
            ("*b*", "abc"),
            ("a*b*c", "a-b-bc"),
            ("**", "x"),
            ("/*", "/*"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("a", "ab"), ("a*", "ba"), ("ab*ba", "aba"), ("*b*c", "ac"), ("a*b*b", "ab"), ("", "x")]
        {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn bounds_are_those_of_the_range() {
        let all: [(Bounds, &str, usize, usize); 6] = [
            (3.into(), "3", 3, 4),
            ((3..).into(), "3..", 9, 2),
            ((..3).into(), "..=2", 2, 3),
            ((..=3).into(), "..=3", 3, 4),
            ((2..4).into(), "2..=3", 3, 4),
            ((2..=4).into(), "2..=4", 4, 1),
        ];
        for (bounds, text, inside, outside) in all {
            assert!(bounds.contains(inside) && !bounds.contains(outside), "{bounds:?}");
            assert_eq!(bounds.to_string(), text);
        }
    }
}
