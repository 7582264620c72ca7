//! The HTTP client span: one call to another service, with its time limit, its breaker and the context handed on.
//!
//! Source: OpenTelemetry semantic conventions for HTTP spans.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, StatusCode, Version};
use opentelemetry::trace::TraceContextExt;
use reqwest::{Request, Response, Url};
use serde::de::DeserializeOwned;
use tracing::field::Empty;
use tracing::{Instrument, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::breaker::Breaker;
use crate::deadline::{Deadline, TIMEOUT_HEADER};
use crate::propagation::Propagation;
use crate::server::protocol_version;
use crate::span::{SpanFacts, unfinished};

/// A client for calls to one other service. Cloning shares its connections.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    propagation: Propagation,
    breaker: Option<Breaker>,
}

/// Longest body that is read, in bytes: no service here answers with more than a few hundred.
const MAX_BODY: usize = 1 << 20;

/// What the other service answered, whatever its status.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: StatusCode,
    /// The version of HTTP that it spoke.
    pub version: Version,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

impl Answer {
    /// The body as JSON.
    ///
    /// # Errors
    /// When it is not, or not of that shape.
    pub fn json<T: DeserializeOwned>(&self) -> serde_json::Result<T> {
        serde_json::from_slice(&self.body)
    }
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
    /// The body was longer than 1 MiB.
    #[error("the answer is longer than {MAX_BODY} bytes")]
    TooLong,
}

impl CallError {
    /// The value of `error.type` and of metric labels: `circuit_open`, `timeout`, `connection_error` or
    /// `answer_too_long`.
    pub fn kind(&self) -> &'static str {
        match self {
            CallError::BreakerOpen { .. } => "circuit_open",
            CallError::Timeout { .. } => "timeout",
            CallError::Connection { .. } => "connection_error",
            CallError::TooLong => "answer_too_long",
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
    /// What the caller has left by `deadline` is handed on, and the server layer ends the wait with it. It is not the
    /// call's own limit: a caller in a hurry would look like a service that does not answer, and open the breaker for all.
    ///
    /// An answer of any status is `Ok`; the span of a 4xx or 5xx is marked as failed.
    ///
    /// # Errors
    /// [`CallError`] where no answer came.
    pub async fn get(&self, url: Url, limit: Duration, deadline: Deadline) -> Result<Answer, CallError> {
        let mut request = Request::new(Method::GET, url);
        *request.timeout_mut() = Some(limit);
        let left = u64::try_from(deadline.within(limit).as_millis()).unwrap_or(u64::MAX);
        request.headers_mut().insert(&TIMEOUT_HEADER, left.into());
        self.send(request).await
    }

    /// Sends any request; see [`Client::get`].
    ///
    /// # Errors
    /// [`CallError`] where no answer came.
    pub async fn send(&self, request: Request) -> Result<Answer, CallError> {
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
) -> Result<Answer, CallError> {
    let limit = request.timeout().copied().unwrap_or(Duration::MAX);
    let span = client_span(&request);
    async {
        let span = Span::current();
        let context = span.context();
        match context.span().span_context().is_valid() {
            true => propagation.inject(&context, request.headers_mut()),
            // No spans: what the caller sent is in the current context, put there by the server layer.
            false => propagation.inject(&opentelemetry::Context::current(), request.headers_mut()),
        }
        let under_way = UnderWay(Some(&span));
        let outcome = exchange(&http, request).await.map_err(|error| match error {
            CallError::Connection { source } if source.is_timeout() => CallError::Timeout { limit },
            error => error,
        });
        under_way.ended(&outcome);
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

/// One call whose outcome is not known yet. Dropped so, it says why on the span.
struct UnderWay<'a>(Option<&'a Span>);

impl UnderWay<'_> {
    /// For a client, every answer from 400 on is a failure.
    fn ended(mut self, outcome: &Result<Answer, CallError>) {
        let Some(span) = self.0.take() else { return };
        match outcome {
            Ok(Answer { status, version, .. }) => {
                span.record("http.response.status_code", i64::from(status.as_u16()));
                span.record("network.protocol.version", protocol_version(*version));
                if status.is_client_error() || status.is_server_error() {
                    span.record("error.type", status.as_str());
                    span.fail(format!("answered {status}"));
                }
            }
            Err(error) => {
                span.record("error.type", error.kind());
                span.fail(error.to_string());
            }
        }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if let Some(span) = self.0 {
            span.record("error.type", unfinished());
        }
    }
}

/// Sends the request and reads the whole answer.
async fn exchange(http: &reqwest::Client, request: Request) -> Result<Answer, CallError> {
    let broken = |source: reqwest::Error| CallError::Connection { source: source.without_url() };
    let mut response: Response = http.execute(request).await.map_err(broken)?;
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(broken)? {
        if body.len() + chunk.len() > MAX_BODY {
            return Err(CallError::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    let (status, version) = (response.status(), response.version());
    Ok(Answer { status, version, headers: std::mem::take(response.headers_mut()), body: body.freeze() })
}

/// An error with its causes: reqwest's own text is only "error sending request".
fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
