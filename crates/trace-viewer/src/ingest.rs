//! Receives OTLP over HTTP: spans on `/v1/traces`, log lines on `/v1/logs`, as protobuf or JSON.
//!
//! Answers follow the OTLP specification 1.x, section "OTLP/HTTP response": what could not be taken of a message that
//! was understood is counted in `partialSuccess`; anything else is refused with a `google.rpc.Status`.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{ALLOW, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::sync::Mutex;
use tracing::warn;

use crate::body::{self, Encoding, Gate, Refusal};
use crate::ids::{SpanId, TraceId};
use crate::log::Occasionally;
use crate::store::{Batch, Store};
use crate::trace::{Origin, StoredSpan};

/// The receiver's routes.
pub(crate) fn app(store: Arc<Store>) -> Router {
    let receiver =
        Receiver { store, gate: Gate::default(), alone: Mutex::default(), warnings: Occasionally::default() };
    Router::new()
        .route("/v1/traces", post(traces))
        .route("/v1/logs", post(logs))
        .method_not_allowed_fallback(async || {
            (StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, "POST")], "405 method not allowed, supported: [POST]")
        })
        .with_state(Arc::new(receiver))
}

struct Receiver {
    store: Arc<Store>,
    gate: Gate,
    /// One message at a time is taken apart: two bytes of a hostile one become sixty in memory.
    alone: Mutex<()>,
    warnings: Occasionally,
}

/// A message taken apart: what belongs to a trace, and how many spans had no usable id.
struct Sorted {
    batches: Vec<Batch>,
    without_id: usize,
}

async fn traces(State(receiver): State<Arc<Receiver>>, request: Request) -> Response {
    receiver.receive(request, "rejectedSpans", sort_spans).await
}

async fn logs(State(receiver): State<Arc<Receiver>>, request: Request) -> Response {
    receiver.receive(request, "rejectedLogRecords", sort_logs).await
}

impl Receiver {
    async fn receive<M>(&self, request: Request, rejected: &str, sort: fn(M) -> Sorted) -> Response
    where
        M: Message + Default + DeserializeOwned,
    {
        let Some(encoding) = body::encoding(request.headers()) else {
            let supported = "415 unsupported media type, supported: [application/json, application/x-protobuf]";
            return (StatusCode::UNSUPPORTED_MEDIA_TYPE, supported).into_response();
        };
        let body = match self.gate.read(request).await {
            Ok(body) => body,
            Err(refusal) => return self.refuse(encoding, refusal),
        };
        let _alone = self.alone.lock().await;
        let message = match body::decode::<M>(encoding, &body) {
            Ok(message) => message,
            Err(refusal) => return self.refuse(encoding, refusal),
        };
        let Sorted { batches, without_id } = sort(message);
        if batches.is_empty() && without_id > 0 {
            let reason = "trace ids must be 128 bit and span ids 64 bit, neither all zero".to_owned();
            return self.refuse(encoding, Refusal { status: StatusCode::BAD_REQUEST, reason });
        }
        let refused = self.store.add(batches);
        let mut reasons = Vec::new();
        if without_id > 0 {
            reasons.push(format!("{without_id} have no usable trace id or span id"));
        }
        if refused > 0 {
            reasons.push(format!("{refused} belong to a trace that has its share of the store"));
        }
        accepted(encoding, rejected, refused + without_id, reasons.join(", "))
    }

    fn refuse(&self, encoding: Encoding, Refusal { status, reason }: Refusal) -> Response {
        if let Some(held_back) = self.warnings.due() {
            warn!(status = status.as_u16(), error = reason, held_back, "Message refused");
        }
        // The numbers of google.rpc.Code: what a client should change, and what it should try again.
        let code = match status {
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::REQUEST_TIMEOUT => 14,
            _ => 3,
        };
        answer(status, encoding, &Status { code, message: reason.clone() }, json!({"code": code, "message": reason}))
    }
}

/// `google.rpc.Status`, as far as OTLP uses it.
#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

