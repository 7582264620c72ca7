//! The HTTP server span: everything that is recorded about a request, in one place.
//!
//! One layer continues the caller's trace, opens the SERVER span, runs the handler inside it, and when the answer is
//! there (or the client has gone) sets the attributes, counts the metrics, writes the log line of a failure, and hands
//! `traceresponse` back.
//!
//! Source: OpenTelemetry semantic conventions for HTTP spans, stable since 1.23; W3C Trace Context Level 2 for
//! `traceresponse`.

use std::net::SocketAddr;
use std::time::Instant;

use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, Version, header};
use opentelemetry::Context;
use opentelemetry::trace::{FutureExt as _, TraceContextExt};
use tracing::field::Empty;
use tracing::{Instrument, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::deadline::{Deadline, TIMEOUT_HEADER};
use crate::metrics::{HttpMetrics, method_label};
use crate::problem::Problem;
use crate::propagation::{Propagation, traceparent};
use crate::span::SpanFacts;

/// Longest attribute that a client can write: enough for a person, too little to fill a queue of spans with.
const MAX_ATTRIBUTE: usize = 1024;

/// What the layer needs.
#[derive(Debug, Clone)]
pub(crate) struct ServerTelemetry {
    pub(crate) metrics: HttpMetrics,
    pub(crate) propagation: Propagation,
}

/// The layer: `axum::middleware::from_fn_with_state(telemetry, trace)`.
///
/// Put it around the routes and the fallbacks, so that an unknown path is recorded too.
pub(crate) async fn trace(State(telemetry): State<ServerTelemetry>, mut request: Request, next: Next) -> Response {
    let parent = telemetry.propagation.extract(request.headers());
    let path = request.uri().path().to_owned();
    let exchange = Exchange::begin(telemetry.metrics, &request, &parent);
    let span = exchange.span.clone();
    let traced = exchange.traceresponse.is_some();

    let answer = async {
        match Deadline::from_headers(request.headers()) {
            Err(problem) => problem.into_response(),
            Ok(deadline) => {
                request.extensions_mut().insert(deadline);
                answer_in_time(deadline, request, next).await
            }
        }
    };
    // Under the span its own context is current, and calls made there continue it. Without spans (`OTEL_SDK_DISABLED`) it is the caller's that goes on.
    let mut response = match traced {
        true => answer.instrument(span).await,
        false => answer.with_context(parent).instrument(span).await,
    };
    exchange.answered(&mut response, &path);
    response
}

/// Runs the handler until the caller stops waiting; what it was doing then is cancelled.
async fn answer_in_time(deadline: Deadline, request: Request, next: Next) -> Response {
    let Some(at) = deadline.at() else { return next.run(request).await };
    match tokio::time::timeout_at(at.into(), next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let detail = format!("The time that the caller gave ('{TIMEOUT_HEADER}') is over");
            Problem::new(StatusCode::GATEWAY_TIMEOUT, detail).into_response()
        }
    }
}

/// One request on its way to an answer. Dropped without one, it tells that the client went away.
struct Exchange {
    span: Span,
    /// The span's ids as the caller gets them back; none while spans are switched off.
    traceresponse: Option<HeaderValue>,
    metrics: HttpMetrics,
    method: &'static str,
    route: Option<MatchedPath>,
    started: Instant,
    answered: bool,
}

impl Exchange {
    fn begin(metrics: HttpMetrics, request: &Request, parent: &Context) -> Self {
        let method = method_label(request.method());
        let route = request.extensions().get::<MatchedPath>().cloned();
        let span = server_span(request, method, route.as_ref().map(MatchedPath::as_str));
        // Fails only where there is no OpenTelemetry layer, and then there is no trace to continue.
        let _ = span.set_parent(parent.clone());
        let context = span.context();
        let traceresponse = context.span().span_context().is_valid().then(|| traceparent(&context));
        Self { span, traceresponse, metrics, method, route, started: Instant::now(), answered: false }
    }

