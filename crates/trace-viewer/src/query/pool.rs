//! Where queries run: on threads of their own, a bounded number at once, and each with a deadline, so that a costly one
//! stops neither ingest nor the probes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::{IntoResponse, Response};
use tokio::sync::Semaphore;
use tokio::time::{timeout, timeout_at};

use crate::sending::{self, Full};
use crate::traceql::{Deadline, TimedOut};

/// Queries at once on a machine with many processors: each takes memory that the response does not count.
const MOST_RUNNING: usize = 4;

/// Most queries that wait for their turn.
const MOST_WAITING: usize = 64;

/// Why a query has no result.
#[derive(Debug)]
pub(crate) enum QueryError {
    /// 400 with a line of text, as Tempo responds.
    Invalid(String),
    /// 503: it took too long, or too many were running.
    Overloaded(&'static str),
}

impl From<String> for QueryError {
    fn from(reason: String) -> Self {
        Self::Invalid(reason)
    }
}

impl From<TimedOut> for QueryError {
    fn from(_: TimedOut) -> Self {
        Self::Overloaded("the query took too long and was stopped: narrow it by time, service or name")
    }
}

impl From<Full> for QueryError {
    fn from(full: Full) -> Self {
        match full {
            Full::Busy => Self::Overloaded(sending::BUSY),
            Full::TooLong => Self::Invalid(sending::too_long()),
        }
    }
}

impl IntoResponse for QueryError {
    fn into_response(self) -> Response {
        match self {
            Self::Invalid(reason) => (StatusCode::BAD_REQUEST, reason).into_response(),
            Self::Overloaded(reason) => (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "1")], reason).into_response(),
        }
    }
}

/// Runs queries.
#[derive(Clone)]
pub(crate) struct QueryPool {
    /// For a query, with the time it waits for its turn.
    time_limit: Duration,
    running: Arc<Semaphore>,
    accepted: Arc<Semaphore>,
    /// For those that run one at a time.
    alone: Arc<Semaphore>,
}

const BUSY: QueryError = QueryError::Overloaded("too many queries are running");

impl QueryPool {
    /// As many queries at once as there are processors, up to [`MOST_RUNNING`].
    pub(crate) fn new(time_limit: Duration) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(MOST_RUNNING);
        let [running, accepted, alone] =
            [threads, threads + MOST_WAITING, 1].map(|most| Arc::new(Semaphore::new(most)));
        Self { time_limit, running, accepted, alone }
    }

    /// Runs `query` when no other of these runs: what it takes meanwhile grows with the trace.
    pub(crate) async fn run_alone<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Deadline) -> Result<T, QueryError> + Send + 'static,
    ) -> Result<T, QueryError> {
        let Ok(Ok(turn)) = timeout(self.time_limit, self.alone.clone().acquire_owned()).await else { return Err(BUSY) };
        self.run(move |deadline| {
            let _turn = turn;
            query(deadline)
        })
        .await
    }

    /// Runs `query`, which checks the deadline for each span.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Deadline) -> Result<T, QueryError> + Send + 'static,
    ) -> Result<T, QueryError> {
        let until = Instant::now() + self.time_limit;
        let Ok(accepted) = self.accepted.clone().try_acquire_owned() else { return Err(BUSY) };
        let Ok(Ok(turn)) = timeout_at(until.into(), self.running.clone().acquire_owned()).await else {
            return Err(BUSY);
        };
        let deadline = Deadline::at(until);
        let _cancel = deadline.cancel_on_drop();
        // The thread has the permits: it goes on for a moment when the client has left.
        let result = tokio::task::spawn_blocking(move || {
            let _permits = (accepted, turn);
            query(&deadline)
        });
        result.await.unwrap_or(Err(QueryError::Overloaded("the query failed")))
    }
}
