//! dice-roller with the real die-service beside it, in one process: one registry, one store of spans, one log.

use std::time::Duration;

use clap::Parser;
use dice_roller::{Config, State, app};
use serde_json::Value;
use telemetry::testing::TestService;
use tokio::net::TcpListener;

/// No simulated work and a fixed seed, unless a flag says otherwise.
pub(crate) async fn start(flags: &[&str]) -> TestService {
    TestService::start("dice-roller", &[], async |service| {
        let catalogue = die_service::Catalogue::load(None)?;
        let dice = die_service::app(die_service::State::new(catalogue, service)?, service);
        let url = serve(dice).await;
        Ok(app(State::new(&config(&[&["--die-service-url", &url], flags].concat()), service)?, service))
    })
    .await
    .unwrap()
}

/// dice-roller with `die_service_url` as its neighbour, which need not be one.
pub(crate) async fn start_beside(die_service_url: &str, flags: &[&str]) -> TestService {
    TestService::start("dice-roller", &[], async |service| {
        let config = config(&[&["--die-service-url", die_service_url], flags].concat());
        Ok(app(State::new(&config, service)?, service))
    })
    .await
    .unwrap()
}

fn config(flags: &[&str]) -> Config {
    let mut args = vec!["dice-roller", "--roll-delay-max-ms=0", "--roll-seed=1"];
    // A later flag would be a second one for clap, so a default makes way for it.
    args.retain(|arg| !flags.iter().any(|flag| flag.split('=').next() == arg.split('=').next()));
    Config::try_parse_from([&args, flags].concat()).unwrap()
}

/// Serves `app` on a free port and returns its address.
pub(crate) async fn serve(app: axum::Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    #[allow(clippy::disallowed_methods)] // there is no span yet
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

pub(crate) async fn get(service: &TestService, path: &str) -> reqwest::Response {
    reqwest::get(format!("{}{path}", service.url)).await.unwrap()
}

pub(crate) async fn get_json(service: &TestService, path: &str) -> (u16, Value) {
    let response = get(service, path).await;
    (response.status().as_u16(), response.json().await.unwrap())
}

/// Waits until `condition` holds; the test fails where it never does.
pub(crate) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..500 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}
