//! Accepts connections within limits, and drains them.
//!
//! `axum::serve` has no limit for slow headers, slow readers or the number of connections. The services' own loop
//! (`service::serve`) has the phases of their probes, and no HTTP/2.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_io_timeout::TimeoutStream;
use tracing::{debug, warn};

use crate::long_head::LongHead;

/// Connections of all ports together; more wait until one ends. Each takes up to [`MAX_HEAD`].
const MAX_CONNECTIONS: u32 = 6_000;

/// A connection of HTTP/2 counts as so many: it holds a window of a body, and several streams.
const OF_HTTP2: u32 = 16;

/// Request line and headers together. hyper checks after reading, so it responds 431 somewhat beyond it.
const MAX_HEAD: usize = 16 << 10;

/// The same where a query may be part of the request line. A longer URL gets 414.
const MAX_LONG_HEAD: usize = 72 << 10;

/// What is sent to an HTTP/2 connection before it is read, as in the protocol's default.
const WINDOW: u32 = 65_535;

/// Requests at a time on one HTTP/2 connection; exporters send one.
const MAX_STREAMS: u32 = 8;

/// Bytes of the headers of one request. HTTP/2 counts 32 bytes more for each header than it has, and in memory a short
/// one takes ten times that.
const MAX_HEADERS: u32 = 8 << 10;

/// A client has this long to send its request line and headers, from its connection or its last response on.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection is closed when nothing is received, or nothing of a response is taken, for this long.
const IDLE: Duration = Duration::from_secs(30);

/// A client that takes nothing of a response for this long is gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// Which version of HTTP a port speaks.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Version {
    Http1,
    /// Queries in URLs, and no bodies.
    Http1LongHeads,
    Http2,
}

/// The connections of all ports.
pub(crate) struct Connections {
    places: Arc<Semaphore>,
    open: GracefulShutdown,
}

impl Connections {
    pub(crate) fn new() -> Self {
        Self { places: Arc::new(Semaphore::new(MAX_CONNECTIONS as usize)), open: GracefulShutdown::new() }
    }

    /// Accepts connections for ever.
    pub(crate) async fn accept(&self, listener: &TcpListener, router: &Router, version: Version) {
        let places = match version {
            Version::Http1 | Version::Http1LongHeads => 1,
            Version::Http2 => OF_HTTP2,
        };
        loop {
            let Ok(place) = self.places.clone().acquire_many_owned(places).await else { return };
            match listener.accept().await {
                Ok((stream, _)) => self.serve(stream, router.clone(), version, place),
                // Out of file descriptors, most likely: those of finished connections come back.
                Err(error) => {
                    warn!(error = error.to_string(), "Connection not accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    fn serve(&self, stream: TcpStream, router: Router, version: Version, place: OwnedSemaphorePermit) {
        // Responses are small: waiting to fill a packet (Nagle) would add up to 40 ms.
        let _ = stream.set_nodelay(true);
        let mut stream = TimeoutStream::new(stream);
        stream.set_read_timeout(Some(IDLE));
        stream.set_write_timeout(Some(WRITE_TIMEOUT));
        let (stream, service) = (Box::pin(stream), TowerToHyperService::new(router));
        let mut http1 = http1::Builder::new();
        http1.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
        match version {
            Version::Http1 => {
                http1.max_buf_size(MAX_HEAD);
                spawn(self.open.watch(http1.serve_connection(TokioIo::new(stream), service)), place);
            }
            Version::Http1LongHeads => {
                http1.max_buf_size(MAX_LONG_HEAD);
                let more = MAX_LONG_HEAD.div_ceil(MAX_HEAD) as u32;
                let stream = LongHead::new(stream, self.places.clone(), MAX_HEAD, more);
                spawn(self.open.watch(http1.serve_connection(TokioIo::new(stream), service)), place);
            }
            Version::Http2 => {
                let mut http2 = http2::Builder::new(TokioExecutor::new());
                http2.initial_stream_window_size(WINDOW).initial_connection_window_size(WINDOW);
                http2.max_concurrent_streams(MAX_STREAMS).max_header_list_size(MAX_HEADERS).timer(TokioTimer::new());
                spawn(self.open.watch(http2.serve_connection(TokioIo::new(stream), service)), place);
            }
        }
    }

    /// Ends idle connections, and waits for those with a request.
    pub(crate) async fn drain(self) {
        self.open.shutdown().await;
    }
}

fn spawn<E: ToString>(connection: impl Future<Output = Result<(), E>> + Send + 'static, place: OwnedSemaphorePermit) {
    // No span to lose: the viewer makes none of its own.
    #[allow(clippy::disallowed_methods)]
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            debug!(error = error.to_string(), "Connection ended");
        }
        drop(place);
    });
}
