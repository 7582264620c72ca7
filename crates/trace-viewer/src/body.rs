//! Reads the body of an OTLP request: limited in size, in time, and in the memory of all bodies together.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use flate2::bufread::GzDecoder;
use flate2::read::ZlibDecoder;
use http_body_util::BodyExt;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

/// Largest body in bytes, before and after decompression: about 20,000 spans, where exporters send 512 at a time.
pub(crate) const MAX_BODY: usize = 8 << 20;

/// A larger body is read and discarded up to this size. A client that still writes when the connection is closed would
/// not see the response.
const MAX_DISCARDED: usize = 64 << 20;

/// What all bodies that are being read, or wait to be decoded, may take together, in bytes.
const MAX_TOGETHER: usize = 32 << 20;

/// Parts of a body that are gzipped each for itself (RFC 1952, section 2.2); encoders write one.
const MOST_MEMBERS: usize = 1000;

/// Time limit for the body. Exporters give up after 10 s.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How long a body waits for memory; when one waits, those that have not arrived in this time give up theirs.
const PATIENCE: Duration = Duration::from_millis(500);

/// Status and reason of a request that is refused.
pub(crate) type Refusal = (StatusCode, String);

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gzip,
    /// With the header of zlib, as HTTP means it (RFC 9110, section 8.4.1.2).
    Deflate,
}

/// The memory of all bodies.
pub(crate) struct Memory {
    /// A permit for each byte.
    bytes: Arc<Semaphore>,
    is_short: Notify,
}

/// A body, and its share of the memory until it is dropped.
pub(crate) struct Held {
    pub(crate) bytes: Vec<u8>,
    _share: Option<OwnedSemaphorePermit>,
}

impl Default for Memory {
    fn default() -> Self {
        Self { bytes: Arc::new(Semaphore::new(MAX_TOGETHER)), is_short: Notify::new() }
    }
}

impl Memory {
    /// Reads a body of at most `limit` bytes. It takes memory only for what has arrived, so that a slow sender does not
    /// hold what others need.
    ///
    /// # Errors
    /// The body is too large, too slow or incomplete, or there is no memory for it.
    pub(crate) async fn read(&self, mut body: Body, limit: usize) -> Result<Held, Refusal> {
        let start = Instant::now();
        let (mut kept, mut share, mut seen) = (Vec::new(), None::<OwnedSemaphorePermit>, 0);
        loop {
            let frame = tokio::select! {
                frame = timeout_at(start + TIMEOUT, body.frame()) => frame.map_err(|_| slow())?,
                () = self.is_short.notified(), if share.is_some() && start.elapsed() > PATIENCE => return Err(busy()),
            };
            let Some(frame) = frame else { break };
            let frame = frame.map_err(|error| (StatusCode::BAD_REQUEST, format!("the body broke off: {error}")))?;
            let data = frame.into_data().unwrap_or_default();
            seen += data.len();
            if seen <= limit {
                let more = self.take(data.len()).await?;
                match &mut share {
                    Some(share) => share.merge(more),
                    None => share = Some(more),
                }
                kept.extend_from_slice(&data);
            } else if seen <= MAX_DISCARDED {
                (kept, share) = (Vec::new(), None);
            } else {
                break;
            }
        }
        if seen > limit { Err(too_large(limit)) } else { Ok(Held { bytes: kept, _share: share }) }
    }

    async fn take(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Refusal> {
        // A frame is far smaller than the memory of all.
        let bytes = bytes as u32;
        if let Ok(share) = self.bytes.clone().try_acquire_many_owned(bytes) {
            return Ok(share);
        }
        self.is_short.notify_waiters();
        match timeout(PATIENCE, self.bytes.clone().acquire_many_owned(bytes)).await {
            Ok(Ok(share)) => Ok(share),
            _ => Err(busy()),
        }
    }
}

/// Decompresses a body.
///
/// # Errors
/// It becomes too large, or is not so compressed.
pub(crate) fn unpack(packed: &[u8], compression: Compression) -> Result<Vec<u8>, Refusal> {
    let (mut body, most) = (Vec::new(), MAX_BODY as u64 + 1);
    let (read, name) = match compression {
        Compression::None => (Ok(0), ""),
        Compression::Gzip => (gunzip(packed, &mut body, most), "gzip"),
        Compression::Deflate => (ZlibDecoder::new(packed).take(most).read_to_end(&mut body), "deflate"),
    };
    read.map_err(|error| (StatusCode::BAD_REQUEST, format!("the body is not {name}: {error}")))?;
    if body.len() > MAX_BODY { Err(too_large(MAX_BODY)) } else { Ok(body) }
}

/// As `MultiGzDecoder` does, but bounded: each member takes microseconds, however little is in it.
fn gunzip(mut packed: &[u8], body: &mut Vec<u8>, most: u64) -> io::Result<usize> {
    for _ in 0..MOST_MEMBERS {
        GzDecoder::new(&mut packed).take(most - body.len() as u64).read_to_end(body)?;
        if packed.is_empty() || body.len() as u64 == most {
            return Ok(body.len());
        }
    }
    Err(io::Error::other("too many members"))
}

fn busy() -> Refusal {
    (StatusCode::SERVICE_UNAVAILABLE, "too many bodies at once; send it again".to_owned())
}

fn slow() -> Refusal {
    (StatusCode::REQUEST_TIMEOUT, "the body did not arrive within 10 s".to_owned())
}

fn too_large(limit: usize) -> Refusal {
    (StatusCode::PAYLOAD_TOO_LARGE, format!("the body is larger than {limit} bytes"))
}
