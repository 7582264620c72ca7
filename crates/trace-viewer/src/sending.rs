//! Responses while they are sent: their memory together is bounded, also when clients read slowly or not at all.
//!
//! A response that is ready counts with its size until it has been sent. The spans of a trace are written piece by piece as
//! the client reads; that counts with the size of the trace, which the store may drop meanwhile.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use hyper::body::{Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What all responses that are being sent may take, in bytes. A larger one is sent when no other is.
const MOST_BYTES: usize = 12 << 20;

/// Smaller responses are always sent; the number of connections bounds them.
const SMALL: usize = 16 << 10;

/// The memory of responses.
#[derive(Clone)]
pub(crate) struct Sending(Arc<Semaphore>);

/// 503: too many responses wait for their readers.
#[derive(Debug)]
pub(crate) struct Busy;

impl IntoResponse for Busy {
    fn into_response(self) -> Response {
        let reason = "too many responses are being sent; try again";
        (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "1")], reason).into_response()
    }
}

impl Sending {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(MOST_BYTES)))
    }

    /// A share for a response of so many bytes.
    ///
    /// # Errors
    /// Others have too much.
    pub(crate) fn share(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Busy> {
        self.0.clone().try_acquire_many_owned(bytes.min(MOST_BYTES) as u32).map_err(|_| Busy)
    }

    /// A body that is made while it is read.
    pub(crate) fn body(pieces: impl Iterator<Item = Vec<u8>> + Send + 'static, share: OwnedSemaphorePermit) -> Body {
        Body::new(Pieces { pieces: Box::new(pieces.map(Bytes::from)), left: None, _share: share })
    }
}

/// Counts the responses of `routes` that are ready.
pub(crate) fn bounded(routes: Router, sending: Sending) -> Router {
    routes.layer(from_fn_with_state(sending, async |State(sending): State<Sending>, request: Request, next: Next| {
        let (parts, body) = next.run(request).await.into_parts();
        let Some(size) = body.size_hint().exact().filter(|size| *size > SMALL as u64) else {
            return Response::from_parts(parts, body);
        };
        let Ok(share) = sending.share(size as usize) else { return Busy.into_response() };
        // It is there already, so this does not wait.
        let Ok(body) = axum::body::to_bytes(body, usize::MAX).await else { return Busy.into_response() };
        let body = Pieces { pieces: Box::new(std::iter::once(body)), left: Some(size), _share: share };
        Response::from_parts(parts, Body::new(body))
    }))
}

/// A body in pieces, with its share of the memory.
struct Pieces {
    pieces: Box<dyn Iterator<Item = Bytes> + Send>,
    /// The size of what follows, if it is known.
    left: Option<u64>,
    _share: OwnedSemaphorePermit,
}

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.pieces.next();
        if let (Some(left), Some(piece)) = (&mut self.left, &piece) {
            *left -= piece.len() as u64;
        }
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map(SizeHint::with_exact).unwrap_or_default()
    }
}
