//! How much time is left: a call hands the rest of its caller's time on, so that nobody works for an answer that
//! nobody waits for.

use std::time::{Duration, Instant};

use axum::extract::FromRequestParts;
use http::request::Parts;
use http::{HeaderMap, HeaderName};

use crate::problem::Problem;

/// Whole milliseconds that the caller still waits.
pub(crate) static TIMEOUT_HEADER: HeaderName = HeaderName::from_static("x-request-timeout-ms");

/// When the caller of this request stops waiting, if it said so.
#[derive(Debug, Clone, Copy, Default)]
pub struct Deadline(Option<Instant>);

impl Deadline {
    /// What `x-request-timeout-ms` says. A number too large to be a time is no limit.
    ///
    /// # Errors
    /// 400 when the header is there and not a whole number.
    pub(crate) fn from_headers(headers: &HeaderMap) -> Result<Self, Problem> {
        let Some(value) = headers.get(&TIMEOUT_HEADER) else { return Ok(Self(None)) };
        let digits = value.to_str().ok().filter(|text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()));
        let Some(digits) = digits else {
            let detail = format!("Header '{TIMEOUT_HEADER}' is malformed; allowed: a whole number of milliseconds");
            return Err(Problem::new(http::StatusCode::BAD_REQUEST, detail));
        };
        let wait = digits.parse().ok().map(Duration::from_millis);
        Ok(Self(wait.and_then(|wait| Instant::now().checked_add(wait))))
    }

    /// The moment itself.
    pub(crate) fn at(&self) -> Option<Instant> {
        self.0
    }

    /// What a call may hand on as its own caller's time: `limit`, or what is left where that is less.
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
