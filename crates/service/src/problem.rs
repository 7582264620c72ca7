//! Errors as RFC 9457 has them: `application/problem+json`, with a `detail` that a person can act on.
//!
//! A handler returns a [`Problem`], which renders itself. The text for the caller and the cause for the span and the log
//! stay apart.

use std::any::Any;
use std::collections::BTreeMap;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, Uri, header};
use serde::{Deserialize, Serialize};
use telemetry::ErrorDescription;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, ResponseBuilder};
use utoipa::{IntoResponses, ToSchema};

const CONTENT_TYPE: &str = "application/problem+json";

/// The statuses that a route may respond with besides its success.
const STATUSES: [(&str, &str); 8] = [
    ("400", "a malformed header"),
    ("404", "no such thing"),
    ("422", "a parameter that is missing, malformed or out of range"),
    ("429", "too many requests"),
    ("500", "the service failed, or what it does failed by design"),
    ("502", "a service behind it sent nonsense"),
    ("503", "a service behind it cannot be reached or fails"),
    ("504", "the time was over"),
];

/// A response that says what went wrong.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{detail}")]
pub struct Problem {
    status: StatusCode,
    detail: String,
    cause: Option<String>,
    retry_after: Option<Duration>,
    page: Option<String>,
}

/// The body of every response that is an error (RFC 9457).
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ProblemBody {
    /// What kind of problem it is: the status' standard text.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What went wrong here, and what to do.
    pub detail: String,
    /// The path of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
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

    /// The cause, for the span and the log; the caller does not see it.
    #[must_use]
    pub fn caused_by(mut self, cause: impl std::fmt::Display) -> Self {
        self.cause = Some(cause.to_string());
        self
    }

    /// When a further try makes sense, if that is known; sent as `Retry-After`, in whole seconds, at least one.
    #[must_use]
    pub fn retry_after(mut self, wait: impl Into<Option<Duration>>) -> Self {
        self.retry_after = wait.into();
        self
    }

    /// Shows `html` to the caller instead of JSON; span, log line and status stay as they are.
    #[must_use]
    pub fn shown_as(mut self, html: String) -> Self {
        self.page = Some(html);
        self
    }

    /// The HTTP status of the response.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The text for the caller.
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let description = ErrorDescription(self.cause.unwrap_or_else(|| self.detail.clone()));
        let (content_type, body) = match self.page {
            Some(html) => ("text/html; charset=utf-8", html.into_bytes()),
            None => {
                let body = ProblemBody {
                    title: self.status.canonical_reason().unwrap_or("Error").to_owned(),
                    status: self.status.as_u16(),
                    detail: self.detail,
                    instance: REQUEST_URI.try_with(|uri| uri.path().to_owned()).ok(),
                    trace_id: telemetry::attributes::trace_id(),
                };
                (CONTENT_TYPE, serde_json::to_vec(&body).unwrap_or_default())
            }
        };
        let mut response =
            (self.status, [(header::CONTENT_TYPE, HeaderValue::from_static(content_type))], body).into_response();
        if let Some(wait) = self.retry_after {
            let seconds = wait.as_secs_f64().ceil().max(1.0) as u64;
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        response.extensions_mut().insert(description);
        response
    }
}

tokio::task_local! {
    /// Set around a handler, so that its problems name their `instance`: [`IntoResponse`] does not see the request.
    pub(crate) static REQUEST_URI: Uri;
}

/// The response of a handler that panicked, for tower-http's `CatchPanicLayer`.
pub(crate) fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let message = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "The service failed at this request; its log says why")
        .caused_by(format_args!("the handler panicked: {}", message.unwrap_or("without a message")))
        .into_response()
}

/// The errors of every route in the OpenAPI document: `responses(…, Problems)`.
#[derive(Debug)]
pub struct Problems;

impl IntoResponses for Problems {
    fn responses() -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("ProblemBody"))).build();
        let response =
            |description| ResponseBuilder::new().description(description).content(CONTENT_TYPE, content.clone());
        STATUSES.map(|(status, description)| (status.to_owned(), response(description).into())).into()
    }
}
