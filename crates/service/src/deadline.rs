//! How much time is left: a service hands the rest of its caller's time on, so that nothing works for a response that
//! nobody waits for.

use std::time::{Duration, Instant};

use axum::extract::{FromRequestParts, Request};
use axum::middleware::Next;
use axum::response::Response;
use http::request::Parts;
use http::{HeaderMap, HeaderName, StatusCode};

use crate::problem::Problem;

/// Whole milliseconds that the caller still waits.
pub(crate) static TIMEOUT_HEADER: HeaderName = HeaderName::from_static("x-request-timeout-ms");

/// When the caller of this request stops waiting, if it said so. An extractor.
#[derive(Debug, Clone, Copy, Default)]
pub struct Deadline(Option<Instant>);

impl Deadline {
    /// What `x-request-timeout-ms` says; 400 when it is no whole number. A number too large to be a time is no limit.
    fn from_headers(headers: &HeaderMap) -> Result<Self, Problem> {
        let Some(value) = headers.get(&TIMEOUT_HEADER) else { return Ok(Self(None)) };
        let digits = value.to_str().ok().filter(|text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()));
        let Some(digits) = digits else {
            let detail = format!("Header '{TIMEOUT_HEADER}' is malformed; allowed: a whole number of milliseconds");
            return Err(Problem::new(StatusCode::BAD_REQUEST, detail));
        };
        let wait = digits.parse().ok().map(Duration::from_millis);
        Ok(Self(wait.and_then(|wait| Instant::now().checked_add(wait))))
    }

    /// The time that a request to another service may hand on: `limit`, or what is left where that is less.
    pub(crate) fn within(&self, limit: Duration) -> Duration {
        self.0.map_or(limit, |at| limit.min(at.saturating_duration_since(Instant::now())))
    }
}

impl<S: Sync> FromRequestParts<S> for Deadline {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(parts.extensions.get().copied().unwrap_or_default())
    }
}

/// Runs the handler until the caller stops waiting; then it is dropped, and what it was doing is cancelled.
pub(crate) async fn limit(mut request: Request, next: Next) -> Result<Response, Problem> {
    let deadline = Deadline::from_headers(request.headers())?;
    request.extensions_mut().insert(deadline);
    let Some(at) = deadline.0 else { return Ok(next.run(request).await) };
    tokio::time::timeout_at(at.into(), next.run(request)).await.map_err(|_| {
        let detail = format!("The time that the caller gave ('{TIMEOUT_HEADER}') is over");
        Problem::new(StatusCode::GATEWAY_TIMEOUT, detail)
    })
}
