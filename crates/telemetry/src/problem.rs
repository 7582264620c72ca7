//! Errors as RFC 9457 has them: `application/problem+json`, with a `detail` that a person can act on.
//!
//! A handler returns a [`Problem`]; the server layer adds what it alone knows (`instance`, `trace_id`), marks the span
//! and writes the log line. So the text for the caller and the cause for the operator stay apart.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An answer that says what went wrong.
#[derive(Debug, Clone)]
pub struct Problem {
    status: StatusCode,
    detail: String,
    cause: Option<String>,
    retry_after: Option<Duration>,
    page: Option<String>,
}

/// The body of every answer that is an error (RFC 9457).
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ProblemBody {
    /// What kind of problem it is: the status' standard text.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What went wrong here, and what to do.
    pub detail: String,
    /// The path that was asked for.
    #[serde(default)]
    pub instance: String,
    /// The trace in which it happened: 32 hex digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
}

impl Problem {
    /// A problem with `status`, and the `detail` that the caller reads.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), cause: None, retry_after: None, page: None }
    }

    /// 422: a parameter that is missing, malformed or out of range. `detail` names it, what was given and what is
    /// allowed.
    pub fn parameter(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
    }

    /// What lies behind it, for the span and the log; the caller does not see it.
    #[must_use]
    pub fn caused_by(mut self, cause: impl std::fmt::Display) -> Self {
        self.cause = Some(cause.to_string());
        self
    }

    /// When a further try makes sense; sent as `Retry-After`, in whole seconds, at least one.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// Shows `html` to the caller instead of JSON; span, log line and status are as ever.
    #[must_use]
    pub fn shown_as(mut self, html: String) -> Self {
        self.page = Some(html);
        self
    }

    /// The HTTP status of the answer.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The text for the caller.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The text for the operator: the cause where there is one.
    pub(crate) fn explanation(&self) -> &str {
        self.cause.as_deref().unwrap_or(&self.detail)
    }

    /// Fills `response`, which came from [`IntoResponse::into_response`], with the body.
    pub(crate) fn render(self, response: &mut Response, path: &str, trace_id: Option<String>) {
        let (content_type, body) = match self.page {
            Some(html) => ("text/html; charset=utf-8", html.into_bytes()),
            None => {
                let body = ProblemBody {
                    title: self.status.canonical_reason().unwrap_or("Error").to_owned(),
                    status: self.status.as_u16(),
                    detail: self.detail,
                    instance: path.to_owned(),
                    trace_id,
                };
                ("application/problem+json", serde_json::to_vec(&body).unwrap_or_default())
            }
        };
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        // The answer had no body until now, and axum has said so for some.
        headers.remove(header::CONTENT_LENGTH);
        *response.body_mut() = body.into();
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        if let Some(wait) = self.retry_after {
            let seconds = wait.as_secs_f64().ceil().max(1.0) as u64;
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        response.extensions_mut().insert(self);
        response
    }
}
