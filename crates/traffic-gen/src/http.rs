//! The HTTP client for everything that must not leave a span: checks, measurements, requests to a trace backend.

use std::time::Duration;

use anyhow::Context as _;
use reqwest::{Client, Url};

/// A health check, or a request to a trace backend, takes no longer than this.
const QUICK: Duration = Duration::from_secs(5);

/// A client without spans and without a proxy.
///
/// # Errors
/// When TLS cannot be set up.
pub(crate) fn client() -> anyhow::Result<Client> {
    // One TLS implementation for every client of the process; a second call changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().no_proxy().tcp_nodelay(true).timeout(QUICK).build().context("the HTTP client could not be built")
}

/// `GET /health` of the service at `base`, before any work begins.
///
/// # Errors
/// The address, why there was no response, and how to start the system.
pub(crate) async fn check(client: &Client, service: &str, base: &Url, setting: &str) -> anyhow::Result<()> {
    let url = base.join("health")?;
    let response = client.get(url.clone()).send().await.and_then(reqwest::Response::error_for_status);
    response.map(drop).map_err(reqwest::Error::without_url).with_context(|| {
        format!("{service} does not respond at {url}: start the system with `cargo run`, or set {setting}")
    })
}
