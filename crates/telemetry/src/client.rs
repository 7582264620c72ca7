//! The HTTP client span: one call to another service, with its time limit, its breaker and the context handed on.
//!
//! Source: OpenTelemetry semantic conventions for HTTP spans.

use std::time::Duration;

use http::{Method, StatusCode};
use reqwest::{Request, Response, Url};
use tracing::field::Empty;
use tracing::{Instrument, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::breaker::Breaker;
use crate::deadline::TIMEOUT_HEADER;
use crate::propagation::Propagation;
use crate::span::SpanFacts;

/// A client for calls to one other service. Cloning shares its connections.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    propagation: Propagation,
    breaker: Option<Breaker>,
}

/// Why a call brought no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The breaker is open: the call was not made.
    #[error("the circuit breaker is open")]
    BreakerOpen {
        /// When the breaker will let a call through again.
        retry_after: Duration,
    },
    /// No answer within the call's time limit.
    #[error("no answer within {} ms", limit.as_millis())]
    Timeout {
        /// The limit that was set.
        limit: Duration,
    },
    /// The connection could not be made, or broke.
    #[error("{}", chain(source))]
    Connection {
        /// reqwest's account of it.
        source: reqwest::Error,
    },
}

impl CallError {
    /// The value of `error.type` and of metric labels: `circuit_open`, `timeout` or `connection_error`.
    pub fn kind(&self) -> &'static str {
        match self {
            CallError::BreakerOpen { .. } => "circuit_open",
            CallError::Timeout { .. } => "timeout",
            CallError::Connection { .. } => "connection_error",
        }
    }
}

impl Client {
    pub(crate) fn new(http: reqwest::Client, propagation: Propagation) -> Self {
        Self { http, propagation, breaker: None }
    }

    /// The same client behind `breaker`.
    #[must_use]
    pub fn with_breaker(mut self, breaker: Breaker) -> Self {
        self.breaker = Some(breaker);
        self
    }

    /// Asks for `url` and waits for at most `limit`, the body included.
    ///
    /// An answer of any status is `Ok`; the span of a 4xx or 5xx is marked as failed.
    ///
    /// # Errors
    /// [`CallError`] where no answer came.
    pub async fn get(&self, url: Url, limit: Duration) -> Result<Response, CallError> {
        let mut request = Request::new(Method::GET, url);
        *request.timeout_mut() = Some(limit);
        let milliseconds = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        request.headers_mut().insert(&TIMEOUT_HEADER, milliseconds.into());
        self.send(request).await
    }

    /// Sends any request; see [`Client::get`].
    ///
    /// # Errors
    /// [`CallError`] where no answer came.
    pub async fn send(&self, request: Request) -> Result<Response, CallError> {
        match &self.breaker {
            None => send_traced(self.http.clone(), self.propagation, request).await,
            Some(breaker) => {
                let (http, propagation) = (self.http.clone(), self.propagation);
                breaker.call(send_traced(http, propagation, request)).await
            }
        }
    }
}

/// The call under its CLIENT span.
async fn send_traced(
    http: reqwest::Client,
    propagation: Propagation,
    mut request: Request,
) -> Result<Response, CallError> {
    let limit = request.timeout().copied().unwrap_or(Duration::MAX);
    let span = client_span(&request);
    async {
        let span = Span::current();
        let context = span.context();
        if span.trace_id().is_some() {
            propagation.inject(&context, request.headers_mut());
        } else {
            // No spans: what the caller sent is in the current context, put there by the server layer.
            propagation.inject(&opentelemetry::Context::current(), request.headers_mut());
        }
        let outcome = http.execute(request).await.map_err(|error| call_error(error, limit));
        record(&span, &outcome);
        outcome
    }
    .instrument(span)
    .await
}

fn client_span(request: &Request) -> Span {
    let url = request.url();
    tracing::info_span!(
        "http_client",
        otel.name = request.method().as_str(),
        otel.kind = "client",
        http.request.method = request.method().as_str(),
        url.full = url.as_str(),
        server.address = url.host_str(),
        server.port = url.port_or_known_default().map(i64::from),
        network.protocol.version = Empty,
        http.response.status_code = Empty,
        error.type = Empty,
    )
}

/// For a client, every answer from 400 on is a failure.
fn record(span: &Span, outcome: &Result<Response, CallError>) {
    match outcome {
        Ok(response) => {
            let status = response.status();
            span.record("http.response.status_code", i64::from(status.as_u16()));
            span.record("network.protocol.version", "1.1");
            if status.is_client_error() || status.is_server_error() {
                span.record("error.type", status.as_str());
                span.fail(describe(status));
            }
        }
        Err(error) => {
            span.record("error.type", error.kind());
            span.fail(error.to_string());
        }
    }
}

fn describe(status: StatusCode) -> String {
    format!("answered {status}")
}

fn call_error(source: reqwest::Error, limit: Duration) -> CallError {
    if source.is_timeout() {
        CallError::Timeout { limit }
    } else {
        CallError::Connection { source: source.without_url() }
    }
}

/// An error with its causes: reqwest's own text is only "error sending request".
fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
