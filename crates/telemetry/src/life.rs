//! A service's life: bind, serve, stop taking work, finish what is in flight, leave.
//!
//! `axum::serve` drains without a deadline (one half-sent header holds it up for ever) and waits for slow senders and
//! slow readers without limit, so connections are accepted here.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::extract::ConnectInfo;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio_io_timeout::TimeoutStream;
use tower::ServiceExt;

/// A client has this long to send its request line and headers, from its connection or its last answer on.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// After this long without a request our own clients give a connection up: well before the other side ends it, for a
/// request that is sent at that very moment is lost.
pub(crate) const CLIENT_IDLE: Duration = Duration::from_secs(5);
/// A client that takes nothing of an answer for this long has its connection ended.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Request line and headers together. hyper looks after it has read, so it answers 431 somewhat beyond it.
const MAX_HEAD: usize = 64 << 10;

/// Between the stop and the end of idle connections. A request that was on its way is read in this time, and its answer
/// says `connection: close`; without it hyper would end a connection whose request it has not looked at yet.
const LINGER: Duration = Duration::from_millis(200);

/// Whether this process wants work: started and not draining. `/ready` reads it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Readiness {
    ready: Arc<AtomicBool>,
    draining: Arc<AtomicBool>,
}

impl Readiness {
    /// `GET /ready`. It asks no neighbour: one failure must not take all services out.
    pub(crate) fn answer(&self) -> Response {
        if self.draining.load(Ordering::Relaxed) {
            (StatusCode::SERVICE_UNAVAILABLE, "draining: this process is stopping").into_response()
        } else if self.ready.load(Ordering::Relaxed) {
            "ready".into_response()
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, "starting: this process is not serving yet").into_response()
        }
    }
}

/// Binds `host:port`; port 0 takes any free one.
///
/// # Errors
/// With the address and what to do, when it is taken or not of this machine.
pub async fn bind(host: &str, port: u16) -> anyhow::Result<TcpListener> {
    TcpListener::bind((host, port)).await.with_context(|| {
        format!("cannot listen on {host}:{port}: choose another with PORT and HOST, or stop what listens there")
    })
}

/// Serves `app` on `listener` until `stop` resolves, then drains for at most `grace`.
pub(crate) async fn serve(
    listener: TcpListener,
    app: Router,
    readiness: Readiness,
    grace: Duration,
    stop: impl Future<Output = ()>,
) {
    let connections = GracefulShutdown::new();
    readiness.ready.store(true, Ordering::Relaxed);
    tokio::pin!(stop);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => serve_connection(stream, peer, app.clone(), &readiness, &connections),
                // Out of file descriptors, most likely: those of finished connections come back.
                Err(error) => {
                    tracing::warn!(error = error.to_string(), "Connection not accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            () = &mut stop => break,
        }
    }
    readiness.draining.store(true, Ordering::Relaxed);
    accept_waiting(listener, &app, &readiness, &connections);
    tracing::info!(connections = connections.count(), "Draining");
    let drained = async {
        tokio::time::sleep(LINGER).await;
        connections.shutdown().await;
    };
    if tokio::time::timeout(grace, drained).await.is_err() {
        tracing::warn!(
            grace_ms = grace.as_millis() as i64,
            "Requests were cut off: they did not finish within SHUTDOWN_GRACE_MS"
        );
    }
}

/// Ends the listening. Clients whose connection waits to be accepted have sent their request already; dropped with the
/// listener, it would be reset.
fn accept_waiting(listener: TcpListener, app: &Router, readiness: &Readiness, connections: &GracefulShutdown) {
    let Ok(listener) = listener.into_std() else { return };
    // It does not block: an error where none waits.
    while let Ok((stream, peer)) = listener.accept() {
        if let Ok(stream) = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream)) {
            serve_connection(stream, peer, app.clone(), readiness, connections);
        }
    }
}

fn serve_connection(
    stream: TcpStream,
    peer: SocketAddr,
    app: Router,
    readiness: &Readiness,
    connections: &GracefulShutdown,
) {
    // Answers are small: waiting to fill a packet (Nagle) would add up to 40 ms.
    let _ = stream.set_nodelay(true);
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(WRITE_TIMEOUT));
    let app = app.map_request(move |mut request: http::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        request.map(axum::body::Body::new)
    });
    let draining = readiness.draining.clone();
    let app = app.map_response(move |mut response: Response| {
        if draining.load(Ordering::Relaxed) {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(Box::pin(stream)), TowerToHyperService::new(app));
    let connection = connections.watch(connection);
    // No span to lose: the server layer opens one for each request of the connection.
    #[allow(clippy::disallowed_methods)]
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(error = error.to_string(), "Connection ended");
        }
    });
}

/// Resolves at the first SIGTERM or SIGINT.
///
/// # Errors
/// When the operating system refuses a handler.
pub fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => (),
            _ = interrupt.recv() => (),
        }
    })
}

/// Asks the service on `port` of this machine whether it lives: what an image without a shell calls.
///
/// # Errors
/// When it does not answer 200 within two seconds.
pub fn healthcheck(port: u16) -> anyhow::Result<()> {
    crate::install_tls();
    let client = reqwest::blocking::Client::builder().timeout(Duration::from_secs(2)).build()?;
    client.get(format!("http://127.0.0.1:{port}/health")).send()?.error_for_status()?;
    Ok(())
}
