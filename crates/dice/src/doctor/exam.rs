//! How one hop is looked at: again and again, until it holds or its time is up.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::bail;

use super::config::Config;
use super::places::Place;
use super::probe::Probe;
use super::report::{Fault, Hop, Outcome, Report};

/// Between two looks at the same hop.
const PAUSE: Duration = Duration::from_millis(250);

/// What one look at a hop saw: something that later hops need, and the words for the report.
pub(crate) type Look<T> = Result<(T, String), Fault>;

/// An examination that is under way.
#[derive(Debug)]
pub(crate) struct Exam {
    report: Report,
    wait: Duration,
    /// Moves on while hops hold. After one that does not, the others have had as much time, and get one look.
    deadline: Instant,
}

impl Exam {
    pub(crate) fn new(config: &Config) -> Self {
        Self { report: Report::new(config.json), wait: config.wait(), deadline: Instant::now() + config.wait() }
    }

    /// Looks until the hop holds or its time is up, and writes its line.
    pub(crate) fn look<T>(&mut self, hop: Hop, mut look: impl FnMut() -> Look<T>) -> anyhow::Result<Option<T>> {
        loop {
            let outcome = look();
            let left = self.deadline.saturating_duration_since(Instant::now());
            if outcome.is_ok() || left.is_zero() {
                return self.conclude(hop, outcome);
            }
            sleep(PAUSE.min(left));
        }
    }

    /// Writes the line of a hop that no second look would change.
    pub(crate) fn conclude<T>(&mut self, hop: Hop, outcome: Look<T>) -> anyhow::Result<Option<T>> {
        let (outcome, seen) = match outcome {
            Ok((seen, words)) => {
                self.deadline = Instant::now() + self.wait;
                (Outcome::Ok(words), Some(seen))
            }
            Err(fault) => (Outcome::Failed(fault), None),
        };
        self.report.add(hop, outcome)?;
        Ok(seen)
    }

    /// Whether `place` is part of this system: it was named, or something listens there. Otherwise its `hops` are
    /// skipped.
    pub(crate) fn part(&mut self, probe: &Probe, place: &Place, hops: &[Hop]) -> anyhow::Result<bool> {
        if place.required || !probe.refused(place) {
            return Ok(true);
        }
        for hop in hops {
            let nothing = format!("nothing listens at {} ({})", place.origin(), place.setting);
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
