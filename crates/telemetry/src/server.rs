//! The HTTP server span: everything that is recorded about a request, in one place.
//!
//! One layer continues the caller's trace, starts the SERVER span, runs the handler inside it, and when the response is
//! there (or the client has gone) sets the attributes, counts the metrics, writes the log line of a failure, and sends
//! the ids back in `traceresponse` and `Server-Timing`.
//!
//! The span is made with OpenTelemetry's API: with `info_span!` it costs more, and it ends only when nothing holds it any
//! more (docs/ARCHITECTURE.md has the figures). Tried and found short: axum-tracing-opentelemetry 0.42 (`url.scheme=""`,
//! no `error.type`, empty `http.route` on 404), opentelemetry-instrumentation-tower 0.19 (no `error.type`, no
//! `server.*`), tower-http's TraceLayer (an INTERNAL span named `request`).
//!
//! Source: OpenTelemetry semantic conventions for HTTP spans, stable since 1.23.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use opentelemetry::trace::{FutureExt as _, SpanKind, TraceContextExt, Tracer as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::SdkTracer;
use opentelemetry_semantic_conventions::trace as semconv;

use crate::attributes;
use crate::http_attributes::{self, clip, protocol_version};
use crate::metrics::HttpMetrics;
use crate::propagation::{Propagation, traceparent};

/// What the layer needs.
#[derive(Debug)]
pub struct ServerTelemetry {
    /// None with `OTEL_SDK_DISABLED`.
    pub(crate) tracer: Option<SdkTracer>,
    pub(crate) metrics: HttpMetrics,
    pub(crate) propagation: Propagation,
}

/// Why a response is an error, for the operator: an extension of the response. The layer writes it into the span's
/// status and into the log line.
#[derive(Debug, Clone)]
pub struct ErrorDescription(pub String);

/// The layer: `axum::middleware::from_fn_with_state(handle.server(), trace)`.
///
/// Put it around the routes and the fallbacks, so that an unknown path is recorded too.
pub async fn trace(State(telemetry): State<Arc<ServerTelemetry>>, request: Request, next: Next) -> Response {
    let in_flight = InFlight::begin(telemetry, &request);
    // Without spans (`OTEL_SDK_DISABLED`) this is the caller's own context, which goes on as it came.
    let mut response = next.run(request).with_context(in_flight.context.clone()).await;
    in_flight.respond(&mut response);
    response
}

/// A request without a response. Dropped so, it records that the client went away.
struct InFlight {
    context: Context,
    telemetry: Arc<ServerTelemetry>,
    method: &'static str,
    route: Option<MatchedPath>,
    started: Instant,
    responded: bool,
}

/// The log line of a request that failed. A macro, because an event's level, name and message are constants.
macro_rules! log_failure {
    ($level:ident, $request:ident, $status_code:expr, $error:expr, $name:literal, $message:literal) => {
        tracing::$level!(
            name: $name,
            error = $error,
            http.request.method = $request.method,
            http.route = $request.route(),
            http.response.status_code = $status_code,
            duration = $request.started.elapsed().as_secs_f64(),
            $message
        )
    };
}

impl InFlight {
    fn begin(telemetry: Arc<ServerTelemetry>, request: &Request) -> Self {
        let started = Instant::now();
        let method = http_attributes::method(request.method());
        let route = request.extensions().get::<MatchedPath>().cloned();
        let parent = telemetry.propagation.extract(request.headers());
        let context = match &telemetry.tracer {
            Some(tracer) => {
                let span_method = if method == "_OTHER" { "HTTP" } else { method };
                let name = match &route {
                    Some(route) => format!("{span_method} {}", route.as_str()),
                    None => span_method.to_owned(),
                };
                let attributes = request_attributes(request, method, route.as_ref());
                let span = tracer.span_builder(name).with_kind(SpanKind::Server).with_attributes(attributes);
                parent.with_span(tracer.build_with_context(span, &parent))
            }
            None => parent,
        };
        Self { context, telemetry, method, route, started, responded: false }
    }

