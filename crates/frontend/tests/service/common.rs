//! frontend with its neighbours in one process.
//!
//! The neighbours are a service of their own, with metrics and a tracer of their own: the spans of rolls are theirs. All
//! other spans and log lines go to frontend's store, because its subscriber was set last.

use std::time::Duration;

use axum::Router;
use clap::Parser;
use die_service::Catalogue;
use frontend::{Config, State, app};
use opentelemetry_sdk::trace::SpanData;
use serde_json::Value;
use telemetry::testing::TestService;
use tokio::net::TcpListener;

const DICE: &str = r#"{"fair":    {"faces": [1,2,3,4,5,6], "error_rate": 0},
                       "extreme": {"faces": [0,0,6,6,6,6], "error_rate": 0.5},
                       "broken":  {"faces": [1], "error_rate": 1}}"#;

/// All three services. Take both fields: a field that a pattern leaves out is stopped at once.
pub(crate) struct System {
    pub(crate) frontend: TestService,
    /// dice-roller, and die-service below it.
    pub(crate) neighbours: TestService,
}

impl System {
    /// No simulated work and a fixed seed, unless `roller_flags` say otherwise.
    pub(crate) async fn start(flags: &[&str], roller_flags: &[&str]) -> Self {
        let mut die_service_url = String::new();
        let neighbours = TestService::start("dice-roller", &[], async |service| {
            let state = die_service::State::new(Catalogue::parse(DICE)?, service)?;
            die_service_url = serve(die_service::app(state, service)).await;
            let own = ["dice-roller", "--roll-seed=1", "--die-service-url", &die_service_url];
            let config = dice_roller::Config::try_parse_from([&own, roller_flags].concat())?;
            Ok(dice_roller::app(dice_roller::State::new(&config, service)?, service))
        })
        .await
        .unwrap();
        let frontend = start_beside(&neighbours.url, &die_service_url, flags).await;
        Self { frontend, neighbours }
    }

    /// With rolls that take no time.
    pub(crate) async fn quick() -> Self {
        Self::start(&[], &["--roll-delay-max-ms=0"]).await
    }
}

/// frontend alone, with neighbours that need not be any.
pub(crate) async fn start_beside(roller_url: &str, die_service_url: &str, flags: &[&str]) -> TestService {
    let config = config(roller_url, die_service_url, flags);
    TestService::start("frontend", &[], async |service| Ok(app(State::new(&config, service)?, service))).await.unwrap()
}

pub(crate) fn config(roller_url: &str, die_service_url: &str, flags: &[&str]) -> Config {
    let own = ["frontend", "--dice-roller-url", roller_url, "--die-service-url", die_service_url];
    Config::try_parse_from([&own, flags].concat()).unwrap()
}

/// Serves `app` on a free port and returns its address.
pub(crate) async fn serve(app: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    #[allow(clippy::disallowed_methods)] // there is no span yet
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

/// An address where nobody listens: one that was just given back.
pub(crate) async fn nowhere() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

pub(crate) async fn get(service: &TestService, path: &str) -> reqwest::Response {
    reqwest::get(format!("{}{path}", service.url)).await.unwrap()
}

pub(crate) async fn get_json(service: &TestService, path: &str) -> (u16, Value) {
    let response = get(service, path).await;
    (response.status().as_u16(), response.json().await.unwrap())
}

pub(crate) async fn get_text(service: &TestService, path: &str) -> (u16, String) {
    let response = get(service, path).await;
    (response.status().as_u16(), response.text().await.unwrap())
}

/// The one span of that name and parent; the root where `parent` is none.
pub(crate) async fn child(service: &TestService, parent: Option<&SpanData>, name: &str) -> SpanData {
    let parent = parent.map(|span| span.span_context.span_id());
    let found = || {
        let of_parent = move |span: &SpanData| match parent {
            Some(id) => span.parent_span_id == id,
            None => span.parent_span_id == opentelemetry::SpanId::INVALID,
        };
        let mut spans: Vec<_> =
            service.spans().into_iter().filter(|span| span.name == name && of_parent(span)).collect();
        assert!(spans.len() < 2, "two spans '{name}'");
        spans.pop()
    };
    eventually(&format!("a span '{name}'"), || found().is_some()).await;
    found().unwrap()
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
