//! An Axum app with the telemetry layer, on a free port.
#![allow(dead_code)] // each test file uses a part of it

use std::net::SocketAddr;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router, middleware};
use http::{HeaderMap, StatusCode};
use telemetry::testing::Captured;
use telemetry::{Client, ErrorDescription, attributes};

pub(crate) struct App {
    pub(crate) captured: Captured,
    pub(crate) url: String,
    pub(crate) client: reqwest::Client,
}

/// What the handler of `/calls` calls: the app itself.
#[derive(Clone)]
struct Upstream(Client, String);

impl App {
    pub(crate) async fn start(flags: &[&str]) -> Self {
        let captured = Captured::start("test-service", flags).unwrap();
        let handle = captured.handle();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let upstream = Upstream(handle.client(&url.parse().unwrap()).unwrap(), url.clone());
        let app = Router::new()
            .route("/rolls/{id}", get(roll))
            .route("/fails", get(fails))
            .route("/slow", get(async || tokio::time::sleep(Duration::from_secs(60)).await))
            .route("/panics", get(async || -> () { panic!("on purpose") }))
            .route("/calls", get(calls))
            .route("/times-out", get(times_out))
            .with_state(upstream)
            .layer(middleware::from_fn_with_state(handle.server(), telemetry::trace))
            .route("/echo", get(async |headers: HeaderMap| headers["traceparent"].to_str().unwrap().to_owned()))
            .layer(Extension(()));
        #[allow(clippy::disallowed_methods)] // there is no span to lose
        tokio::spawn(async move {
            axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await.unwrap();
        });
        Self { captured, url, client: reqwest::Client::new() }
    }

    pub(crate) fn get(&self, path: &str) -> reqwest::RequestBuilder {
        self.client.get(format!("{}{path}", self.url))
    }

    pub(crate) fn port(&self) -> u16 {
        self.url.rsplit_once(':').unwrap().1.parse().unwrap()
    }
}

async fn roll(Path(id): Path<i64>) {
    attributes::set("roll.id", id);
    tracing::info!(rolls = ?[id, 2], ratio = 0.5, die_type = "fair", "Rolled");
}

async fn fails() -> Response {
    let mut response = (StatusCode::BAD_GATEWAY, "text for the caller").into_response();
    response.extensions_mut().insert(ErrorDescription("the cause".to_owned()));
    response
}

/// Answers with the `traceparent` that the called service got.
async fn calls(State(Upstream(client, url)): State<Upstream>) -> Vec<u8> {
    let request = reqwest::Request::new(http::Method::GET, format!("{url}/echo").parse().unwrap());
    client.send(request).await.unwrap().into_body().to_vec()
}

async fn times_out(State(Upstream(client, url)): State<Upstream>) -> String {
    let mut request = reqwest::Request::new(http::Method::GET, format!("{url}/slow").parse().unwrap());
    *request.timeout_mut() = Some(Duration::from_millis(100));
    client.send(request).await.unwrap_err().to_string()
}
