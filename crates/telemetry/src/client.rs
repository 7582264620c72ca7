//! The HTTP client span: one request to another service, with the trace context handed on.
//!
//! The response's body is read inside the span, so that the span and the time limit cover all of it. Tried and found
//! short: reqwest-tracing 0.7 (still OpenTelemetry 0.32, so it injects nothing here; numbers exported as strings).
//!
//! Source: OpenTelemetry semantic conventions for HTTP spans.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use opentelemetry::trace::{FutureExt as _, SpanKind, Status, TraceContextExt, Tracer as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::SdkTracer;
use opentelemetry_semantic_conventions::trace as semconv;
use reqwest::{Request, Url};

use crate::hooks::RequestHook;
use crate::http_attributes::{full_url, method, protocol_version};
use crate::propagation::Propagation;

/// Longest body of a response that is read, in bytes: nearly all have a few hundred.
pub const MAX_BODY: usize = 1 << 20;

/// A connection that was idle for so long is closed: well before the server does it, because a request that is sent
/// at that very moment is lost.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(5);

/// A client for requests to other services. Cloning shares its connections.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    /// None with `OTEL_SDK_DISABLED`.
    tracer: Option<SdkTracer>,
    propagation: Propagation,
    hook: Option<RequestHook>,
}

/// Why a request brought no response.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No response within the request's time limit.
    #[error("no response within {} ms", limit.as_millis())]
    Timeout {
        /// The limit that was set.
        limit: Duration,
    },
    /// The connection could not be made, or broke.
    #[error("{}", chain(source))]
    Connection {
        /// The error of reqwest.
        source: reqwest::Error,
    },
    /// The body was longer than 1 MiB.
    #[error("the response is longer than {MAX_BODY} bytes")]
    TooLong,
}

impl ClientError {
    /// The value of `error.type` and of metric labels: `timeout`, `connection_error` or `response_too_long`.
    pub fn kind(&self) -> &'static str {
        match self {
            ClientError::Timeout { .. } => "timeout",
            ClientError::Connection { .. } => "connection_error",
            ClientError::TooLong => "response_too_long",
        }
    }
}

/// The connections to `server`. No redirects: a service's response is what it said. No proxy: services are reached
/// directly.
pub(crate) fn http_client(server: &Url) -> reqwest::Result<reqwest::Client> {
    let mut builder = reqwest::Client::builder();
    if server.scheme() == "http" {
        builder = builder.tls_certs_only([]); // or it reads all of the system's (docs/PERFORMANCE.md)
    }
    builder
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .tcp_nodelay(true)
        .connect_timeout(Duration::from_secs(2))
        .pool_idle_timeout(IDLE_TIMEOUT)
        .build()
}

impl Client {
    pub(crate) fn new(
        http: reqwest::Client,
        tracer: Option<SdkTracer>,
        propagation: Propagation,
        hook: Option<RequestHook>,
    ) -> Self {
        Self { http, tracer, propagation, hook }
    }

    /// Sends `request` and reads the whole response, within the request's own timeout.
    ///
    /// A response of any status is `Ok`; the span of a 4xx or 5xx is marked as failed. A call that is dropped ends its
    /// span without an error: its caller went away.
    ///
    /// # Errors
    /// [`ClientError`] where no response came.
    pub async fn send(&self, mut request: Request) -> Result<http::Response<Bytes>, ClientError> {
        let limit = request.timeout().copied().unwrap_or(Duration::MAX);
        let context = self.start_span(&request);
        self.propagation.inject(&context, request.headers_mut());
        let result = self.hooked_exchange(request, limit).with_context(context.clone()).await;
        let result = result.map_err(|error| match error {
            ClientError::Connection { source } if source.is_timeout() => ClientError::Timeout { limit },
            error => error,
        });
        record(&context, &result);
        context.span().end();
        result
    }

