//! Everything that can go wrong in a request, and the answer that each gets.

use std::num::NonZeroU32;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use telemetry::{CallError, Problem};

/// A neighbour that could not be reached is tried again after this.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Why a request was refused. Its text is for the span and the log; [`Error::problem`] has that for the caller.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A parameter is malformed.
    #[error("{}", .0.detail())]
    Parameter(Problem),
    /// The client's address asks too often.
    #[error("rate limit of {allowed} requests a second exceeded")]
    TooOften { allowed: NonZeroU32, retry_after: Duration },
    /// dice-roller did not answer.
    #[error("dice-roller: {0}")]
    NoAnswer(#[from] CallError),
    /// dice-roller answered with an error.
    #[error("dice-roller answered {status}: {detail}")]
    Refused { status: StatusCode, detail: String, retry_after: Option<Duration> },
    /// dice-roller answered something else than a roll.
    #[error("dice-roller's answer is not understood: {0}")]
    NotUnderstood(String),
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Error::Parameter(problem)
    }
}

impl Error {
    /// The `status` label of `frontend_requests_total`.
    pub(crate) fn outcome(&self) -> &'static str {
        match self {
            Error::NoAnswer(call @ (CallError::Timeout { .. } | CallError::Connection { .. })) => call.kind(),
            _ => "error",
        }
    }

    /// What the caller reads. A refusal of dice-roller keeps its status, its words and its `Retry-After`.
    pub(crate) fn problem(&self) -> Problem {
        let problem = match self {
            Error::Parameter(problem) => return problem.clone(),
            Error::TooOften { allowed, retry_after } => Problem::new(
                StatusCode::TOO_MANY_REQUESTS,
                format!("Too many requests from this address; allowed: {allowed} a second"),
            )
            .retry_after(*retry_after),
            Error::NoAnswer(CallError::BreakerOpen { retry_after }) => Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "dice-roller has not answered several times in a row and is left alone for a moment; try again soon",
            )
            .retry_after(*retry_after),
            Error::NoAnswer(CallError::Connection { .. }) => {
                let detail = "dice-roller cannot be reached; check that it runs, then try again";
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(RETRY_AFTER)
            }
            Error::NoAnswer(CallError::Timeout { limit }) => Problem::new(
                StatusCode::GATEWAY_TIMEOUT,
                format!(
                    "dice-roller did not answer within {:.1} s; try again, or roll fewer dice",
                    limit.as_secs_f64()
                ),
            ),
            Error::Refused { status, detail, retry_after } => {
                let problem = Problem::new(*status, detail);
                match retry_after {
                    Some(wait) => problem.retry_after(*wait),
                    None => problem,
                }
            }
            Error::NotUnderstood(_) | Error::NoAnswer(CallError::TooLong) => {
                let detail = "dice-roller's answer was not understood; check that DICE_ROLLER_URL leads to dice-roller";
                Problem::new(StatusCode::BAD_GATEWAY, detail)
            }
        };
        problem.caused_by(self)
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        self.problem().into_response()
    }
}
