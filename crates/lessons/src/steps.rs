//! The statements of a lesson about a run. The first that does not hold has the hints.

use trace_check::{Report, Trace};

use crate::run::Run;

/// Collects what the statements of a lesson say.
#[derive(Debug)]
pub struct Steps<'r> {
    run: &'r Run,
    pub(crate) failed: Option<Failed>,
}

/// A step whose statements do not all hold.
#[derive(Debug, Clone)]
pub struct Failed {
    /// The name of the step.
    pub step: &'static str,
    /// From the vague to the exact.
    pub hints: &'static [&'static str],
    /// The statements.
    pub report: Report,
}

impl<'r> Steps<'r> {
    pub(crate) fn new(run: &'r Run) -> Self {
        Self { run, failed: None }
    }

    /// One thing that the program has to do. Steps after one that failed are left out: what they say follows from it.
    pub fn step(&mut self, step: &'static str, hints: &'static [&'static str], statements: impl FnOnce(&Trace)) {
        if self.failed.is_some() {
            return;
        }
        if let Err(report) = self.run.trace.check(statements) {
            self.failed = Some(Failed { step, hints, report });
        }
    }
}
