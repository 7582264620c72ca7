//! Receives OTLP over gRPC: the methods `Export` of the services of traces, logs and metrics.
//!
//! tonic's server is not used: it unpacks and decodes each message as it arrives, before a handler could bound how many at
//! once. A request with one message is a prefix of five bytes and the message; the status is tonic's.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use axum::routing::post;
use http_body_util::{BodyExt, Full};
use prost::Message;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::body::{Compression, Held, Refusal};
use crate::ingest::partial_success;
use crate::origin::{self, Origins};
use crate::receive::{Encoding, Receiver, Rejected, Signal};

/// Before a message: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// When a client that was told so should send again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The receiver's methods.
pub(crate) fn app(receiver: Arc<Receiver>, origins: Origins) -> Router {
    let route = |signal| post(async move |State(receiver), request: Request| receive(receiver, signal, request).await);
    let routes = Router::new()
        .route("/opentelemetry.proto.collector.trace.v1.TraceService/Export", route(Signal::Traces))
        .route("/opentelemetry.proto.collector.logs.v1.LogsService/Export", route(Signal::Logs))
        .route("/opentelemetry.proto.collector.metrics.v1.MetricsService/Export", route(Signal::Metrics))
        .fallback(async || Status::unimplemented("supported: Export of traces, logs and metrics").into_http::<Body>())
        .with_state(receiver);
    origin::restrict(routes, origins)
}

async fn receive(receiver: Arc<Receiver>, signal: Signal, request: Request) -> Response {
    let stored = async {
        let compression = compression(request.headers())?;
        let body = receiver.read(request.into_body(), PREFIX).await?;
        let compression = if is_compressed(&body)? { compression } else { Compression::None };
        receiver.store(signal, body, PREFIX, Encoding::Protobuf, compression).await
    };
    match stored.await {
        Ok(rejected) => accepted(rejected),
        Err(refusal) => {
            receiver.log(&refusal);
            refused(refusal).into_http()
        }
    }
}

fn compression(headers: &HeaderMap) -> Result<Compression, Refusal> {
    match headers.get("grpc-encoding").map(|value| value.as_bytes()) {
        None | Some(b"identity") => Ok(Compression::None),
        Some(b"gzip") => Ok(Compression::Gzip),
        Some(b"deflate") => Ok(Compression::Deflate),
        Some(_) => {
            Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, "supported compressions: gzip, deflate, identity".to_owned()))
        }
    }
}

/// Reads the prefix.
fn is_compressed(body: &Held) -> Result<bool, Refusal> {
    if let Some(([compressed @ (0 | 1), a, b, c, d], message)) = body.bytes.split_first_chunk()
        && u32::from_be_bytes([*a, *b, *c, *d]) as usize == message.len()
    {
        return Ok(*compressed == 1);
    }
    Err((StatusCode::BAD_REQUEST, "the request is not one gRPC message".to_owned()))
}

fn accepted(rejected: Rejected) -> Response {
    let message = partial_success(rejected).encode_to_vec();
    let prefix = [[0; 1].as_slice(), &(message.len() as u32).to_be_bytes()].concat();
    let body = Full::new(Bytes::from([prefix, message].concat()));
    let trailers = HeaderMap::from_iter([(Status::GRPC_STATUS, HeaderValue::from_static("0"))]);
    let mut response = Response::new(Body::new(body.with_trailers(async { Some(Ok(trailers)) })));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

/// As the OTLP specification has it: only what is worth a retry has `UNAVAILABLE` and `RetryInfo`.
fn refused((status, reason): Refusal) -> Status {
    match status {
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::REQUEST_TIMEOUT => {
            Status::with_error_details(Code::Unavailable, reason, ErrorDetails::with_retry_info(Some(RETRY_AFTER)))
        }
        StatusCode::PAYLOAD_TOO_LARGE => Status::resource_exhausted(reason),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Status::unimplemented(reason),
        _ => Status::invalid_argument(reason),
    }
}