    async fn hooked_exchange(&self, request: Request, limit: Duration) -> Result<http::Response<Bytes>, ClientError> {
        let Some(hook) = &self.hook else { return exchange(&self.http, request).await };
        let held_up = tokio::time::timeout(limit, hook(request)).await;
        exchange(&self.http, held_up.map_err(|_| ClientError::Timeout { limit })?).await
    }

    /// The current context with a CLIENT span in it.
    fn start_span(&self, request: &Request) -> Context {
        let parent = Context::current();
        let Some(tracer) = &self.tracer else { return parent };
        let (method, url) = (method(request.method()), request.url());
        let mut attributes = Vec::with_capacity(10);
        attributes.push(KeyValue::new(semconv::HTTP_REQUEST_METHOD, method));
        attributes.push(KeyValue::new(semconv::URL_FULL, full_url(url)));
        attributes.extend(url.host_str().map(|host| KeyValue::new(semconv::SERVER_ADDRESS, host.to_owned())));
        let port = url.port_or_known_default().map(i64::from);
        attributes.extend(port.map(|port| KeyValue::new(semconv::SERVER_PORT, port)));
        let span = tracer.span_builder(method).with_kind(SpanKind::Client).with_attributes(attributes);
        parent.with_span(tracer.build_with_context(span, &parent))
    }
}

/// For a client, every status from 400 on is a failure.
fn record(context: &Context, result: &Result<http::Response<Bytes>, ClientError>) {
    let span = context.span();
    match result {
        Ok(response) => {
            let status = response.status();
            span.set_attribute(KeyValue::new(semconv::HTTP_RESPONSE_STATUS_CODE, i64::from(status.as_u16())));
            let version = protocol_version(response.version());
            span.set_attribute(KeyValue::new(semconv::NETWORK_PROTOCOL_VERSION, version));
            if let Some(peer) = response.extensions().get::<SocketAddr>() {
                span.set_attribute(KeyValue::new(semconv::NETWORK_PEER_ADDRESS, peer.ip().to_string()));
                span.set_attribute(KeyValue::new(semconv::NETWORK_PEER_PORT, i64::from(peer.port())));
            }
            if status.is_client_error() || status.is_server_error() {
                span.set_attribute(KeyValue::new(semconv::ERROR_TYPE, status.as_str().to_owned()));
                span.set_status(Status::error(format!("status {status}")));
            }
        }
        Err(error) => {
            span.set_attribute(KeyValue::new(semconv::ERROR_TYPE, error.kind()));
            span.set_status(Status::error(error.to_string()));
        }
    }
}

/// Sends the request and reads the whole response; the server's address is among its extensions.
async fn exchange(http: &reqwest::Client, request: Request) -> Result<http::Response<Bytes>, ClientError> {
    let broken = |source: reqwest::Error| ClientError::Connection { source: source.without_url() };
    let mut response = http.execute(request).await.map_err(broken)?;
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(broken)? {
        if body.len() + chunk.len() > MAX_BODY {
            return Err(ClientError::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    let peer = response.remote_addr();
    let mut whole = http::Response::new(body.freeze());
    *whole.status_mut() = response.status();
    *whole.version_mut() = response.version();
    std::mem::swap(whole.headers_mut(), response.headers_mut());
    if let Some(peer) = peer {
        whole.extensions_mut().insert(peer);
    }
    Ok(whole)
}

/// An error with its causes: reqwest's own text is only "error sending request".
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn request_that_a_hook_holds_up_ends_with_its_time_limit() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let url: Url = "http://127.0.0.1:9".parse().unwrap();
        let hook: RequestHook = std::sync::Arc::new(|_| Box::pin(std::future::pending()));
        let client = Client::new(http_client(&url).unwrap(), None, Propagation::new(&[], false), Some(hook));
        let mut request = Request::new(reqwest::Method::GET, url);
        *request.timeout_mut() = Some(Duration::from_millis(1));
        assert!(matches!(client.send(request).await, Err(ClientError::Timeout { .. })));
    }
}
