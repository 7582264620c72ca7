//! Responses while they are made and sent: their memory together is bounded, however many processors make them, and also
//! when clients read slowly or not at all.
//!
//! A text counts from its first byte on until it has been sent. A large trace is written piece by piece as the client
//! reads; that counts with the size of the trace, which the store may drop meanwhile.

use std::convert::Infallible;
use std::io::{self, BufWriter, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use hyper::body::{Frame, SizeHint};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// What all responses that are being made or sent may take, in bytes. A larger one is sent when no other is.
const MOST_BYTES: usize = 12 << 20;

/// Smaller responses are always sent; the number of connections bounds them.
const SMALL: usize = 16 << 10;

/// Bytes in one piece of a body that is written while it is read.
const PIECE: usize = 32 << 10;

/// The longest text.
pub(crate) const LONGEST_TEXT: usize = 8 << 20;

/// The memory of responses.
#[derive(Clone)]
pub(crate) struct Sending(Arc<Semaphore>);

/// Why a response is not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// 503: too many responses wait for their readers.
    Busy,
    /// It would be longer than [`LONGEST_TEXT`].
    TooLong,
}

/// A response that was counted when it was made.
#[derive(Clone)]
struct Counted;

pub(crate) const BUSY: &str = "too many responses are being sent; try again";

impl IntoResponse for Full {
    fn into_response(self) -> Response {
        match self {
            Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "1")], BUSY).into_response(),
            Self::TooLong => (StatusCode::BAD_REQUEST, too_long()).into_response(),
        }
    }
}

pub(crate) fn too_long() -> String {
    format!("the response has more than {LONGEST_TEXT} bytes")
}

impl Sending {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(MOST_BYTES)))
    }

    /// A share for a response of so many bytes.
    ///
    /// # Errors
    /// Others have too much.
    pub(crate) fn share(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Full> {
        self.0.clone().try_acquire_many_owned(bytes.min(MOST_BYTES) as u32).map_err(|_| Full::Busy)
    }

    /// A body that is written, on a thread of its own, while it is read.
    pub(crate) fn body(
        write: impl FnOnce(&mut dyn Write) -> io::Result<()> + Send + 'static,
        share: OwnedSemaphorePermit,
    ) -> Body {
        let (sender, receiver) = mpsc::channel(1);
        tokio::task::spawn_blocking(move || {
            let mut out = BufWriter::with_capacity(PIECE, Pieces(sender));
            // It fails where the client has left; there is nobody to tell.
            let _ = write(&mut out).and_then(|()| out.flush());
        });
        let next = async |(mut receiver, share): (mpsc::Receiver<Bytes>, OwnedSemaphorePermit)| {
            receiver.recv().await.map(|piece| (Ok::<_, Infallible>(piece), (receiver, share)))
        };
        Body::from_stream(futures::stream::unfold((receiver, share), next))
    }
}

/// Writes into a body that is being read.
struct Pieces(mpsc::Sender<Bytes>);

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let piece = Bytes::copy_from_slice(&bytes[..bytes.len().min(PIECE)]);
        let length = piece.len();
        self.0.blocking_send(piece).map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A text in JSON that is being made.
pub(crate) struct Text {
    sending: Sending,
    bytes: Vec<u8>,
    share: Option<OwnedSemaphorePermit>,
    full: Option<Full>,
}

impl Text {
    pub(crate) fn new(sending: &Sending) -> Self {
        Self { sending: sending.clone(), bytes: Vec::new(), share: None, full: None }
    }

    /// Writes `text` as it is.
    ///
    /// # Errors
    /// There is no memory for it.
    pub(crate) fn push(&mut self, text: &str) -> Result<(), Full> {
        self.reserve(text.len())?;
        self.bytes.extend_from_slice(text.as_bytes());
        Ok(())
    }

