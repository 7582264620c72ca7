//! Receives OTLP over HTTP: `/v1/traces`, `/v1/logs` and `/v1/metrics`, as protobuf or JSON.
//!
//! Responses follow the OTLP specification 1.x, section "OTLP/HTTP response": what a valid message has that cannot be
//! stored is counted in `partialSuccess`; anything else is refused with a `google.rpc.Status`.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{ALLOW, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTracePartialSuccess, ExportTraceServiceResponse};
use prost::Message;
use serde_json::json;
use tonic_types::pb::Status;

use crate::body::{Compression, Refusal};
use crate::origin::{self, Origins};
use crate::receive::{Encoding, Receiver, Rejected, Signal};

/// The receiver's routes.
pub(crate) fn app(receiver: Arc<Receiver>, origins: Origins) -> Router {
    let route = |signal| post(async move |State(receiver), request: Request| receive(receiver, signal, request).await);
    let routes = Router::new()
        .route("/v1/traces", route(Signal::Traces))
        .route("/v1/logs", route(Signal::Logs))
        .route("/v1/metrics", route(Signal::Metrics))
        .method_not_allowed_fallback(async || {
            (StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, "POST")], "405 method not allowed, supported: [POST]")
        })
        .with_state(receiver);
    origin::restrict(routes, origins)
}

/// The routes by which a page of the viewer itself sends a file, for its spans and for its log lines: the same bounds,
/// under the address of the pages.
pub(crate) fn from_pages(receiver: Arc<Receiver>) -> Router {
    let open = |signal| post(async move |State(receiver), request: Request| receive(receiver, signal, request).await);
    let routes = Router::new()
        .route("/view/open", open(Signal::Traces))
        .route("/view/open/logs", open(Signal::Logs))
        .with_state(receiver);
    origin::only_own_pages(routes)
}

async fn receive(receiver: Arc<Receiver>, signal: Signal, request: Request) -> Response {
    let Some(encoding) = encoding(request.headers()) else {
        let supported = "415 unsupported media type, supported: [application/json, application/x-protobuf]";
        return (StatusCode::UNSUPPORTED_MEDIA_TYPE, supported).into_response();
    };
    let stored = async {
        let compression = compression(request.headers())?;
        let body = receiver.read(request.into_body(), 0).await?;
        receiver.store(signal, body, 0, encoding, compression).await
    };
    match stored.await {
        Ok(rejected) => accepted(signal, encoding, rejected),
        Err(refusal) => {
            receiver.log(&refusal);
            refused(encoding, refusal)
        }
    }
}

fn encoding(headers: &HeaderMap) -> Option<Encoding> {
    let content_type = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    match content_type.split(';').next()?.trim().to_ascii_lowercase().as_str() {
        "application/x-protobuf" => Some(Encoding::Protobuf),
        "application/json" => Some(Encoding::Json),
        _ => None,
    }
}

fn compression(headers: &HeaderMap) -> Result<Compression, Refusal> {
    let supported = "supported content encodings: gzip, deflate, identity";
    match headers.get(CONTENT_ENCODING).map(|value| value.as_bytes()) {
        None | Some(b"" | b"identity") => Ok(Compression::None),
        Some(b"gzip") => Ok(Compression::Gzip),
        Some(b"deflate") => Ok(Compression::Deflate),
        Some(_) => Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, supported.to_owned())),
    }
}

/// The protobuf response is the same for all signals; in JSON the count has different names.
fn accepted(signal: Signal, encoding: Encoding, Rejected { count, reason }: Rejected) -> Response {
    let rejected = match signal {
        Signal::Traces => "rejectedSpans",
        Signal::Logs => "rejectedLogRecords",
        Signal::Metrics => "rejectedDataPoints",
    };
    let json = match count {
        0 => json!({"partialSuccess": {}}),
        _ => json!({"partialSuccess": {rejected: count.to_string(), "errorMessage": reason}}),
    };
    response(StatusCode::OK, encoding, &partial_success(Rejected { count, reason }), json)
}

/// The response in protobuf.
pub(crate) fn partial_success(Rejected { count, reason }: Rejected) -> ExportTraceServiceResponse {
    let partial = ExportTracePartialSuccess { rejected_spans: count as i64, error_message: reason };
    ExportTraceServiceResponse { partial_success: (count > 0).then_some(partial) }
}

fn refused(encoding: Encoding, (status, reason): Refusal) -> Response {
    let code = match status {
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::REQUEST_TIMEOUT => tonic::Code::Unavailable,
        _ => tonic::Code::InvalidArgument,
    };
    let json = json!({"code": code as i32, "message": reason});
    let message = Status { code: code as i32, message: reason, details: Vec::new() };
    let mut response = response(status, encoding, &message, json);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
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
    use crate::store::{Limits, Store};

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
            path in prop_oneof![Just("/v1/traces"), Just("/v1/logs"), Just("/v1/metrics")],
            content_type in prop_oneof![Just("application/json"), Just("application/x-protobuf"), Just("text/plain")],
            encoding in prop_oneof![Just("gzip"), Just("deflate"), Just("identity"), Just("br")],
        ) {
            let store = Arc::new(Store::new(Limits { spans: 4, bytes: 4096 }));
            let request = Request::post(path).header("content-type", content_type).header("content-encoding", encoding);
            let request = request.body(Body::from(body)).expect("a request");
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
            let status = runtime.block_on(app(Receiver::new(store.clone()), [].into()).oneshot(request)).expect("a response").status();
            prop_assert!([200, 400, 415].contains(&status.as_u16()), "{status}");
            prop_assert!(store.level().bytes <= 4096);
        }
    }
}
