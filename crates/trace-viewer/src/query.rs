//! Tempo's query API, as far as curl, tests and Grafana's data source use it.

mod pool;

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use opentelemetry_proto::tonic::trace::v1::TracesData;
use prost::Message;
use serde_json::{Value, json};

use crate::ids::TraceId;
use crate::store::Store;
use crate::{search, tags, tempo_json};

pub(crate) use pool::{QueryError, QueryPool};

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
    headers: HeaderMap,
) -> Result<Response, QueryError> {
    let Some(trace) = store.get(TraceId::from_hex(&id).map_err(QueryError::Invalid)?) else {
        return Ok(StatusCode::NOT_FOUND.into_response());
    };
    let message = tempo_json::message(&trace);
    Ok(response(&headers, &message, || json!({"batches": tempo_json::resource_spans(&message)})))
}

/// `tempopb.TraceByIDResponse`, as far as this viewer fills it.
#[derive(Clone, PartialEq, Message)]
struct TraceByIdResponse {
    /// `tempopb.Trace` has the same wire form as OTLP's `TracesData`.
    #[prost(message, required, tag = "1")]
    trace: TracesData,
}

async fn trace_v2(
    State(store): State<Arc<Store>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, QueryError> {
    let trace = store.get(TraceId::from_hex(&id).map_err(QueryError::Invalid)?);
    let message = TraceByIdResponse { trace: trace.map(|trace| tempo_json::message(&trace)).unwrap_or_default() };
    Ok(response(&headers, &message, || match message.trace.resource_spans.as_slice() {
        [] => json!({"trace": {}, "metrics": {}}),
        _ => json!({"trace": {"resourceSpans": tempo_json::resource_spans(&message.trace)}, "metrics": {}}),
    }))
}

/// Protobuf for clients that accept it, else JSON.
fn response(headers: &HeaderMap, message: &impl Message, json: impl FnOnce() -> Value) -> Response {
    if headers.get(ACCEPT).is_some_and(|accept| accept.as_bytes() == b"application/protobuf") {
        ([(CONTENT_TYPE, "application/protobuf")], message.encode_to_vec()).into_response()
    } else {
        Json(json()).into_response()
    }
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
