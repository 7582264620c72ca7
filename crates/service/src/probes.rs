//! `/health` and `/ready`: what an orchestrator and a load balancer request.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use tokio::sync::watch;

/// How far the process is, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
pub(crate) enum Phase {
    /// Not serving yet.
    Starting,
    /// Serving.
    Ready,
    /// Still serving, so that a load balancer has `SHUTDOWN_DELAY_MS` to notice that `/ready` says no.
    Leaving,
    /// Takes no new connections and finishes the requests in flight.
    Draining,
}

/// The phase of the process; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Phases(watch::Sender<Phase>);

impl Default for Phases {
    fn default() -> Self {
        Self(watch::Sender::new(Phase::Starting))
    }
}

impl Phases {
    pub(crate) fn begin(&self, phase: Phase) {
        self.0.send_replace(phase);
    }

    /// Whether clients should go on with another connection, and so with another copy of this service.
    pub(crate) fn is_stopping(&self) -> bool {
        *self.0.borrow() >= Phase::Leaving
    }

    /// `GET /ready`. It calls no upstream: one failure must not take all services out.
    pub(crate) fn ready(&self) -> Response {
        match *self.0.borrow() {
            Phase::Starting => unavailable("starting: this process is not serving yet"),
            Phase::Ready => "ready".into_response(),
            Phase::Leaving | Phase::Draining => unavailable("draining: this process is stopping"),
        }
    }
}

fn unavailable(reason: &'static str) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, reason).into_response()
}

/// Whether the service on `port` of this machine responds to `/health`: what an image without a shell runs.
///
/// # Errors
/// When it does not respond with 200 within two seconds.
pub fn healthcheck(port: u16) -> anyhow::Result<()> {
    // reqwest panics where no TLS implementation is installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::blocking::Client::builder().timeout(std::time::Duration::from_secs(2)).build()?;
    client.get(format!("http://127.0.0.1:{port}/health")).send()?.error_for_status()?;
    Ok(())
}
