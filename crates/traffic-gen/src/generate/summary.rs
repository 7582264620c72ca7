//! What a run has shown: counts, errors by kind, and latencies.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::request::{Outcome, Response};

/// A request that begins later than this after its planned time is counted as late. The timer itself has a
/// millisecond.
const LATE: Duration = Duration::from_millis(10);

/// Latencies are kept in microseconds, with three significant digits, up to a day.
const LONGEST_US: u64 = 86_400_000_000;

/// The account of a run, as it grows.
#[derive(Debug)]
pub(crate) struct Account {
    requests: u64,
    rolls: u64,
    errors: BTreeMap<String, u64>,
    sync: Histogram<u64>,
    batch: Histogram<u64>,
    late: u64,
    latest: Duration,
}

/// The account of a run that has ended.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    /// The seed that makes the same run again.
    pub(crate) seed: u64,
    pub(crate) seconds: f64,
    pub(crate) requests: u64,
    pub(crate) requests_per_second: f64,
    /// Dice that were rolled and returned.
    pub(crate) rolls: u64,
    /// Requests without a roll, by HTTP status or by the kind of the failure.
    pub(crate) errors: BTreeMap<String, u64>,
    /// Requests of a fixed rate that began more than 10 ms after their planned time.
    pub(crate) late_starts: u64,
    pub(crate) latest_start_seconds: f64,
    pub(crate) sync: Option<Latencies>,
    #[serde(rename = "async")]
    pub(crate) batch: Option<Latencies>,
}

/// Seconds from the planned start of a request to its response, whatever its status; a timeout counts with the time
/// waited. Without those that found no connection or were stopped: they would make the system look fast.
#[derive(Debug, Serialize)]
pub(crate) struct Latencies {
    pub(crate) count: u64,
    pub(crate) p50: f64,
    pub(crate) p95: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

impl Account {
    /// # Errors
    /// When the histograms cannot be made.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let (sync, batch) = (Histogram::new_with_max(LONGEST_US, 3)?, Histogram::new_with_max(LONGEST_US, 3)?);
        let errors = BTreeMap::new();
        Ok(Self { requests: 0, rolls: 0, errors, sync, batch, late: 0, latest: Duration::ZERO })
    }

    pub(crate) fn add(&mut self, outcome: &Outcome) {
        self.requests += 1;
        let error = match &outcome.response {
            Response::Rolled(rolls) => {
                self.rolls += rolls.len() as u64;
                None
            }
            Response::Refused { status, .. } => Some(status.to_string()),
            Response::Missing { kind, .. } => Some((*kind).to_owned()),
        };
        if let Some(error) = error {
            *self.errors.entry(error).or_default() += 1;
        }
        if !matches!(&outcome.response, Response::Missing { kind, .. } if *kind != "timeout") {
            let latencies = if outcome.request.times.is_some() { &mut self.batch } else { &mut self.sync };
            let microseconds = u64::try_from(outcome.latency.as_micros()).unwrap_or(u64::MAX);
            latencies.saturating_record(microseconds);
        }
        if outcome.late > LATE {
            self.late += 1;
            self.latest = self.latest.max(outcome.late);
        }
    }

    /// Requests so far that did not bring a roll.
    pub(crate) fn failed(&self) -> u64 {
        self.errors.values().sum()
    }

    pub(crate) fn close(self, seed: u64, took: Duration) -> Summary {
        Summary {
            seed,
            seconds: took.as_secs_f64(),
            requests: self.requests,
            requests_per_second: self.requests as f64 / took.as_secs_f64(),
            rolls: self.rolls,
            errors: self.errors,
            late_starts: self.late,
            latest_start_seconds: self.latest.as_secs_f64(),
            sync: latencies(&self.sync),
            batch: latencies(&self.batch),
        }
    }
}

fn latencies(histogram: &Histogram<u64>) -> Option<Latencies> {
    let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e6;
    (!histogram.is_empty()).then(|| Latencies {
        count: histogram.len(),
        p50: at(0.5),
        p95: at(0.95),
        p99: at(0.99),
        max: histogram.max() as f64 / 1e6,
    })
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nSummary (seed {})", self.seed)?;
        writeln!(
            f,
            "  requests   {} in {:.1} s, {:.2} per second",
            self.requests, self.seconds, self.requests_per_second
        )?;
        writeln!(f, "  rolls      {}", self.rolls)?;
        let failed: u64 = self.errors.values().sum();
        writeln!(f, "  errors     {failed}")?;
        for (kind, count) in &self.errors {
            writeln!(f, "    {count:>6}   {kind}")?;
        }
        if self.late_starts > 0 {
            let (late, latest) = (self.late_starts, self.latest_start_seconds);
            writeln!(f, "  fell behind: {late} requests began late, by up to {latest:.3} s")?;
        }
        writeln!(f, "  latency     count       p50       p95       p99       max")?;
        for (name, latencies) in [("sync", &self.sync), ("async", &self.batch)] {
            match latencies {
                Some(Latencies { count, p50, p95, p99, max }) => {
                    writeln!(f, "    {name:<5}  {count:>7} {p50:>7.3} s {p95:>7.3} s {p99:>7.3} s {max:>7.3} s")?;
                }
                None => writeln!(f, "    {name:<5}        0")?,
            }
        }
        Ok(())
    }
}
