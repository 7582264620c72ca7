//! Lets a request line be long: a query of TraceQL is part of it. What is read beyond an ordinary one takes places of
//! other connections, so that long heads sent on all connections stay within the same memory.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A connection whose requests have no body, and may have a long head.
pub(crate) struct LongHead<S> {
    stream: S,
    /// Bytes that a connection may send for the place that it has.
    ordinary: usize,
    /// Places that a long head takes.
    more: u32,
    places: Arc<Semaphore>,
    received: usize,
    taken: Option<OwnedSemaphorePermit>,
}

impl<S> LongHead<S> {
    pub(crate) fn new(stream: S, places: Arc<Semaphore>, ordinary: usize, more: u32) -> Self {
        Self { stream, ordinary, more, places, received: 0, taken: None }
    }

    /// The head was read.
    fn responds(&mut self) {
        self.received = 0;
        self.taken = None;
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for LongHead<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.received += buffer.filled().len() - before;
        if self.received > self.ordinary && self.taken.is_none() {
            let taken = self.places.clone().try_acquire_many_owned(self.more);
            self.taken = Some(taken.map_err(|_| io::Error::other("too many connections for a long request"))?);
        }
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for LongHead<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.responds();
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.responds();
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    /// Without it hyper copies each piece of a response.
    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
