//! What dice-roller counts. Name, help, labels and buckets stand together; the verbs say when each moves.

use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts, Registry};

/// The value of `die_type` and `identifier` for a name that die-service has not confirmed.
pub(crate) const UNKNOWN: &str = "unknown";

/// The handles of all metrics of this service.
#[derive(Debug)]
pub(crate) struct Metrics {
    rolls: IntCounterVec,
    roll_value: HistogramVec,
    roll_duration: Histogram,
    async_roll_duration: Histogram,
    die_requests: IntCounterVec,
    die_duration: Histogram,
    async_rolls: IntCounterVec,
    batch_size: Histogram,
    batch_duration: Histogram,
    in_progress: IntGauge,
    queue: Histogram,
    queued: IntGauge,
}

/// How one roll of a batch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Success,
    Error,
    Cancelled,
}

/// Which request a roll belongs to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Mode {
    Sync,
    Async,
}

impl Metrics {
    /// Registers all, with the series that are known beforehand at zero.
    pub(crate) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let roll_duration = histograms(
            "roll_duration_seconds",
            "Time of each single roll, in seconds",
            &[0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.5],
            &["mode"],
        )?;
        let metrics = Self {
            rolls: counter(
                "dice_rolls_total",
                "Rolls by /roll, those without a die included",
                &["die_type", "result"],
            )?,
            roll_value: histograms(
                "dice_roll_value",
                "Faces rolled by /roll",
                &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0],
                &["die_type"],
            )?,
            // Looked up once: a batch observes it for each of its rolls.
            roll_duration: roll_duration.with_label_values(&["sync"]),
            async_roll_duration: roll_duration.with_label_values(&["async"]),
            die_requests: counter(
                "die_service_requests_total",
                "Specifications requested of die-service, by result",
                &["identifier", "status"],
            )?,
            die_duration: histogram(
                "die_service_request_duration_seconds",
                "Time that die-service took, in seconds",
                &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0],
            )?,
            async_rolls: counter("async_rolls_total", "Rolls of batches, by result", &["die_type", "result"])?,
            batch_size: histogram(
                "async_roll_batch_size",
                "Rolls requested in one batch",
                &[1.0, 2.0, 3.0, 5.0, 10.0, 15.0, 20.0],
            )?,
            batch_duration: histogram(
                "async_roll_duration_seconds",
                "Time of each batch that finished, failed ones too, in seconds",
                &[0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0],
            )?,
            in_progress: IntGauge::new(
                "async_rolls_in_progress",
                "Rolls of batches that are under way, those that wait for a permit included",
            )?,
            queue: histogram(
                "async_roll_queue_seconds",
                "Time that a roll waited for a permit, in seconds, of those that had to",
                &[0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0],
            )?,
            queued: IntGauge::new("async_rolls_queued", "Rolls that wait for a permit")?,
        };
        let all: [Box<dyn Collector>; 11] = [
            Box::new(metrics.rolls.clone()),
            Box::new(metrics.roll_value.clone()),
            Box::new(roll_duration),
            Box::new(metrics.die_requests.clone()),
            Box::new(metrics.die_duration.clone()),
            Box::new(metrics.async_rolls.clone()),
            Box::new(metrics.batch_size.clone()),
            Box::new(metrics.batch_duration.clone()),
            Box::new(metrics.in_progress.clone()),
            Box::new(metrics.queue.clone()),
            Box::new(metrics.queued.clone()),
        ];
        all.into_iter().try_for_each(|collector| registry.register(collector))?;
        Ok(metrics)
    }

    /// A `/roll` gave a face.
    pub(crate) fn rolled(&self, die: &str, face: i64) {
        self.rolls.with_label_values(&[die, "success"]).inc();
        self.roll_value.with_label_values(&[die]).observe(face as f64);
    }

    /// A `/roll` gave none. `die` is a confirmed name or [`UNKNOWN`].
    pub(crate) fn roll_failed(&self, die: &str) {
        self.rolls.with_label_values(&[die, "error"]).inc();
    }

    /// A single roll, of either kind, took so long, the wait for a permit not counted.
    pub(crate) fn roll_took(&self, mode: Mode, took: Duration) {
        let histogram = match mode {
            Mode::Sync => &self.roll_duration,
            Mode::Async => &self.async_roll_duration,
        };
        histogram.observe(took.as_secs_f64());
    }

    /// die-service was called, or would have been. `took` is none where the call was not made.
    pub(crate) fn die_requested(&self, identifier: &str, status: &str, took: Option<Duration>) {
        self.die_requests.with_label_values(&[identifier, status]).inc();
        if let Some(took) = took {
            self.die_duration.observe(took.as_secs_f64());
        }
    }

    /// A valid batch was requested.
    pub(crate) fn batch_requested(&self, times: u32) {
        self.batch_size.observe(f64::from(times));
    }

    /// A batch finished, well or not.
    pub(crate) fn batch_finished(&self, took: Duration) {
        self.batch_duration.observe(took.as_secs_f64());
    }

    /// A roll of a batch begins. The guard counts its result, and gives the gauge back however it ends.
    pub(crate) fn started<'a>(&'a self, die: &'a str) -> InProgress<'a> {
        self.in_progress.inc();
        InProgress { metrics: self, die, outcome: Outcome::Cancelled }
    }

    /// A roll begins to wait for a permit.
    pub(crate) fn waiting(&self) -> Waiting<'_> {
        self.queued.inc();
        Waiting(self)
    }
}

/// One roll of a batch; cancelled unless it says otherwise.
pub(crate) struct InProgress<'a> {
    metrics: &'a Metrics,
    die: &'a str,
    outcome: Outcome,
}

impl InProgress<'_> {
    pub(crate) fn done(mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl Drop for InProgress<'_> {
    fn drop(&mut self) {
        let result = match self.outcome {
            Outcome::Success => "success",
            Outcome::Error => "error",
            Outcome::Cancelled => "cancelled",
        };
        self.metrics.in_progress.dec();
        self.metrics.async_rolls.with_label_values(&[self.die, result]).inc();
    }
}

/// One roll that waits; the gauge is given back when dropped.
pub(crate) struct Waiting<'a>(&'a Metrics);

impl Waiting<'_> {
    pub(crate) fn over(self, waited: Duration) {
        self.0.queue.observe(waited.as_secs_f64());
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.queued.dec();
    }
}

fn counter(name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntCounterVec> {
    IntCounterVec::new(Opts::new(name, help), labels)
}

fn histogram(name: &str, help: &str, buckets: &[f64]) -> prometheus::Result<Histogram> {
    Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec()))
}

fn histograms(name: &str, help: &str, buckets: &[f64], labels: &[&str]) -> prometheus::Result<HistogramVec> {
    HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), labels)
}
