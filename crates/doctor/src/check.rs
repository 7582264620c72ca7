//! How one hop is checked: again and again, until it holds or its time is up.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::bail;

use crate::config::Config;
use crate::http::HttpClient;
use crate::report::{Failure, Hop, Outcome, Report};
use crate::targets::Target;

/// Between two checks of the same hop.
const PAUSE: Duration = Duration::from_millis(250);

/// What a check returns: something that later hops need, and the text for the report.
pub(crate) type Checked<T> = Result<(T, String), Failure>;

/// The checks of one run.
#[derive(Debug)]
pub(crate) struct Checks {
    report: Report,
    wait: Duration,
    /// Moves on while hops hold. After one that does not, the others have had as much time, and are checked once.
    deadline: Instant,
}

impl Checks {
    pub(crate) fn new(config: &Config) -> Self {
        Self { report: Report::new(config.json), wait: config.wait(), deadline: Instant::now() + config.wait() }
    }

    /// Checks until the hop holds or its time is up, and writes its line.
    pub(crate) fn check<T>(&mut self, hop: Hop, mut check: impl FnMut() -> Checked<T>) -> anyhow::Result<Option<T>> {
        loop {
            let outcome = check();
            let left = self.deadline.saturating_duration_since(Instant::now());
            if outcome.is_ok() || left.is_zero() {
                return self.conclude(hop, outcome);
            }
            sleep(PAUSE.min(left));
        }
    }

    /// Writes the line of a hop that a second check would not change.
    pub(crate) fn conclude<T>(&mut self, hop: Hop, outcome: Checked<T>) -> anyhow::Result<Option<T>> {
        let (outcome, seen) = match outcome {
            Ok((seen, text)) => {
                self.deadline = Instant::now() + self.wait;
                (Outcome::Ok(text), Some(seen))
            }
            Err(failure) => (Outcome::Failed(failure), None),
        };
        self.report.add(hop, outcome)?;
        Ok(seen)
    }

    /// Whether `target` is part of this system: it was named, or something listens there. Otherwise its `hops` are
    /// skipped.
    pub(crate) fn part(&mut self, http: &HttpClient, target: &Target, hops: &[Hop]) -> anyhow::Result<bool> {
        if target.required || !http.refused(target) {
            return Ok(true);
        }
        for hop in hops {
            let nothing = format!("nothing listens at {} ({})", target.origin(), target.setting);
            self.report.add(*hop, Outcome::Absent(nothing))?;
        }
        Ok(false)
    }

    pub(crate) fn skip(&mut self, hops: &[Hop], why: &'static str) -> anyhow::Result<()> {
        hops.iter().try_for_each(|hop| self.report.add(*hop, Outcome::Skipped(why)))
    }

    /// Skips every hop that has no line yet.
    pub(crate) fn skip_rest(&mut self, why: &'static str) -> anyhow::Result<()> {
        let rest: Vec<_> = Hop::ALL.into_iter().filter(|hop| !self.report.has(*hop)).collect();
        self.skip(&rest, why)
    }

    pub(crate) fn add_manifest(&mut self, report: Option<traffic_gen::manifest::Report>) {
        self.report.manifest = report;
    }

    /// # Errors
    /// When a hop is broken.
    pub(crate) fn finish(self) -> anyhow::Result<()> {
        match self.report.finish()? {
            Some(hop) => bail!("'{hop}' is broken"),
            None => Ok(()),
        }
    }
}
