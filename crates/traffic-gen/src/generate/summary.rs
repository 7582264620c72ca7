//! What a run has shown: counts, errors by kind, and latencies.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Serialize, Serializer};
use serde_json::json;

use super::request::{Outcome, Response};

/// A request that begins later than this after its planned time is counted as late. The timer itself has a
/// millisecond.
const LATE: Duration = Duration::from_millis(10);

/// Latencies are kept in microseconds, with three significant digits, up to a day.
const LONGEST_US: u64 = 86_400_000_000;

/// The summary of a run, as it grows.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    /// The seed that makes the same run again.
    seed: u64,
    pub(crate) seconds: f64,
    pub(crate) requests: u64,
    requests_per_second: f64,
    /// Dice that were rolled and returned.
    pub(crate) rolls: u64,
    /// Requests without a roll, by HTTP status or by the kind of the failure.
    errors: BTreeMap<String, u64>,
    /// Requests of a fixed rate that began more than 10 ms after their planned time.
    late_starts: u64,
    latest_start_seconds: f64,
    /// From the planned start of a request to its response, whatever its status, in microseconds; a timeout counts with the
    /// time waited. Without those that found no connection or were stopped: they would make the system look fast.
    #[serde(serialize_with = "as_latencies")]
    sync: Histogram<u64>,
    #[serde(rename = "async", serialize_with = "as_latencies")]
    batch: Histogram<u64>,
}

impl Summary {
    /// # Errors
    /// When the histograms cannot be made.
    pub(crate) fn new(seed: u64) -> anyhow::Result<Self> {
        Ok(Self {
            seed,
            seconds: 0.0,
            requests: 0,
            requests_per_second: 0.0,
            rolls: 0,
            errors: BTreeMap::new(),
            late_starts: 0,
            latest_start_seconds: 0.0,
            sync: Histogram::new_with_max(LONGEST_US, 3)?,
            batch: Histogram::new_with_max(LONGEST_US, 3)?,
        })
    }

    pub(crate) fn add(&mut self, outcome: &Outcome) {
        self.requests += 1;
        match &outcome.response {
            Response::Rolled(rolls) => self.rolls += rolls.len() as u64,
            Response::Refused { status, .. } => *self.errors.entry(status.to_string()).or_default() += 1,
            Response::Missing { kind, .. } => *self.errors.entry((*kind).to_owned()).or_default() += 1,
        }
        if !matches!(&outcome.response, Response::Missing { kind, .. } if *kind != "timeout") {
            let latencies = if outcome.request.times.is_some() { &mut self.batch } else { &mut self.sync };
            latencies.saturating_record(u64::try_from(outcome.latency.as_micros()).unwrap_or(u64::MAX));
        }
        if outcome.late > LATE {
            self.late_starts += 1;
            self.latest_start_seconds = self.latest_start_seconds.max(outcome.late.as_secs_f64());
        }
    }

    /// Requests so far that did not bring a roll.
    pub(crate) fn failed(&self) -> u64 {
        self.errors.values().sum()
    }

    pub(crate) fn finish(&mut self, took: Duration) {
        self.seconds = took.as_secs_f64();
        self.requests_per_second = self.requests as f64 / self.seconds;
    }
}

/// p50, p95, p99 and the longest, in seconds.
fn latencies(histogram: &Histogram<u64>) -> [f64; 4] {
    [0.5, 0.95, 0.99, 1.0].map(|quantile| histogram.value_at_quantile(quantile) as f64 / 1e6)
}

/// Null where there is none.
fn as_latencies<S: Serializer>(histogram: &Histogram<u64>, serializer: S) -> Result<S::Ok, S::Error> {
    let [p50, p95, p99, max] = latencies(histogram);
    let latencies = json!({ "count": histogram.len(), "p50": p50, "p95": p95, "p99": p99, "max": max });
    (!histogram.is_empty()).then_some(latencies).serialize(serializer)
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, seconds, requests, requests_per_second, rolls, .. } = self;
        writeln!(f, "\nSummary (seed {seed})")?;
        writeln!(f, "  requests   {requests} in {seconds:.1} s, {requests_per_second:.2} per second")?;
        writeln!(f, "  rolls      {rolls}")?;
        writeln!(f, "  errors     {}", self.failed())?;
        for (kind, count) in &self.errors {
            writeln!(f, "    {count:>6}   {kind}")?;
        }
        if self.late_starts > 0 {
            let (late, latest) = (self.late_starts, self.latest_start_seconds);
            writeln!(f, "  fell behind: {late} requests began late, by up to {latest:.3} s")?;
        }
        writeln!(f, "  latency     count       p50       p95       p99       max")?;
        for (name, histogram) in [("sync", &self.sync), ("async", &self.batch)] {
            let ([p50, p95, p99, max], count) = (latencies(histogram), histogram.len());
            match count {
                0 => writeln!(f, "    {name:<5}        0")?,
                _ => writeln!(f, "    {name:<5}  {count:>7} {p50:>7.3} s {p95:>7.3} s {p99:>7.3} s {max:>7.3} s")?,
            }
        }
        Ok(())
    }
}