    /// Writes a value.
    ///
    /// # Errors
    /// There is no memory for it.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> Result<(), Full> {
        self.fill(|out| Ok(serde_json::to_writer(out, value)?))
    }

    /// Writes what `write` writes.
    ///
    /// # Errors
    /// There is no memory for it.
    pub(crate) fn fill(&mut self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Full> {
        write(self).map_err(|_| self.full.unwrap_or(Full::TooLong))
    }

    /// Writes an object, and in it a list whose items are written one by one: as one value it would take many times the
    /// memory of its text. Items for which there is no place in [`LONGEST_TEXT`] are left out.
    ///
    /// # Errors
    /// There is no memory for it.
    pub(crate) fn object_with_list<T: Serialize>(
        &mut self,
        object: &impl Serialize,
        name: &str,
        items: impl Iterator<Item = T>,
    ) -> Result<(), Full> {
        self.json(object)?;
        self.bytes.pop();
        self.push(&format!(r#","{name}":["#))?;
        for (i, item) in items.enumerate() {
            let before = self.bytes.len();
            let written = self.push(if i == 0 { "" } else { "," }).and_then(|()| self.json(&item));
            if written == Err(Full::TooLong) || self.bytes.len() + SMALL > LONGEST_TEXT {
                self.bytes.truncate(before);
                break;
            }
            written?;
        }
        self.push("]}")
    }

    fn reserve(&mut self, more: usize) -> Result<(), Full> {
        let (needed, capacity) = (self.bytes.len() + more, self.bytes.capacity());
        if needed > LONGEST_TEXT {
            self.full = Some(Full::TooLong);
            return Err(Full::TooLong);
        }
        if needed > capacity {
            let wanted = needed.max(2 * capacity).clamp(SMALL, LONGEST_TEXT);
            if wanted > SMALL {
                let share = self.sending.share(wanted - capacity).inspect_err(|full| self.full = Some(*full))?;
                match &mut self.share {
                    Some(before) => before.merge(share),
                    None => self.share = Some(share),
                }
            }
            self.bytes.reserve_exact(wanted - self.bytes.len());
        }
        Ok(())
    }
}

impl Write for Text {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.reserve(bytes.len()).map_err(|_| io::ErrorKind::OutOfMemory)?;
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl IntoResponse for Text {
    fn into_response(self) -> Response {
        let body = Body::new(Whole { bytes: Some(Bytes::from(self.bytes)), _share: self.share });
        let mut response = ([(CONTENT_TYPE, "application/json")], body).into_response();
        response.extensions_mut().insert(Counted);
        response
    }
}

/// Counts the responses of `routes` that are ready and were not counted before.
pub(crate) fn bounded(routes: Router, sending: Sending) -> Router {
    routes.layer(from_fn_with_state(sending, async |State(sending): State<Sending>, request: Request, next: Next| {
        let (parts, body) = next.run(request).await.into_parts();
        let size = body.size_hint().exact().filter(|size| *size > SMALL as u64);
        let Some(size) = size.filter(|_| parts.extensions.get::<Counted>().is_none()) else {
            return Response::from_parts(parts, body);
        };
        let share = match sending.share(size as usize) {
            Ok(share) => Some(share),
            Err(full) => return full.into_response(),
        };
        // It is there already, so this does not wait.
        let Ok(body) = axum::body::to_bytes(body, usize::MAX).await else { return Full::Busy.into_response() };
        Response::from_parts(parts, Body::new(Whole { bytes: Some(body), _share: share }))
    }))
}

/// A body, with its share of the memory.
struct Whole {
    bytes: Option<Bytes>,
    _share: Option<OwnedSemaphorePermit>,
}

impl HttpBody for Whole {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.bytes.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One more piece of a mebibyte.
    fn grow(text: &mut Text) -> Result<(), Full> {
        text.push(&"x".repeat(1 << 20))
    }

    #[test]
    fn texts_that_are_made_at_once_are_within_the_bound_together() {
        let sending = Sending::new();
        let mut texts: Vec<Text> = (0..64).map(|_| Text::new(&sending)).collect();
        let mut refused = 0;
        for _ in 0..4 {
            refused += texts.iter_mut().filter_map(|text| grow(text).err()).filter(|full| *full == Full::Busy).count();
            let held: usize = texts.iter().map(|text| text.bytes.capacity()).sum();
            assert!(held <= MOST_BYTES + 64 * SMALL, "{held}");
        }
        assert!(refused > 200, "{refused} of 256 found no memory");
        drop(texts);
        assert_eq!(grow(&mut Text::new(&sending)), Ok(()), "the memory is free again");
    }

    #[test]
    fn text_that_gets_too_long_is_refused_and_a_list_in_it_cut() {
        let sending = Sending::new();
        let mut text = Text::new(&sending);
        assert!((0..7).all(|_| grow(&mut text) == Ok(())));
        assert_eq!((0..3).map(|_| grow(&mut text)).last(), Some(Err(Full::TooLong)));
        drop(text);
        let mut text = Text::new(&sending);
        let item = "x".repeat(1000);
        assert_eq!(text.object_with_list(&serde_json::json!({"a": 1}), "b", std::iter::repeat(&item)), Ok(()));
        assert!(text.bytes.len() <= LONGEST_TEXT);
        let object: serde_json::Value = serde_json::from_slice(&text.bytes).expect("JSON");
        assert!(object["b"].as_array().is_some_and(|list| list.len() > 8000 && list[0] == item));
    }
}
