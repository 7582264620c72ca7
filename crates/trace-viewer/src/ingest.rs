//! Receives OTLP over HTTP: spans on `/v1/traces`, log records on `/v1/logs`, as protobuf or JSON.
//!
//! Responses follow the OTLP specification 1.x, section "OTLP/HTTP response": what a valid message has that cannot be
//! stored is counted in `partialSuccess`; anything else is refused with a `google.rpc.Status`.

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
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::sync::{Mutex, Semaphore};
use tracing::warn;

use crate::body::{self, Encoding, Refusal};
use crate::decode::{Decoded, Decoder};
use crate::log::LogLimit;
use crate::store::Store;
use crate::wire::Malformed;

/// The receiver's routes.
pub(crate) fn app(store: Arc<Store>) -> Router {
    let memory = Semaphore::new(body::MAX_TOGETHER);
    let receiver = Receiver { store, memory, decoding: Mutex::default(), warnings: LogLimit::default() };
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
    /// One permit for each byte that bodies may take together.
    memory: Semaphore,
    /// Held while a message is decoded.
    decoding: Mutex<Decoder>,
    warnings: LogLimit,
}

async fn traces(State(receiver): State<Arc<Receiver>>, request: Request) -> Response {
    receiver.receive::<ExportTraceServiceRequest>(request, "rejectedSpans", Decoder::traces).await
}

async fn logs(State(receiver): State<Arc<Receiver>>, request: Request) -> Response {
    receiver.receive::<ExportLogsServiceRequest>(request, "rejectedLogRecords", Decoder::logs).await
}

impl Receiver {
    /// Stores what `decode` makes of the message: batches, and the number of spans without a valid id.
    async fn receive<M>(
        &self,
        request: Request,
        rejected: &str,
        decode: fn(&mut Decoder, &[u8]) -> Result<Decoded, Malformed>,
    ) -> Response
    where
        M: Message + Default + DeserializeOwned,
    {
        let Some(encoding) = body::encoding(request.headers()) else {
            let supported = "415 unsupported media type, supported: [application/json, application/x-protobuf]";
            return (StatusCode::UNSUPPORTED_MEDIA_TYPE, supported).into_response();
        };
        let stored = async {
            let body = body::read(request, &self.memory).await?;
            let mut decoder = self.decoding.lock().await;
            let body = body::protobuf::<M>(encoding, body)?;
            let decoded = decode(&mut decoder, &body);
            let (batches, without_id) = decoded.map_err(|Malformed(error)| body::not_otlp(error))?;
            if batches.is_empty() && without_id > 0 {
                let reason = "trace ids must be 128 bit and span ids 64 bit, neither all zero";
                return Err((StatusCode::BAD_REQUEST, reason.to_owned()));
            }
            Ok((self.store.add(batches), without_id))
        };
        let (refused, without_id) = match stored.await {
            Ok(counts) => counts,
            Err(refusal) => return self.refuse(encoding, refusal),
        };
        let reasons = [
            (without_id, "have no usable trace id or span id"),
            (refused, "belong to a trace that has its share of the store"),
        ];
        let reasons = reasons.iter().filter(|(count, _)| *count > 0).map(|(count, reason)| format!("{count} {reason}"));
        accepted(encoding, rejected, refused + without_id, reasons.collect::<Vec<_>>().join(", "))
    }

    fn refuse(&self, encoding: Encoding, (status, reason): Refusal) -> Response {
        if let Some(held_back) = self.warnings.due() {
            warn!(status = status.as_u16(), error = reason, held_back, "Message refused");
        }
        let code = match status {
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::REQUEST_TIMEOUT => 14, // UNAVAILABLE: worth a retry
            _ => 3,                                                              // INVALID_ARGUMENT
        };
        let message = Status { code, message: reason };
        response(status, encoding, &message, json!(message))
    }
}

/// `google.rpc.Status`, as far as OTLP uses it.
#[derive(Clone, PartialEq, Message, Serialize)]
struct Status {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

/// The protobuf response for log records is the same as for spans; in JSON the count has another name.
fn accepted(encoding: Encoding, rejected: &str, count: usize, reason: String) -> Response {
    let json = match count {
        0 => json!({"partialSuccess": {}}),
        _ => json!({"partialSuccess": {rejected: count.to_string(), "errorMessage": reason}}),
    };
    let partial = ExportTracePartialSuccess { rejected_spans: count as i64, error_message: reason };
    let message = ExportTraceServiceResponse { partial_success: (count > 0).then_some(partial) };
    response(StatusCode::OK, encoding, &message, json)
}

fn response(status: StatusCode, encoding: Encoding, message: &impl Message, json: serde_json::Value) -> Response {
    match encoding {
        Encoding::Protobuf => {
            (status, [(CONTENT_TYPE, "application/x-protobuf")], message.encode_to_vec()).into_response()
        }
        Encoding::Json => (status, axum::Json(json)).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use proptest::prelude::*;
    use tower::ServiceExt;

    use super::*;
    use crate::store::Limits;

    /// Field numbers and wire types as OTLP has them, so that decoding does not stop at the first byte.
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
        fn any_bytes_get_200_or_a_client_error(
            body in prop_oneof![prop::collection::vec(any::<u8>(), 0..300), almost_protobuf(), "\\PC{0,80}".prop_map(String::into_bytes)],
            path in prop_oneof![Just("/v1/traces"), Just("/v1/logs")],
            content_type in prop_oneof![Just("application/json"), Just("application/x-protobuf"), Just("text/plain")],
            encoding in prop_oneof![Just("gzip"), Just("identity"), Just("br")],
        ) {
            let store = Arc::new(Store::new(Limits { spans: 4, bytes: 4096 }));
            let request = Request::post(path).header("content-type", content_type).header("content-encoding", encoding);
            let request = request.body(Body::from(body)).expect("a request");
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
            let status = runtime.block_on(app(store.clone()).oneshot(request)).expect("a response").status();
            prop_assert!([200, 400, 415].contains(&status.as_u16()), "{status}");
            prop_assert!(store.level().bytes <= 4096);
        }
    }
}
