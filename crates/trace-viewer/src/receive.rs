//! What happens to a message, whichever way it came: its size is checked, then how much is in it, then it is decoded and
//! stored.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use tokio::sync::Mutex;
use tokio::time::timeout;
use tracing::{info, warn};

use crate::body::{self, Compression, Held, MAX_BODY, Memory, Refusal};
use crate::check;
use crate::decode::Decoder;
use crate::json;
use crate::log::LogLimit;
use crate::schema::{self, Message};
use crate::store::Store;
use crate::wire::Malformed;

/// A reason is cut to this length: it may quote what was sent.
const LONGEST_REASON: usize = 300;

/// How long a message waits for those before it; then its sender is told to send it again.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a message is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    Traces,
    Logs,
    /// Dropped: SDKs send them by default, and must not log an error for it.
    Metrics,
}

/// How a message is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Protobuf,
    Json,
}

/// What a valid message has that was not stored.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Rejected {
    pub(crate) count: usize,
    pub(crate) reason: String,
}

/// Receives messages into the store.
pub(crate) struct Receiver {
    store: Arc<Store>,
    memory: Memory,
    /// One message is decoded at a time: what it takes while it is decoded is not in the store's limit.
    decoder: Arc<Mutex<Decoder>>,
    warnings: LogLimit,
}

impl Receiver {
    pub(crate) fn new(store: Arc<Store>) -> Arc<Self> {
        let (memory, decoder, warnings) = (Memory::default(), Arc::default(), LogLimit::default());
        Arc::new(Self { store, memory, decoder, warnings })
    }

    /// Reads a body whose message, after `prefix` bytes, is at most as large as is allowed.
    pub(crate) async fn read(&self, body: Body, prefix: usize) -> Result<Held, Refusal> {
        self.memory.read(body, MAX_BODY + prefix).await
    }

    /// Stores the message in `body` from byte `prefix` on.
    ///
    /// # Errors
    /// It is not such a message, or too much.
    pub(crate) async fn store(
        &self,
        signal: Signal,
        body: Held,
        prefix: usize,
        encoding: Encoding,
        compression: Compression,
    ) -> Result<Rejected, Refusal> {
        let schema = match signal {
            Signal::Traces => &schema::TRACES,
            Signal::Logs => &schema::LOGS,
            Signal::Metrics => {
                if self.store.note_metrics() {
                    info!("Metrics are received and dropped: the viewer shows traces and log records");
                }
                return Ok(Rejected::default());
            }
        };
        let store = self.store.clone();
        let Ok(mut decoder) = timeout(PATIENCE, self.decoder.clone().lock_owned()).await else {
            return Err((StatusCode::SERVICE_UNAVAILABLE, "too many messages at once; send it again".to_owned()));
        };
        let work = move || {
            // The share of the memory is given back when the message is stored.
            let body = body;
            let message = protobuf(&body.bytes[prefix..], schema, encoding, compression)?;
            let message = message.as_deref().unwrap_or(&body.bytes[prefix..]);
            check::check(message, schema).map_err(|Malformed(error)| not_otlp(error))?;
            let stored = match signal {
                Signal::Traces => decoder.traces(message, &store),
                _ => decoder.logs(message, &store),
            };
            stored.map_err(|Malformed(error)| not_otlp(error))
        };
        let stored = tokio::task::spawn_blocking(work).await;
        let stored = stored.map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))??;
        if stored.kept == 0 && stored.refused == 0 && stored.without_id > 0 {
            let reason = "trace ids must be 128 bit and span ids 64 bit, neither all zero";
            return Err((StatusCode::BAD_REQUEST, reason.to_owned()));
        }
        let reasons = [
            (stored.without_id, "have no usable trace id or span id"),
            (stored.refused, "belong to a trace that has its share of the store"),
        ];
        let reasons = reasons.iter().filter(|(count, _)| *count > 0).map(|(count, reason)| format!("{count} {reason}"));
        let reason = reasons.collect::<Vec<_>>().join(", ");
        Ok(Rejected { count: stored.refused + stored.without_id, reason })
    }

    /// Logs that a message was refused, now and then.
    pub(crate) fn log(&self, (status, reason): &Refusal) {
        if let Some(held_back) = self.warnings.due() {
            warn!(status = status.as_u16(), error = reason, held_back, "Message refused");
        }
    }
}

/// The message in protobuf, without compression; `None` if it is that already.
fn protobuf(
    body: &[u8],
    schema: &'static Message,
    encoding: Encoding,
    compression: Compression,
) -> Result<Option<Vec<u8>>, Refusal> {
    let unpacked = match compression {
        Compression::None => None,
        _ => Some(body::unpack(body, compression)?),
    };
    match encoding {
        Encoding::Protobuf => Ok(unpacked),
        Encoding::Json => match json::to_protobuf(unpacked.as_deref().unwrap_or(body), schema) {
            Ok(message) => Ok(Some(message)),
            Err(error) => Err(not_otlp(&error.to_string())),
        },
    }
}

fn not_otlp(error: &str) -> Refusal {
    let end = error.char_indices().nth(LONGEST_REASON).map_or(error.len(), |(end, _)| end);
    (StatusCode::BAD_REQUEST, format!("not an OTLP message: {}", &error[..end]))
}
