//! The fan-out: N rolls at once, each a span of its own, all children of the request's span.
//!
//! This is the lesson of the whole system: `join_all` polls the rolls of a batch in one task, so while one waits the
//! others go on, and the batch takes as long as its slowest roll.

use std::time::Instant;

use futures::future::join_all;
use telemetry::{ChildSpan, SpanFacts, Tracer};
use tokio::sync::Semaphore;
use tracing::Span;

use crate::limit::Limit;
use crate::metrics::{Metrics, Mode, Outcome};
use crate::roll::{Chance, Die, RequestNumber, work};

/// One batch that is about to be rolled.
pub(crate) struct Batch<'a> {
    pub(crate) die: &'a Die,
    pub(crate) request: RequestNumber,
    pub(crate) times: u32,
    /// How many of its rolls may run at once: `times` for all.
    pub(crate) concurrency: u32,
    pub(crate) chance: &'a Chance,
    pub(crate) limit: &'a Limit,
    pub(crate) metrics: &'a Metrics,
    pub(crate) tracer: &'a Tracer,
}

impl Batch<'_> {
    /// Rolls all; a failed roll does not stop the others. The faces stand in index order, none for a failed roll.
    ///
    /// Dropped before its end, all its rolls stop: their spans end, their places are given back.
    pub(crate) async fn roll(&self) -> Vec<Option<i64>> {
        let request_span = Span::current();
        let turns = Semaphore::new(self.concurrency as usize);
        let roll = |index: u32| {
            let (turns, request_span, die_type) = (&turns, &request_span, &self.die.identifier);
            async move {
                // The client's own wish for a staircase or waves, so not a wait that the span should show. The turn is
                // held to the end of the roll; with `concurrency` = `times` there is one for each.
                let _turn = turns.acquire().await;
                // The span is made here, not where the future is: it must begin when the roll does.
                let facts = [("async.roll_index", i64::from(index).into()), ("die.type", die_type.clone().into())];
                let span = self.tracer.child(format!("async_roll_{index}"), facts);
                let face = span.around(self.one(index, &span, request_span)).await;
                span.end();
                face
            }
        };
        join_all((0..self.times).map(roll)).await
    }

    /// One roll, inside its own span.
    async fn one(&self, index: u32, span: &ChildSpan, request_span: &Span) -> Option<i64> {
        let under_way = self.metrics.started(&self.die.identifier);
        let throw = self.chance.throw(self.die, self.request, index);
        // The process' limit: a wait for it is the roll's fate, and belongs to its span.
        let (_permit, waited) = self.limit.permit().await;
        if let Some(waited) = waited {
            span.set("async.queue_wait_ms", waited.as_secs_f64() * 1000.0);
            span.event("permit acquired", []);
        }
        let started = Instant::now();
        work(throw.takes).await;
        let took = started.elapsed();

        self.metrics.roll_took(Mode::Async, took);
        under_way.ended(if throw.face.is_some() { Outcome::Success } else { Outcome::Error });
        span.set("die.error", throw.face.is_none());
        let die_type = &*self.die.identifier;
        match throw.face {
            Some(face) => {
                span.set("die.result", face);
                tracing::info!(die_type, roll_index = index, roll_value = face, "Async roll completed");
            }
            None => {
                span.fail(format!("Die '{die_type}' failed!"));
                let error_rate = self.die.specification.error_rate;
                tracing::error!(die_type, roll_index = index, error_rate, "Async roll triggered error condition");
            }
        }
        self.tell_request(request_span, index, throw.face, took.as_secs_f64() * 1000.0);
        throw.face
    }

    /// The order in which rolls finished reads off the request's span.
    fn tell_request(&self, request_span: &Span, index: u32, face: Option<i64>, milliseconds: f64) {
        let (index, milliseconds) = (i64::from(index), milliseconds.into());
        match face {
            Some(face) => request_span.event(
                "roll completed",
                [("async.roll_index", index.into()), ("die.result", face.into()), ("duration_ms", milliseconds)],
            ),
            None => request_span.event(
                "roll completed",
                [("async.roll_index", index.into()), ("die.error", true.into()), ("duration_ms", milliseconds)],
            ),
        }
    }
}
