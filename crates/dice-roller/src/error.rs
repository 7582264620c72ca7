//! Everything that can go wrong in a request, and the response that each gets.

use std::borrow::Cow;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use service::Problem;

/// When a die-service that fails, or a full queue, may be tried again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Why a request failed. A malformed parameter is refused before, by [`service::Query`].
#[derive(Debug)]
pub(crate) enum Error {
    /// die-service knows no such die; `detail` is its text.
    UnknownDie { detail: String },
    /// die-service cannot be reached, fails, or its response is no die.
    DieServiceUnavailable { cause: String },
    /// Its circuit breaker is open; it was not called.
    DieServiceBreakerOpen { retry_after: Duration },
    /// die-service did not respond in time.
    DieServiceTooSlow { limit: Duration },
    /// As many rolls as allowed run and wait already.
    QueueFull,
    /// The single roll failed, by the die's error rate.
    DieFailed { die: String },
    /// At least one roll of the batch failed, by the die's error rate.
    BatchFailed { die: String, failed: Vec<u32>, times: u32 },
}

impl Error {
    /// What lies behind it, for the operator.
    pub(crate) fn cause(&self) -> Cow<'_, str> {
        match self {
            Error::DieServiceUnavailable { cause } => cause.into(),
            other => other.detail().into(),
        }
    }

    /// What the caller is told.
    fn detail(&self) -> String {
        match self {
            Error::UnknownDie { detail } => detail.clone(),
            Error::DieServiceUnavailable { .. } => {
                "die-service cannot be reached or fails; without it no die is known. Try again later".to_owned()
            }
            Error::DieServiceBreakerOpen { .. } => {
                "die-service has failed several times in a row and is left alone for a moment (its circuit breaker is \
                 open). Try again later"
                    .to_owned()
            }
            Error::DieServiceTooSlow { limit } => {
                format!("die-service did not answer within {} ms. Try again later", limit.as_millis())
            }
            Error::QueueFull => {
                "As many rolls as this service allows are under way and waiting. Try again later".to_owned()
            }
            Error::DieFailed { die } => format!("Die '{die}' failed!"),
            Error::BatchFailed { die, failed, times } => {
                let indices: Vec<_> = failed.iter().map(u32::to_string).collect();
                let (rolls, count) = (if failed.len() == 1 { "roll" } else { "rolls" }, indices.join(", "));
                format!("Async roll batch failed: {rolls} {count} of {times} failed (die '{die}', counted from 0)")
            }
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let problem = |status| Problem::new(status, self.detail());
        match &self {
            Error::UnknownDie { .. } => problem(StatusCode::NOT_FOUND),
            Error::DieServiceUnavailable { cause } => {
                problem(StatusCode::SERVICE_UNAVAILABLE).caused_by(cause).retry_after(RETRY_AFTER)
            }
            Error::DieServiceBreakerOpen { retry_after } => {
                problem(StatusCode::SERVICE_UNAVAILABLE).retry_after(*retry_after)
            }
            Error::DieServiceTooSlow { .. } => problem(StatusCode::GATEWAY_TIMEOUT),
            Error::QueueFull => problem(StatusCode::TOO_MANY_REQUESTS).retry_after(RETRY_AFTER),
            Error::DieFailed { .. } | Error::BatchFailed { .. } => problem(StatusCode::INTERNAL_SERVER_ERROR),
        }
        .into_response()
    }
}
