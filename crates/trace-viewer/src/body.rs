//! Reads the body of an OTLP request within limits: so large, so long, and so much of all bodies together.

use std::io::Read;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use flate2::read::MultiGzDecoder;
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;

/// Largest body in bytes, sent or unpacked: about 20,000 spans, where exporters send 512 at a time.
pub(crate) const MAX_BODY: usize = 8 << 20;

/// How far beyond the limit a body is still read, and thrown away: an answer that is sent while the other side still
/// writes would be lost with the connection.
const MAX_DISCARDED: usize = 64 << 20;

/// What all bodies that are being read may take together, in bytes.
const MAX_TOGETHER: usize = 64 << 20;

/// How long a sender may take, also to wait for its turn. Exporters give up after 10 s.
const PATIENCE: Duration = Duration::from_secs(10);

/// How a message is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Protobuf,
    Json,
}

/// Why a body is not taken.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) reason: String,
}

/// The gate that bodies come through.
pub(crate) struct Gate {
    room: Semaphore,
}

impl Default for Gate {
    fn default() -> Self {
        Self { room: Semaphore::new(MAX_TOGETHER) }
    }
}

impl Gate {
    /// Reads a body, unpacked.
    ///
    /// # Errors
    /// Status and reason to answer with.
    pub(crate) async fn read(&self, request: Request) -> Result<Vec<u8>, Refusal> {
        let gzipped = is_gzipped(request.headers())?;
        let announced = request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        // A packed body, or one of unknown length, may become as large as is allowed.
        let needed = announced.filter(|_| !gzipped).unwrap_or(MAX_BODY).min(MAX_BODY);
        let late = |_| refuse(StatusCode::SERVICE_UNAVAILABLE, "too many bodies at once; send it again");
        let turn = tokio::time::timeout(PATIENCE, self.room.acquire_many(needed as u32)).await.map_err(late)?;
        let _room = turn.map_err(|_| refuse(StatusCode::SERVICE_UNAVAILABLE, "stopping"))?;

        let slow = |_| refuse(StatusCode::REQUEST_TIMEOUT, "the body did not arrive within 10 s");
        let body = tokio::time::timeout(PATIENCE, collect(request.into_body())).await.map_err(slow)??;
        if gzipped { unpack(&body) } else { Ok(body) }
    }
}

/// Takes a message apart.
///
/// # Errors
/// It is not one.
pub(crate) fn decode<M: prost::Message + Default + DeserializeOwned>(
    encoding: Encoding,
    body: &[u8],
) -> Result<M, Refusal> {
    let decoded = match encoding {
        Encoding::Protobuf => M::decode(body).map_err(|error| error.to_string()),
        // serde would take a list for a message.
        Encoding::Json if !body.trim_ascii_start().starts_with(b"{") => Err("expected an object".to_owned()),
        Encoding::Json => serde_json::from_slice(body).map_err(|error| error.to_string()),
    };
    decoded.map_err(|error| refuse(StatusCode::BAD_REQUEST, format!("not an OTLP message: {error}")))
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
        Some(_) => Err(refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, "supported content encodings: gzip, identity")),
    }
}

async fn collect(mut body: Body) -> Result<Vec<u8>, Refusal> {
    let (mut kept, mut seen) = (Vec::new(), 0);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| refuse(StatusCode::BAD_REQUEST, format!("the body broke off: {error}")))?;
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

fn unpack(packed: &[u8]) -> Result<Vec<u8>, Refusal> {
    let mut body = Vec::new();
    let mut unpacking = MultiGzDecoder::new(packed).take(MAX_BODY as u64 + 1);
    unpacking
        .read_to_end(&mut body)
        .map_err(|error| refuse(StatusCode::BAD_REQUEST, format!("the body is not gzip: {error}")))?;
    if body.len() > MAX_BODY { Err(too_large()) } else { Ok(body) }
}

fn too_large() -> Refusal {
    refuse(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is larger than {MAX_BODY} bytes"))
}

fn refuse(status: StatusCode, reason: impl Into<String>) -> Refusal {
    Refusal { status, reason: reason.into() }
}
