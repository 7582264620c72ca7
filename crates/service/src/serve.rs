//! Listening and draining: bind, accept, serve, stop accepting, finish what is in flight.
//!
//! `axum::serve` drains without a deadline (one half-sent header holds it up for ever) and waits for slow senders and
//! slow readers without limit, so connections are accepted here.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::extract::ConnectInfo;
use axum::response::Response;
use http::{HeaderValue, header};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio_io_timeout::TimeoutStream;
use tower::ServiceExt;

use crate::probes::{Phase, Phases};

/// A client has this long to send its request line and headers, from its connection or its last response on.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// The connection of a client that takes nothing of a response for this long is closed.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Request line and headers together. hyper checks after reading, so it responds 431 somewhat beyond it.
const MAX_HEAD: usize = 64 << 10;

/// Between the start of the drain and the end of idle connections. A request that was on its way is read in this time,
/// and its response says `connection: close`; without it hyper would end a connection whose request it has not looked at
/// yet.
const LINGER: Duration = Duration::from_millis(200);

/// Binds `host:port`; port 0 takes any free one.
///
/// # Errors
/// With the address and what to do, when it is taken or not of this machine.
pub async fn bind(host: &str, port: u16) -> anyhow::Result<TcpListener> {
    TcpListener::bind((host, port)).await.with_context(|| {
        format!("cannot listen on {host}:{port}: choose another with PORT and HOST, or stop what listens there")
    })
}

/// Resolves at the first SIGTERM, SIGINT or SIGHUP (its terminal was closed). After `nohup`, SIGHUP stays ignored.
///
/// # Errors
/// When the operating system refuses a handler.
pub fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut hang_up = if ignores_hang_up() { None } else { Some(signal(SignalKind::hangup())?) };
    Ok(async move {
        let hung_up = async {
            match &mut hang_up {
                Some(hang_up) => hang_up.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = terminate.recv() => (),
            _ = interrupt.recv() => (),
            _ = hung_up => (),
        }
    })
}

/// Whether SIGHUP was ignored when this process started: a handler would undo what `nohup` did.
#[cfg(target_os = "linux")]
fn ignores_hang_up() -> bool {
    let ignored = procfs::process::Process::myself().and_then(|process| process.status()).map(|status| status.sigign);
    ignored.is_ok_and(|ignored| ignored & 1 != 0) // bit 0 is signal 1
}

/// Only Linux tells without unsafe code.
#[cfg(not(target_os = "linux"))]
fn ignores_hang_up() -> bool {
    false
}

/// A router and its open connections.
pub(crate) struct Server {
    pub(crate) router: Router,
    pub(crate) phases: Phases,
    /// How long it still accepts connections after the stop.
    pub(crate) delay: Duration,
    /// How long requests in flight may then take.
    pub(crate) grace: Duration,
    pub(crate) connections: GracefulShutdown,
}

impl Server {
    /// Serves until `stop` resolves, then drains.
    pub(crate) async fn run(self, listener: TcpListener, stop: impl Future<Output = ()>) {
        self.phases.begin(Phase::Ready);
        self.accept_until(&listener, stop).await;
        self.phases.begin(Phase::Leaving);
        self.accept_until(&listener, tokio::time::sleep(self.delay)).await;
        self.phases.begin(Phase::Draining);
        self.accept_waiting(listener);

        tracing::info!(name: "service.draining", connections = self.connections.count(), "Draining");
        let drained = async {
            tokio::time::sleep(LINGER).await;
            self.connections.shutdown().await;
        };
        if tokio::time::timeout(self.grace, drained).await.is_err() {
            tracing::warn!(
                name: "service.requests.cut_off",
                grace_ms = self.grace.as_millis() as i64,
                "Requests were cut off: they did not finish within SHUTDOWN_GRACE_MS"
            );
        }
    }

    async fn accept_until(&self, listener: &TcpListener, end: impl Future<Output = ()>) {
        tokio::pin!(end);
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => self.serve_connection(stream, peer),
                    // Out of file descriptors, most likely: those of finished connections come back.
                    Err(error) => {
                        tracing::warn!(name: "connection.not_accepted", error = error.to_string(), "Connection not accepted");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
                () = &mut end => return,
            }
        }
    }

    /// Stops listening. Clients whose connection waits to be accepted have sent their request already; dropped with the
    /// listener, it would be reset.
    fn accept_waiting(&self, listener: TcpListener) {
        let Ok(listener) = listener.into_std() else { return };
        // It does not block: an error where none waits.
        while let Ok((stream, peer)) = listener.accept() {
            if let Ok(stream) = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream)) {
                self.serve_connection(stream, peer);
            }
        }
    }

    fn serve_connection(&self, stream: TcpStream, peer: SocketAddr) {
        // Responses are small: waiting to fill a packet (Nagle) would add up to 40 ms.
        let _ = stream.set_nodelay(true);
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(WRITE_TIMEOUT));
        let router = self.router.clone().map_request(move |mut request: http::Request<hyper::body::Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            request.map(axum::body::Body::new)
        });
        let phases = self.phases.clone();
        let router = router.map_response(move |mut response: Response| {
            // In the delay too: a load balancer chooses for new connections only, so a client that keeps its own would stay.
            if phases.is_stopping() {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            response
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .max_buf_size(MAX_HEAD)
            .serve_connection(TokioIo::new(Box::pin(stream)), TowerToHyperService::new(router));
        let connection = self.connections.watch(connection);
        // No span to lose: `telemetry::trace` opens one for each request of the connection.
        #[allow(clippy::disallowed_methods)]
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = error.to_string(), "Connection ended");
            }
        });
    }
}
