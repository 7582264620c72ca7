//! The spans that statements are about.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use serde_json::Value;
use trace_analysis::{Span, SpanId, Tree};

use crate::bars;
use crate::failure::{Broken, Failure, Report};
use crate::selection::Selection;
use crate::whole::Whole;

/// What statements need of a span beside [`Span`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Details {
    /// 32 hex digits.
    pub trace_id: String,
    /// Integers, floats, booleans, texts and lists as JSON has them.
    pub attributes: BTreeMap<String, Value>,
    /// The names of its events.
    pub events: Vec<String>,
    /// The spans that it links to.
    pub links: Vec<Link>,
    /// Whether its parent is known to be in another process, whose spans need not be here.
    pub remote_parent: bool,
    /// Whether it has not ended.
    pub open: bool,
}

/// A link to another span.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Link {
    /// 32 hex digits.
    pub trace_id: String,
    /// Of the other span.
    pub span: SpanId,
}

/// All spans of one run, usually of one trace. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Trace {
    data: Arc<Data>,
    /// Where [`Trace::check`] collects; without it a failed statement panics.
    failures: Option<RefCell<Vec<Failure>>>,
}

#[derive(Debug, Clone)]
struct Data {
    tree: Tree,
    details: Vec<Details>,
    lines: Vec<Value>,
}

impl Trace {
    /// The trace of these spans. Of several with the same id the first stays.
    pub fn new(spans: impl IntoIterator<Item = (Span, Details)>) -> Self {
        let mut seen = HashSet::new();
        let (spans, details): (Vec<_>, _) = spans.into_iter().filter(|(span, _)| seen.insert(span.id)).unzip();
        Self { data: Arc::new(Data { tree: Tree::new(spans), details, lines: Vec::new() }), failures: None }
    }

    /// The same with these log lines: JSON objects with `message`, `trace_id` and `span_id`.
    pub fn with_lines(self, lines: Vec<Value>) -> Self {
        let data = Data { lines, ..(*self.data).clone() };
        Self { data: Arc::new(data), ..self }
    }

    /// The spans of this name, in which `*` stands for any text.
    pub fn span(&self, name: &str) -> Selection<'_> {
        Selection::of_name(self, name)
    }

    /// Statements about all spans together.
    pub fn whole(&self) -> Whole<'_> {
        Whole { trace: self }
    }

    /// A statement of your own, which holds or not. The bars of all spans are shown where it does not.
    #[track_caller]
    pub fn state(&self, statement: &'static str, holds: bool, expected: &str, found: &str) {
        if let Err(broken) = Broken::unless(holds, expected, found, &[]) {
            self.fail(broken.into_failure(self, statement, statement.to_owned()));
        }
    }

    /// Runs `statements`, and collects those that do not hold where otherwise the first would panic.
    ///
    /// # Errors
    /// [`Report`], when one does not hold.
    pub fn check(&self, statements: impl FnOnce(&Self)) -> Result<(), Report> {
        let collecting = Self { data: Arc::clone(&self.data), failures: Some(RefCell::default()) };
        statements(&collecting);
        let failures = collecting.failures.map(RefCell::into_inner).unwrap_or_default();
        if failures.is_empty() { Ok(()) } else { Err(Report { failures }) }
    }

    /// The waterfall of all spans as text, as a failure shows it.
    pub fn bars(&self) -> String {
        bars::draw(self.tree(), &[], &[])
    }

    /// The spans as a tree.
    pub fn tree(&self) -> &Tree {
        &self.data.tree
    }

    /// What is known of the span of this index in [`Trace::tree`].
    pub fn details(&self, span: usize) -> &Details {
        &self.data.details[span]
    }

    pub(crate) fn lines(&self) -> &[Value] {
        &self.data.lines
    }

    #[track_caller]
    pub(crate) fn fail(&self, failure: Failure) {
        match &self.failures {
            Some(failures) => failures.borrow_mut().push(failure),
            None => panic!("{failure}"),
        }
    }
}
