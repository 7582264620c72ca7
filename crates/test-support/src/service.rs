//! A service in the test's own process: the real router on a free port, and everything that leaves it.

use std::ffi::OsString;
use std::ops::Deref;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use axum::Router;
use clap::Parser;
use serde_json::Value;
use service::Service;
use service::settings::Settings;
use telemetry::testing::Captured;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::PATIENCE;

/// A running service, and through `Deref` its spans, log lines and metrics so far.
pub struct TestService {
    /// `http://127.0.0.1:<port>`, without a slash at the end.
    pub url: String,
    captured: Captured,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<()>,
}

#[derive(clap::Parser)]
struct Flags {
    #[command(flatten)]
    settings: Settings,
}

impl TestService {
    /// Starts the router that `build` makes, with the settings of every service from `flags` (such as
    /// `--otel-sdk-disabled=true`).
    pub async fn start(
        name: &'static str,
        flags: &[&str],
        build: impl AsyncFnOnce(&Service) -> anyhow::Result<Router>,
    ) -> Self {
        let args = std::iter::once(name).chain(flags.iter().copied()).map(OsString::from);
        let settings = Flags::try_parse_from(args).unwrap().settings;
        let of_telemetry: Vec<_> = flags.iter().copied().filter(|flag| !flag.starts_with("--shutdown")).collect();
        let captured = Captured::start(name, &of_telemetry).unwrap();

        let service = Service::new(captured.handle(), &settings);
        let router = build(&service).await.unwrap();
        let listener = service::bind("127.0.0.1", 0).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopping) = oneshot::channel();
        #[allow(clippy::disallowed_methods)] // there is no span yet
        let served =
            tokio::spawn(async move { service.serve_until(listener, router, async { drop(stopping.await) }).await });
        Self { url, captured, stop: Some(stop), served }
    }

    /// The stop that SIGTERM brings; does not wait for what follows.
    pub fn begin_stop(&mut self) {
        drop(self.stop.take());
    }

    /// Stops as at SIGTERM, and waits until the last connection is closed.
    pub async fn stop(&mut self) {
        self.begin_stop();
        (&mut self.served).await.context("the service panicked").unwrap();
    }
}

impl Deref for TestService {
    type Target = Captured;

    fn deref(&self) -> &Captured {
        &self.captured
    }
}

/// The response to a `GET`.
pub async fn get(service: &TestService, path: &str) -> reqwest::Response {
    reqwest::get(format!("{}{path}", service.url)).await.unwrap()
}

/// Status and JSON body of the response to a `GET`.
pub async fn get_json(service: &TestService, path: &str) -> (u16, Value) {
    let response = get(service, path).await;
    (response.status().as_u16(), response.json().await.unwrap())
}

/// Serves `router`, without telemetry, on a free port until the test ends, and returns its address.
pub async fn serve(router: Router) -> String {
    let listener = service::bind("127.0.0.1", 0).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    #[allow(clippy::disallowed_methods)] // there is no span yet
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

/// As [`eventually`](crate::eventually), while the other tasks of this thread run on.
pub async fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
