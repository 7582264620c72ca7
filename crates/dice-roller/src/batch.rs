//! The fan-out: N rolls at once, each in a span of its own, all children of the request's span.
//!
//! `join_all` polls the rolls of a batch in one task: while one waits the others go on, and the batch takes as long as
//! its slowest roll.
//!
//! The spans are `tracing`'s, although OpenTelemetry's guide for Rust prefers its own API for new code: a reader knows
//! `info_span!` and `.instrument(…)` from tokio's and tracing's documentation, and uses them here unchanged.

use std::time::{Duration, Instant};

use futures::future::join_all;
use opentelemetry::KeyValue;
use telemetry::attributes::{self, Unfinished};
use tokio::sync::Semaphore;
use tracing::{Instrument, info_span};

use crate::limit::Limit;
use crate::metrics::{Metrics, Mode, Outcome};
use crate::roll::{Chance, Die, Stream, work};

/// One batch that is about to be rolled.
pub(crate) struct Batch<'a> {
    pub(crate) die: &'a Die,
    pub(crate) stream: Stream,
    pub(crate) times: u32,
    /// How many of its rolls may run at once: `times` for all.
    pub(crate) concurrency: u32,
    pub(crate) chance: &'a Chance,
    pub(crate) limit: &'a Limit,
    pub(crate) metrics: &'a Metrics,
}

/// What came of one roll of a batch.
#[derive(Debug)]
pub(crate) struct Rolled {
    /// None where it failed.
    pub(crate) face: Option<i64>,
    /// When its work began: after it had its turn, and its permit.
    pub(crate) started: Instant,
    pub(crate) took: Duration,
}

impl Batch<'_> {
    /// Rolls all, in index order; a failed roll does not stop the others.
    ///
    /// Dropped before it is done, all its rolls stop: their spans end, their permits are given back.
    pub(crate) async fn roll(&self) -> Vec<Rolled> {
        let concurrency = &Semaphore::new(self.concurrency as usize);
        let rolls = (0..self.times).map(|index| async move {
            let _turn = concurrency.acquire().await;
            // The span is made inside the future: made in `map` it would begin before the roll does.
            let span = info_span!(
                "async_roll",
                otel.name = format!("async_roll_{index}"),
                async.roll_index = i64::from(index),
                die.type = &*self.die.identifier,
            );
            let rolled = self.roll_one(index, work).instrument(span).await;
            add_completion(index, &rolled);
            rolled
        });
        join_all(rolls).await
    }

    /// One roll, inside its own span. Its time passes in `work`.
    pub(crate) async fn roll_one<W: Future>(&self, index: u32, work: impl Fn(Duration) -> W) -> Rolled {
        let (unfinished, in_progress) = (Unfinished::work(), self.metrics.started(&self.die.identifier));
        let throw = self.chance.throw(self.die, self.stream, index);
        let (_permit, waited) = self.limit.permit().await;
        if let Some(waited) = waited {
            attributes::set("async.queue_wait_ms", waited.as_secs_f64() * 1000.0);
            attributes::add_event("permit acquired", Vec::new());
        }
        let started = Instant::now();
        work(throw.duration).await;
        let took = started.elapsed();
        self.metrics.roll_took(Mode::Async, took);
        in_progress.done(if throw.face.is_some() { Outcome::Success } else { Outcome::Error });

        let (die_type, roll_index) = (&*self.die.identifier, index);
        attributes::set("die.error", throw.face.is_none());
        match throw.face {
            Some(roll_value) => {
                attributes::set("die.result", roll_value);
                tracing::info!(name: "async_roll.completed", die_type, roll_index, roll_value, "Async roll completed");
            }
            None => {
                attributes::set_error(format!("Die '{die_type}' failed!"));
                let error_rate = self.die.specification.error_rate;
                tracing::error!(name: "async_roll.failed", die_type, roll_index, error_rate, "Async roll triggered error condition");
            }
        }
        unfinished.done();
        Rolled { face: throw.face, started, took }
    }
}

/// Adds an event to the request's span, so that the order in which the rolls finished reads off it.
pub(crate) fn add_completion(index: u32, Rolled { face, took, .. }: &Rolled) {
    let outcome = match *face {
        Some(face) => KeyValue::new("die.result", face),
        None => KeyValue::new("die.error", true),
    };
    let duration = KeyValue::new("duration_ms", took.as_secs_f64() * 1000.0);
    attributes::add_event(
        "roll completed",
        vec![KeyValue::new("async.roll_index", i64::from(index)), outcome, duration],
    );
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::FutureExt;
    use opentelemetry::trace::Status;
    use telemetry::testing::{Captured, attribute};

    use super::*;
    use crate::roll::Specification;

    fn metrics(captured: &Captured) -> Arc<Metrics> {
        Arc::new(Metrics::new(captured.handle().registry()).unwrap())
    }

    #[tokio::test]
    async fn panicking_roll_marks_its_span_and_gives_the_gauge_back() {
        let captured = Captured::start("dice-roller", &[]).unwrap();
        let (chance, metrics) = (Chance::new(Some(1), Duration::ZERO), metrics(&captured));
        let limit = Limit::new(10, 10, metrics.clone());
        // A die without faces gets no further than `clients/die_service.rs` outside of tests.
        let die = Die { identifier: "x".into(), specification: Specification { faces: [].into(), error_rate: 0.0 } };
        let (die, chance, limit) = (&die, &chance, &limit);
        let stream = chance.next_request(None);
        let batch = Batch { die, stream, times: 3, concurrency: 3, chance, limit, metrics: &metrics };
        std::panic::AssertUnwindSafe(batch.roll()).catch_unwind().await.unwrap_err();
        let span = captured.span("async_roll_0").await.unwrap();
        assert_eq!(attribute(&span, "async.roll_index"), "0");
        assert_eq!((attribute(&span, "error.type").as_str(), &span.status), ("panic", &Status::error("panicked")));
        assert_eq!(captured.metric("async_rolls_in_progress"), Some(0.0));
    }

    #[tokio::test]
    async fn dropped_batch_ends_the_spans_of_its_rolls_as_cancelled() {
        let captured = Captured::start("dice-roller", &[]).unwrap();
        let (chance, metrics) = (Chance::new(Some(1), Duration::from_secs(600)), metrics(&captured));
        let limit = Limit::new(10, 10, metrics.clone());
        let die = Die { identifier: "x".into(), specification: Specification { faces: [1].into(), error_rate: 0.0 } };
        let (die, chance, limit) = (&die, &chance, &limit);
        let stream = chance.next_request(None);
        let batch = Batch { die, stream, times: 3, concurrency: 3, chance, limit, metrics: &metrics };
        assert!(batch.roll().now_or_never().is_none(), "a roll takes minutes");
        let spans = captured.spans();
        assert_eq!(spans.len(), 3);
        for span in spans {
            assert_eq!((attribute(&span, "error.type").as_str(), &span.status), ("cancelled", &Status::Unset));
            assert_eq!(attribute(&span, "die.error"), "");
        }
        assert_eq!(captured.metric("async_rolls_in_progress"), Some(0.0));
    }
}
