//! Tempo's query API, as far as curl, tests and Grafana's data source use it.

mod pool;

use std::io::{self, Write};
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use serde_json::{Value, json};

use crate::ids::TraceId;
use crate::sending::{Sending, Text};
use crate::store::Store;
use crate::trace::Trace;
use crate::{search, tags, trace_json, trace_protobuf};

pub(crate) use pool::{QueryError, QueryPool};

/// A trace of so many bytes, about a hundred spans, is written in less time than it takes to hand it to another thread.
const SMALL_TRACE: usize = 64 << 10;

/// What a thread that writes a trace takes.
const THREAD_BYTES: usize = 256 << 10;

/// The query API, the probes and the metrics.
pub(crate) fn routes() -> Router<Arc<Store>> {
    Router::new()
        .route("/api/traces/{id}", get(trace_v1))
        .route("/api/v2/traces/{id}", get(trace_v2))
        .route("/api/search", get(search::search))
        .route("/api/search/tags", get(tags::names))
        .route("/api/search/tag/{name}/values", get(tags::values))
        .route("/api/v2/search/tags", get(tags::scoped_names))
        .route("/api/v2/search/tag/{name}/values", get(tags::typed_values))
        .route("/api/metrics/query", get(no_series))
        .route("/api/metrics/query_range", get(no_series))
        .route("/api/echo", get("echo"))
        .route("/api/status/buildinfo", get(build_info))
        // Both listeners are bound before either is served: after this response spans can be sent.
        .route("/ready", get("ready"))
        .route("/health", get("ok"))
        .route("/metrics", get(metrics))
}

async fn trace_v1(
    State(store): State<Arc<Store>>,
    Path(id): Path<String>,
    sending: Extension<Sending>,
    headers: HeaderMap,
) -> Result<Response, QueryError> {
    let Some(trace) = store.get(TraceId::from_hex(&id).map_err(QueryError::Invalid)?) else {
        return Ok(StatusCode::NOT_FOUND.into_response());
    };
    if accepts_protobuf(&headers) {
        return send(sending, trace, PROTOBUF, |trace, out| trace_protobuf::write(trace, false, out));
    }
    send(sending, trace, JSON, |trace, out| Ok(trace_json::version_1(trace, out)?))
}

/// Responds with `tempopb.TraceByIDResponse`, whose field 1 is a `tempopb.Trace`: the same as OTLP's `TracesData`.
async fn trace_v2(
    State(store): State<Arc<Store>>,
    Path(id): Path<String>,
    sending: Extension<Sending>,
    headers: HeaderMap,
) -> Result<Response, QueryError> {
    let found = store.get(TraceId::from_hex(&id).map_err(QueryError::Invalid)?);
    match (found, accepts_protobuf(&headers)) {
        (Some(trace), true) => send(sending, trace, PROTOBUF, |trace, out| trace_protobuf::write(trace, true, out)),
        (Some(trace), false) => send(sending, trace, JSON, |trace, out| Ok(trace_json::version_2(trace, out)?)),
        (None, true) => Ok(([(CONTENT_TYPE, PROTOBUF)], [0x0a, 0].as_slice()).into_response()),
        (None, false) => Ok(Json(json!({"trace": {}, "metrics": {}})).into_response()),
    }
}

const JSON: &str = "application/json";
const PROTOBUF: &str = "application/protobuf";

/// Protobuf for clients that accept it, else JSON.
fn accepts_protobuf(headers: &HeaderMap) -> bool {
    headers.get(ACCEPT).is_some_and(|accept| accept.as_bytes() == PROTOBUF.as_bytes())
}

/// Responds with a whole trace, which is written by `write`.
pub(crate) fn send(
    Extension(sending): Extension<Sending>,
    trace: Arc<Trace>,
    content_type: &'static str,
    write: impl FnOnce(&Trace, &mut dyn Write) -> io::Result<()> + Send + 'static,
) -> Result<Response, QueryError> {
    let head = [(CONTENT_TYPE, content_type)];
    let bytes = trace.bytes + trace.origins.iter().map(|origin| origin.bytes()).sum::<usize>();
    if bytes <= SMALL_TRACE {
        let mut text = Text::new(&sending);
        text.fill(|out| write(&trace, out))?;
        return Ok((head, text).into_response());
    }
    // As a message in protobuf a span takes its memory twice more.
    let share = sending.share(bytes + 2 * trace.largest + THREAD_BYTES)?;
    Ok((head, Sending::body(move |out| write(&trace, out), share)).into_response())
}

/// Grafana sends queries such as `{} | rate()` here.
async fn no_series() -> QueryError {
    let reason = "TraceQL metrics are not supported: this viewer keeps recent traces, and no series over time";
    QueryError::Invalid(reason.to_owned())
}

/// Grafana decides by this version which requests it sends.
async fn build_info() -> Json<Value> {
    Json(json!({"version": "3.0.0", "revision": concat!("trace-viewer ", env!("CARGO_PKG_VERSION"))}))
}

async fn metrics(State(store): State<Arc<Store>>) -> impl IntoResponse {
    let level = store.level();
    let metrics = [
        ("trace_viewer_traces", "gauge", "Traces in the store.", level.traces as u64),
        ("trace_viewer_spans", "gauge", "Spans in the store.", level.spans as u64),
        ("trace_viewer_bytes", "gauge", "Estimated memory of the store.", level.bytes as u64),
        ("trace_viewer_traces_evicted_total", "counter", "Traces dropped because the store was full.", level.evicted),
    ];
    let text = metrics
        .map(|(name, kind, help, value)| format!("# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n"));
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], text.concat())
}