/// The response for log records has the same wire form as the one for spans; in JSON the count has its own name.
fn accepted(encoding: Encoding, rejected: &str, count: usize, reason: String) -> Response {
    let json = match count {
        0 => json!({"partialSuccess": {}}),
        _ => json!({"partialSuccess": {rejected: count.to_string(), "errorMessage": reason}}),
    };
    let partial = ExportTracePartialSuccess { rejected_spans: count as i64, error_message: reason };
    let message = ExportTraceServiceResponse { partial_success: (count > 0).then_some(partial) };
    answer(StatusCode::OK, encoding, &message, json)
}

fn answer(status: StatusCode, encoding: Encoding, message: &impl Message, json: serde_json::Value) -> Response {
    match encoding {
        Encoding::Protobuf => {
            (status, [(CONTENT_TYPE, "application/x-protobuf")], message.encode_to_vec()).into_response()
        }
        Encoding::Json => (status, axum::Json(json)).into_response(),
    }
}

fn sort_spans(message: ExportTraceServiceRequest) -> Sorted {
    let mut sorted = Sorted { batches: Vec::new(), without_id: 0 };
    for from_resource in message.resource_spans {
        for from_scope in from_resource.scope_spans {
            let origin = Origin::new(from_resource.resource.clone(), from_scope.scope);
            let mut by_trace = HashMap::<_, Vec<_>>::new();
            for span in from_scope.spans {
                let ids = TraceId::from_bytes(&span.trace_id).zip(SpanId::from_bytes(&span.span_id));
                if let Some((trace, id)) = ids {
                    by_trace.entry(trace).or_default().push(StoredSpan { id, span, origin: origin.clone() });
                } else {
                    sorted.without_id += 1;
                }
            }
            let batches = by_trace.into_iter().map(|(trace, spans)| Batch { trace, spans, logs: Vec::new() });
            sorted.batches.extend(batches);
        }
    }
    sorted
}

/// A log line outside of any trace is no fault: there is only nothing to show it with.
fn sort_logs(message: ExportLogsServiceRequest) -> Sorted {
    let mut by_trace = HashMap::<_, Vec<_>>::new();
    let scopes = message.resource_logs.into_iter().flat_map(|from_resource| from_resource.scope_logs);
    for record in scopes.flat_map(|from_scope| from_scope.log_records) {
        if let Some(trace) = TraceId::from_bytes(&record.trace_id) {
            by_trace.entry(trace).or_default().push(record);
        }
    }
    let batches = by_trace.into_iter().map(|(trace, logs)| Batch { trace, spans: Vec::new(), logs });
    Sorted { batches: batches.collect(), without_id: 0 }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use proptest::prelude::*;
    use tower::ServiceExt;

    use super::*;
    use crate::store::Limits;

    /// Field numbers and wire types around those of OTLP, so that more than the first byte is looked at.
    fn almost_protobuf() -> impl Strategy<Value = Vec<u8>> {
        let field = (0..20u8, 0..6u8, prop::collection::vec(any::<u8>(), 0..40));
        prop::collection::vec(field, 0..20).prop_map(|fields| {
            let encode = |(number, wire, content): (u8, u8, Vec<u8>)| {
                [vec![number << 3 | wire, content.len() as u8], content].concat()
            };
            fields.into_iter().flat_map(encode).collect()
        })
    }

    proptest! {
        #[test]
        fn any_bytes_get_an_answer(
            body in prop_oneof![prop::collection::vec(any::<u8>(), 0..300), almost_protobuf(), "\\PC{0,80}".prop_map(String::into_bytes)],
            path in prop_oneof![Just("/v1/traces"), Just("/v1/logs")],
            content_type in prop_oneof![Just("application/json"), Just("application/x-protobuf"), Just("text/plain")],
            encoding in prop_oneof![Just("gzip"), Just("identity"), Just("br")],
        ) {
            let store = Arc::new(Store::new(Limits { spans: 4, bytes: 4096 }));
            let request = Request::post(path).header("content-type", content_type).header("content-encoding", encoding);
            let request = request.body(Body::from(body)).expect("a request");
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
            let status = runtime.block_on(app(store.clone()).oneshot(request)).expect("an answer").status();
            prop_assert!([200, 400, 415].contains(&status.as_u16()), "{status}");
            prop_assert!(store.level().bytes <= 4096);
        }
    }
}
