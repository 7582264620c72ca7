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

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::common::v1::AnyValue as Body;
    use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
    use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
    use prost::Message as _;

    use super::*;

    fn spans(count: usize) -> Vec<u8> {
        let scope_spans = vec![ScopeSpans { spans: vec![Span::default(); count], ..ScopeSpans::default() }];
        let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
        ExportTraceServiceRequest { resource_spans }.encode_to_vec()
    }

    async fn send(receiver: &Receiver, path: &str, body: Vec<u8>) -> u16 {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let url = format!("http://{}/v1/{path}", receiver.address);
        client.post(url).body(body).send().await.unwrap().status().as_u16()
    }

    #[tokio::test]
    async fn what_is_too_much_is_counted_and_dropped() {
        let receiver = Receiver::start().await.unwrap();
        for (count, status) in [(MOST - 1, 200), (2, 200), (1, 200), (1, 200)] {
            assert_eq!(send(&receiver, "traces", spans(count)).await, status);
        }
        assert_eq!(send(&receiver, "traces", vec![0xff; 10]).await, 400);
        assert_eq!(send(&receiver, "traces", vec![0; MAX_MESSAGE + 1]).await, 413);
        let received = receiver.received();
        assert_eq!((received.kept, received.dropped), (MOST, 3));
    }

    #[tokio::test]
    async fn log_records_become_lines_with_ids() {
        let receiver = Receiver::start().await.unwrap();
        let body = Some(Body { value: Some(AnyValue::StringValue("packed".to_owned())) });
        let record = LogRecord { trace_id: vec![1; 16], span_id: vec![2; 8], body, ..LogRecord::default() };
        let scope_logs = vec![ScopeLogs { log_records: vec![record], ..ScopeLogs::default() }];
        let resource_logs = vec![ResourceLogs { scope_logs, ..ResourceLogs::default() }];
        let message = ExportLogsServiceRequest { resource_logs }.encode_to_vec();
        assert_eq!(send(&receiver, "logs", message).await, 200);
        let expected = json!({ "message": "packed", "trace_id": "01".repeat(16), "span_id": "02".repeat(8) });
        assert_eq!(receiver.received().lines, [expected]);
    }
}