    fn route(&self) -> &str {
        self.route.as_ref().map_or("none", MatchedPath::as_str)
    }

    fn answered(mut self, response: &mut Response, path: &str) {
        self.answered = true;
        let status = response.status();
        self.span.record("http.response.status_code", i64::from(status.as_u16()));
        if let Some(problem) = response.extensions_mut().remove::<Problem>() {
            self.span.in_scope(|| self.explain(status, problem.explanation()));
            problem.render(response, path, self.span.trace_id());
        } else if status.is_server_error() {
            self.span.in_scope(|| self.explain(status, "the handler gave no reason"));
        }
        if let Some(ids) = self.traceresponse.take() {
            response.headers_mut().insert("traceresponse", ids);
        }
        self.metrics.answered(self.route(), self.method, status, self.started.elapsed());
    }

    /// The one place where a failed request is logged. A 4xx is the client's fault and leaves the span's status unset.
    fn explain(&self, status: StatusCode, error: &str) {
        let (route, method, code) = (self.route(), self.method, status.as_u16());
        if status.is_server_error() {
            self.span.record("error.type", status.as_str());
            self.span.fail(error);
            tracing::error!(method, route, status = code, error, "Request failed");
        } else {
            tracing::warn!(method, route, status = code, error, "Request refused");
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if self.answered {
            return;
        }
        // A handler that panicked is our fault; one that was dropped had a client that went away.
        let (status, error_type) = if std::thread::panicking() {
            (StatusCode::INTERNAL_SERVER_ERROR, "panic")
        } else {
            (StatusCode::BAD_REQUEST, "cancelled")
        };
        self.span.record("error.type", error_type);
        if status.is_server_error() {
            self.span.fail("the handler panicked");
        }
        self.span.in_scope(|| {
            let duration = self.started.elapsed().as_secs_f64();
            tracing::warn!(
                method = self.method,
                route = self.route(),
                duration,
                error = error_type,
                "Request not answered"
            );
        });
        self.metrics.answered(self.route(), self.method, status, self.started.elapsed());
    }
}

/// The span, with all that is known when the request arrives. Fields without a value are left out of the export.
fn server_span(request: &Request, method: &'static str, route: Option<&str>) -> Span {
    let headers = request.headers();
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).map(clip);
    let (host, port) = host_and_port(headers);
    let client = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip().to_string());
    let name_method = if method == "_OTHER" { "HTTP" } else { method };
    tracing::info_span!(
        "http_server",
        otel.name = route.map_or_else(|| name_method.to_owned(), |route| format!("{name_method} {route}")),
        otel.kind = "server",
        http.request.method = method,
        http.request.method_original = (method == "_OTHER").then(|| clip(request.method().as_str())),
        http.route = route,
        url.path = clip(request.uri().path()),
        url.query = request.uri().query().filter(|query| !query.is_empty()).map(clip),
        url.scheme = "http", // TLS, where there is any, ends in front of these services
        server.address = host,
        server.port = port,
        client.address = client,
        network.protocol.version = protocol_version(request.version()),
        user_agent.original = text(header::USER_AGENT).filter(|agent| !agent.is_empty()),
        http.response.status_code = Empty,
        error.type = Empty,
    )
}

/// `server.address` and `server.port` as the client wrote them in `Host`.
fn host_and_port(headers: &HeaderMap) -> (Option<&str>, Option<i64>) {
    let Some(host) = headers.get(header::HOST).and_then(|host| host.to_str().ok()).filter(|host| !host.is_empty())
    else {
        return (None, None);
    };
    match host.rsplit_once(':') {
        Some((name, port)) if !name.is_empty() && port.parse::<u16>().is_ok() => (Some(clip(name)), port.parse().ok()),
        _ => (Some(clip(host)), Some(80)),
    }
}

pub(crate) fn protocol_version(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        _ => "1.1",
    }
}

/// At most [`MAX_ATTRIBUTE`] bytes, cut between two characters.
fn clip(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_ATTRIBUTE)]
}
