//! Receives spans and log records as OTLP over HTTP, in a bounded amount.
//!
//! The trace viewer's receiver was tried: it stores for queries, and gives nothing back that a file could hold. This one
//! keeps the messages as they are, because the learner's trace is written to a file and sent on to the viewer.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as AnyValue;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::upstream::serve;

/// Bytes of one message.
const MAX_MESSAGE: usize = 4 << 20;

/// Bytes of all messages; what comes later is counted and dropped.
const MAX_BYTES: usize = 4 << 20;

/// Spans, and log records. No lesson needs a hundredth of it.
const MOST: usize = 10_000;

/// Messages that are read at a time.
const AT_A_TIME: usize = 4;

/// What one program has sent.
#[derive(Debug, Clone, Default)]
pub(crate) struct Received {
    pub(crate) spans: ExportTraceServiceRequest,
    /// JSON objects with `message`, `trace_id` and `span_id`.
    pub(crate) lines: Vec<Value>,
    /// Spans and log records that were too many.
    pub(crate) dropped: usize,
    kept: usize,
    bytes: usize,
}

/// The running server. It ends with the runtime.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    received: Mutex<Received>,
    reading: Semaphore,
}

impl Receiver {
    /// Starts it on a free port.
    pub(crate) async fn start() -> std::io::Result<Self> {
        let shared = Arc::new(Shared { received: Mutex::default(), reading: Semaphore::new(AT_A_TIME) });
        let app = Router::new().route("/v1/traces", post(traces)).route("/v1/logs", post(logs));
        Ok(Self { address: serve(app.with_state(Arc::clone(&shared))).await?, shared })
    }

    /// What has arrived so far.
    pub(crate) fn received(&self) -> Received {
        self.shared.received.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn traces(State(shared): State<Arc<Shared>>, body: Body) -> StatusCode {
    let add = |received: &mut Received, message: ExportTraceServiceRequest| {
        received.spans.resource_spans.extend(message.resource_spans);
    };
    let count = |message: &ExportTraceServiceRequest| {
        let scopes = message.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
        scopes.map(|scope| scope.spans.len()).sum()
    };
    shared.receive(body, count, add).await
}

async fn logs(State(shared): State<Arc<Shared>>, body: Body) -> StatusCode {
    let scopes = |message: ExportLogsServiceRequest| message.resource_logs.into_iter().flat_map(|logs| logs.scope_logs);
    let add = move |received: &mut Received, message| {
        let records = scopes(message).flat_map(|scope| scope.log_records);
        received.lines.extend(records.map(|record| {
            let text = match record.body.and_then(|body| body.value) {
                Some(AnyValue::StringValue(text)) => text,
                _ => String::new(),
            };
            json!({ "message": text, "trace_id": hex(&record.trace_id), "span_id": hex(&record.span_id) })
        }));
    };
    let count = |message: &ExportLogsServiceRequest| {
        let scopes = message.resource_logs.iter().flat_map(|logs| &logs.scope_logs);
        scopes.map(|scope| scope.log_records.len()).sum()
    };
    shared.receive(body, count, add).await
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Shared {
    /// Success also for what is dropped: an exporter repeats what fails.
    async fn receive<M: prost::Message + Default>(
        &self,
        body: Body,
        count: impl Fn(&M) -> usize,
        add: impl FnOnce(&mut Received, M),
    ) -> StatusCode {
        let Ok(_reading) = self.reading.acquire().await else { return StatusCode::SERVICE_UNAVAILABLE };
        let Ok(bytes) = to_bytes(body, MAX_MESSAGE).await else { return StatusCode::PAYLOAD_TOO_LARGE };
        let Ok(message) = M::decode(&*bytes) else { return StatusCode::BAD_REQUEST };
        let items = count(&message);
        let mut received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        if received.bytes + bytes.len() > MAX_BYTES || received.kept + items > MOST {
            received.dropped += items;
        } else {
            received.bytes += bytes.len();
            received.kept += items;
            add(&mut received, message);
        }
        StatusCode::OK
    }
}
