//! Reads the body of an OTLP request: limited in size, in time, and in the memory of all bodies together.

use std::io::Read;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use flate2::read::MultiGzDecoder;
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;

/// Largest body in bytes, before and after decompression: about 20,000 spans, where exporters send 512 at a time.
const MAX_BODY: usize = 8 << 20;

/// A larger body is read and discarded up to this size. A client that still writes when the connection is closed would
/// not see the response.
const MAX_DISCARDED: usize = 64 << 20;

/// What all bodies that are being read may take together, in bytes.
pub(crate) const MAX_TOGETHER: usize = 64 << 20;

/// Time limit for the body, and before that for its share of the memory. Exporters give up after 10 s.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The two forms of an OTLP message over HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Protobuf,
    Json,
}

/// Status and reason of a request that is refused.
pub(crate) type Refusal = (StatusCode, String);

/// Reads the body and decompresses it. `memory` has a permit for each byte that bodies may take together.
///
/// # Errors
/// The body is too large, too slow, incomplete or not gzip, or there is no memory for it.
pub(crate) async fn read(request: Request, memory: &Semaphore) -> Result<Vec<u8>, Refusal> {
    let gzipped = is_gzipped(request.headers())?;
    let length = request.body().size_hint().exact().map_or(MAX_BODY, |length| length as usize);
    // A compressed body may become as large as is allowed.
    let needed = if gzipped { MAX_BODY } else { length.min(MAX_BODY) };
    let busy = |_| (StatusCode::SERVICE_UNAVAILABLE, "too many bodies at once; send it again".to_owned());
    let permit = tokio::time::timeout(TIMEOUT, memory.acquire_many(needed as u32)).await.map_err(busy)?;
    let _permit = permit.map_err(|_| (StatusCode::SERVICE_UNAVAILABLE, "stopping".to_owned()))?;

    let slow = |_| (StatusCode::REQUEST_TIMEOUT, "the body did not arrive within 10 s".to_owned());
    let body = tokio::time::timeout(TIMEOUT, collect(request.into_body())).await.map_err(slow)??;
    if gzipped { decompress(&body) } else { Ok(body) }
}

/// The message in protobuf.
///
/// # Errors
/// The body is not such a message in JSON.
pub(crate) fn protobuf<M: prost::Message + DeserializeOwned>(
    encoding: Encoding,
    body: Vec<u8>,
) -> Result<Vec<u8>, Refusal> {
    match encoding {
        Encoding::Protobuf => Ok(body),
        // serde would accept a list for a struct.
        Encoding::Json if !body.trim_ascii_start().starts_with(b"{") => Err(not_otlp("expected an object")),
        Encoding::Json => match serde_json::from_slice::<M>(&body) {
            Ok(message) => Ok(message.encode_to_vec()),
            Err(error) => Err(not_otlp(&error.to_string())),
        },
    }
}

/// The response to what is no OTLP message.
pub(crate) fn not_otlp(error: &str) -> Refusal {
    (StatusCode::BAD_REQUEST, format!("not an OTLP message: {error}"))
}

/// The encoding that the content type names.
pub(crate) fn encoding(headers: &HeaderMap) -> Option<Encoding> {
    let content_type = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    match content_type.split(';').next()?.trim().to_ascii_lowercase().as_str() {
        "application/x-protobuf" => Some(Encoding::Protobuf),
        "application/json" => Some(Encoding::Json),
        _ => None,
    }
}

fn is_gzipped(headers: &HeaderMap) -> Result<bool, Refusal> {
    match headers.get(CONTENT_ENCODING).map(|value| value.as_bytes()) {
        None | Some(b"" | b"identity") => Ok(false),
        Some(b"gzip") => Ok(true),
        Some(_) => Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, "supported content encodings: gzip, identity".to_owned())),
    }
}

async fn collect(mut body: Body) -> Result<Vec<u8>, Refusal> {
    let (mut kept, mut seen) = (Vec::new(), 0);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| (StatusCode::BAD_REQUEST, format!("the body broke off: {error}")))?;
        let data = frame.into_data().unwrap_or_default();
        seen += data.len();
        if seen <= MAX_BODY {
            kept.extend_from_slice(&data);
        } else if seen <= MAX_DISCARDED {
            kept = Vec::new();
        } else {
            break;
        }
    }
    if seen > MAX_BODY { Err(too_large()) } else { Ok(kept) }
}

fn decompress(gzipped: &[u8]) -> Result<Vec<u8>, Refusal> {
    let mut body = Vec::new();
    MultiGzDecoder::new(gzipped)
        .take(MAX_BODY as u64 + 1)
        .read_to_end(&mut body)
        .map_err(|error| (StatusCode::BAD_REQUEST, format!("the body is not gzip: {error}")))?;
    if body.len() > MAX_BODY { Err(too_large()) } else { Ok(body) }
}

fn too_large() -> Refusal {
    (StatusCode::PAYLOAD_TOO_LARGE, format!("the body is larger than {MAX_BODY} bytes"))
}
