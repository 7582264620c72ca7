//! Everything that can go wrong in a request, and the response that each gets.

use std::num::NonZeroU32;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use service::{Problem, UpstreamError};
use telemetry::ClientError;

/// Why a request was refused. Its text is for the span and the log; [`Error::problem`] has that for the caller.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A parameter of the form is malformed.
    #[error(transparent)]
    Parameter(#[from] Problem),
    /// The client's address requests too many rolls.
    #[error("rate limit of {allowed} rolls a second exceeded")]
    TooManyRequests { allowed: NonZeroU32, retry_after: Duration },
    /// One request for more rolls than the limit ever allows.
    #[error("{rolls} rolls in one request, with a rate limit of {allowed} a second")]
    MoreThanRateLimit { allowed: NonZeroU32, rolls: u32 },
    /// dice-roller did not respond.
    #[error("dice-roller: {0}")]
    NoResponse(#[from] UpstreamError),
    /// dice-roller responded with an error.
    #[error("dice-roller answered {status}: {detail}")]
    Refused { status: StatusCode, detail: String, retry_after: Option<Duration> },
    /// dice-roller responded with something else than a roll.
    #[error("dice-roller's response cannot be read: {0}")]
    Unreadable(String),
}

impl Error {
    /// The `status` label of `frontend_requests_total`.
    pub(crate) fn outcome(&self) -> &'static str {
        match self {
            Error::NoResponse(error) if matches!(error.kind(), "timeout" | "connection_error") => error.kind(),
            _ => "error",
        }
    }

    /// What the caller reads. A refusal of dice-roller keeps its status, its words and its `Retry-After`.
    pub(crate) fn problem(&self) -> Problem {
        let problem = match self {
            Error::Parameter(problem) => return problem.clone(),
            Error::TooManyRequests { allowed, retry_after } => {
                let detail = format!("Too many requests from this address; allowed: {allowed} rolls a second");
                Problem::new(StatusCode::TOO_MANY_REQUESTS, detail).retry_after(*retry_after)
            }
            Error::MoreThanRateLimit { allowed, rolls } => {
                let detail = format!(
                    "This request counts as {rolls} rolls; allowed from one address: {allowed} a second, so at most \
                     {allowed} in one request"
                );
                Problem::new(StatusCode::TOO_MANY_REQUESTS, detail)
            }
            Error::NoResponse(UpstreamError::BreakerOpen { retry_after }) => {
                let detail = "dice-roller has not answered several times in a row and is left alone for a moment; try again soon";
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(*retry_after)
            }
            Error::NoResponse(UpstreamError::Call(ClientError::Connection { .. })) => {
                let detail = "dice-roller cannot be reached; check that it runs, then try again";
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(Duration::from_secs(1))
            }
            Error::NoResponse(UpstreamError::Call(ClientError::Timeout { limit })) => {
                let limit = limit.as_secs_f64();
                let detail = format!("dice-roller did not answer within {limit:.1} s; try again, or roll fewer dice");
                Problem::new(StatusCode::GATEWAY_TIMEOUT, detail)
            }
            Error::Refused { status, detail, retry_after } => Problem::new(*status, detail).retry_after(*retry_after),
            Error::Unreadable(_) | Error::NoResponse(UpstreamError::Call(ClientError::TooLong)) => {
                let detail = "dice-roller's response cannot be read; check that DICE_ROLLER_URL leads to dice-roller";
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