    fn respond(mut self, response: &mut Response) {
        self.responded = true;
        let status = response.status();
        let error = response.extensions_mut().remove::<ErrorDescription>().map(|ErrorDescription(error)| error);
        let span = self.context.span();
        span.set_attribute(KeyValue::new(semconv::HTTP_RESPONSE_STATUS_CODE, i64::from(status.as_u16())));
        if status.is_client_error() || status.is_server_error() {
            self.record_error(status, error.as_deref().unwrap_or("the handler gave no reason"));
        }
        if span.span_context().is_valid() {
            let ids = traceparent(&self.context);
            if let Ok(timing) = HeaderValue::try_from([b"trace;desc=\"", ids.as_bytes(), b"\""].concat()) {
                response.headers_mut().append("server-timing", timing);
            }
            response.headers_mut().insert("traceresponse", ids);
        }
        self.end(status);
    }

    /// A 4xx is the client's fault and leaves the span's status unset.
    fn record_error(&self, status: StatusCode, error: &str) {
        let _active = self.context.clone().attach();
        let status_code = Some(status.as_u16());
        if status.is_server_error() {
            attributes::set(semconv::ERROR_TYPE, status.as_str().to_owned());
            attributes::set_error(error.to_owned());
            log_failure!(error, self, status_code, error, "http.request.failed", "Request failed");
        } else {
            log_failure!(warn, self, status_code, error, "http.request.refused", "Request refused");
        }
    }

    fn route(&self) -> Option<&str> {
        self.route.as_ref().map(MatchedPath::as_str)
    }

    fn end(&self, status: StatusCode) {
        self.telemetry.metrics.record(self.route(), self.method, status, self.started.elapsed());
        self.context.span().end();
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.responded {
            return;
        }
        let _active = self.context.clone().attach();
        // A handler that panicked is our fault; one that was dropped had a client that went away.
        let (status, error) = if std::thread::panicking() {
            attributes::set_error("the handler panicked");
            (StatusCode::INTERNAL_SERVER_ERROR, "panic")
        } else {
            (StatusCode::BAD_REQUEST, "cancelled")
        };
        attributes::set(semconv::ERROR_TYPE, error);
        log_failure!(warn, self, None::<u16>, error, "http.request.cancelled", "Request not answered");
        self.end(status);
    }
}

/// What is known when the request arrives. An attribute without a value is left out.
fn request_attributes(request: &Request, method: &'static str, route: Option<&MatchedPath>) -> Vec<KeyValue> {
    let (headers, uri) = (request.headers(), request.uri());
    let mut attributes = Vec::with_capacity(16); // with those of the response and a few of the handler
    attributes.push(KeyValue::new(semconv::HTTP_REQUEST_METHOD, method));
    attributes.push(KeyValue::new(semconv::URL_PATH, clip(uri.path()).to_owned()));
    attributes.push(KeyValue::new(semconv::URL_SCHEME, "http")); // TLS, where there is any, ends in front of the service
    attributes.push(KeyValue::new(semconv::NETWORK_PROTOCOL_VERSION, protocol_version(request.version())));
    let mut add = |key, value: Option<String>| attributes.extend(value.map(|value| KeyValue::new(key, value)));
    add(semconv::HTTP_ROUTE, route.map(|route| route.as_str().to_owned()));
    add(semconv::URL_QUERY, uri.query().filter(|query| !query.is_empty()).map(http_attributes::query));
    let original = (method == "_OTHER").then(|| clip(request.method().as_str()).to_owned());
    add(semconv::HTTP_REQUEST_METHOD_ORIGINAL, original);
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    add(semconv::CLIENT_ADDRESS, peer.map(|ConnectInfo(peer)| peer.ip().to_string()));
    let user_agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
    add(semconv::USER_AGENT_ORIGINAL, user_agent.filter(|agent| !agent.is_empty()).map(|agent| clip(agent).to_owned()));
    let (host, port) = host_and_port(headers);
    add(semconv::SERVER_ADDRESS, host.map(str::to_owned));
    attributes.extend(port.map(|port| KeyValue::new(semconv::SERVER_PORT, port)));
    attributes
}

/// `server.address` and `server.port` as the client wrote them in `Host`.
fn host_and_port(headers: &HeaderMap) -> (Option<&str>, Option<i64>) {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).filter(|host| !host.is_empty());
    let Some(host) = host else { return (None, None) };
    match host.rsplit_once(':') {
        Some((name, port)) if !name.is_empty() && port.parse::<u16>().is_ok() => (Some(clip(name)), port.parse().ok()),
        _ => (Some(clip(host)), Some(80)),
    }
}
