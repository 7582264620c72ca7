//! A statement that does not hold.

use std::fmt;

use crate::bars;
use crate::trace::Trace;

/// A statement that does not hold. Displayed with the bars of the spans that it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The name of the statement, such as `all_overlap`. Stays the same from version to version.
    pub statement: &'static str,
    /// The whole statement, such as `span("batch").children("roll_*").all_overlap()`.
    pub code: String,
    /// What was expected.
    pub expected: String,
    /// What is there instead.
    pub found: String,
    /// The waterfall of the spans that the statement is about, as text.
    pub bars: String,
}

/// The statements that do not hold, at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// In the sequence in which they were made.
    pub failures: Vec<Failure>,
}

/// Why a statement does not hold.
pub(crate) struct Broken {
    pub(crate) expected: String,
    pub(crate) found: String,
    /// The indices of the spans to show.
    pub(crate) about: Vec<usize>,
    /// Those to show beside them, without a mark.
    pub(crate) beside: Vec<usize>,
}

impl Broken {
    /// `Err` unless `holds`.
    pub(crate) fn unless(
        holds: bool,
        expected: impl Into<String>,
        found: impl Into<String>,
        about: &[usize],
    ) -> Result<(), Self> {
        if holds {
            return Ok(());
        }
        Err(Self { expected: expected.into(), found: found.into(), about: about.to_vec(), beside: Vec::new() })
    }

    pub(crate) fn into_failure(self, trace: &Trace, statement: &'static str, code: String) -> Failure {
        let Self { expected, found, about, beside } = self;
        Failure { statement, code, expected, found, bars: bars::draw(trace.tree(), &about, &beside) }
    }
}

impl Report {
    /// The names of the statements that do not hold, each once, in the sequence in which they were made.
    pub fn statements(&self) -> Vec<&'static str> {
        let mut names = Vec::new();
        for failure in &self.failures {
            if !names.contains(&failure.statement) {
                names.push(failure.statement);
            }
        }
        names
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { code, expected, found, bars, .. } = self;
        write!(f, "{code}\n  expected: {expected}\n  found:    {found}\n{bars}")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, failure) in self.failures.iter().enumerate() {
            write!(f, "{}{failure}", if i == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl std::error::Error for Report {}
