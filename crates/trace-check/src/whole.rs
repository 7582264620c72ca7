//! Statements about all spans together.

use std::collections::HashSet;

use serde_json::Value;
use trace_analysis::errors;

use crate::bars;
use crate::failure::Broken;
use crate::selection::Bounds;
use crate::trace::Trace;

/// All spans of a trace. Each statement returns it again, so that more can follow.
#[derive(Debug, Clone, Copy)]
pub struct Whole<'t> {
    pub(crate) trace: &'t Trace,
}

impl Whole<'_> {
    #[track_caller]
    fn state(self, statement: &'static str, arguments: &str, outcome: Result<(), Broken>) -> Self {
        if let Err(broken) = outcome {
            let code = format!("whole().{statement}({arguments})");
            self.trace.fail(broken.into_failure(self.trace, statement, code));
        }
        self
    }

    #[track_caller]
    fn none(self, statement: &'static str, expected: &str, wrong: &[usize], why: &str) -> Self {
        let found = match wrong.first() {
            Some(&first) => format!("{}: {why}", bars::name(&self.trace.tree().spans[first].name)),
            None => String::new(),
        };
        self.state(statement, "", Broken::unless(wrong.is_empty(), expected, found, wrong))
    }

    fn all(self, wanted: impl Fn(usize) -> bool) -> Vec<usize> {
        (0..self.trace.tree().spans.len()).filter(|&i| wanted(i)).collect()
    }

    /// There are so many spans.
    #[track_caller]
    pub fn spans(self, number: impl Into<Bounds>) -> Self {
        let (number, found) = (number.into(), self.trace.tree().spans.len());
        let holds = Broken::unless(number.contains(found), format!("{number} spans"), format!("{found}"), &[]);
        self.state("spans", &number.to_string(), holds)
    }

    /// Every span has ended. A span that has not is often not exported at all: then it is missing as the parent of
    /// others, unless these say that their parent is in another process.
    #[track_caller]
    pub fn no_open_spans(self) -> Self {
        let tree = self.trace.tree();
        let open = self.all(|i| self.trace.details(i).open);
        let local = |i: usize| tree.spans[i].parent.is_some() && !self.trace.details(i).remote_parent;
        // A span of a cycle of parents has one that is there.
        let ids: HashSet<_> = tree.spans.iter().map(|span| span.id).collect();
        let has = |i: usize| tree.spans[i].parent.is_some_and(|id| ids.contains(&id));
        let without = self.all(|i| tree.parents[i].is_none() && local(i) && !has(i));
        match open.is_empty() {
            false => self.none("no_open_spans", "every span has ended", &open, "has no end"),
            true => self.none("no_open_spans", "every span has ended", &without, "its parent is not among the spans"),
        }
    }

    /// One span has no parent, all others are below it, and all have the same trace id.
    #[track_caller]
    pub fn one_root(self) -> Self {
        let tree = self.trace.tree();
        let names: Vec<_> = tree.roots.iter().take(5).map(|&i| bars::name(&tree.spans[i].name)).collect();
        let mut traces: Vec<_> = self.all(|_| true);
        traces.sort_by_key(|&i| &self.trace.details(i).trace_id);
        traces.dedup_by_key(|&mut i| &self.trace.details(i).trace_id);
        let found = format!("{} ({}), in {} traces", tree.roots.len(), names.join(", "), traces.len());
        let holds = tree.roots.len() == 1 && traces.len() == 1;
        self.state("one_root", "", Broken::unless(holds, "one root, in one trace", found, &tree.roots))
    }

    /// Each span that failed says why, by a description, `error.type` or an event `exception`, or has a child that did.
    #[track_caller]
    pub fn errors_are_explained(self) -> Self {
        let tree = self.trace.tree();
        let silent = |i: usize| {
            let details = self.trace.details(i);
            let has_type = details.attributes.get("error.type").is_some_and(|kind| kind != &Value::from(""));
            tree.spans[i].message.is_empty() && !has_type && !details.events.iter().any(|event| event == "exception")
        };
        let wrong: Vec<_> = errors(tree).iter().map(|error| error.span).filter(|&i| silent(i)).collect();
        self.none(
            "errors_are_explained",
            "each error has a description, error.type or an exception",
            &wrong,
            "has none",
        )
    }

    /// The parent of a span that failed has failed, too. Retries and best effort are no such traces.
    #[track_caller]
    pub fn errors_reach_root(self) -> Self {
        let tree = self.trace.tree();
        let hidden =
            self.all(|i| tree.spans[i].failed && tree.parents[i].is_some_and(|parent| !tree.spans[parent].failed));
        self.none("errors_reach_root", "the parent of each error has failed, too", &hidden, "its parent has not")
    }

    /// The status of no span is Error.
    #[track_caller]
    pub fn no_errors(self) -> Self {
        let failed = self.all(|i| self.trace.tree().spans[i].failed);
        self.none("no_errors", "no span has failed", &failed, "has failed")
    }
}
