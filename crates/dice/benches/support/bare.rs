//! dice-roller as it would be without telemetry: the same routes, parameters, call to die-service, chance and answers,
//! on the same libraries; no spans, no log lines, no metrics.
//!
//! It also lacks circuit breaker, admission limit and drain, so what these cost counts as telemetry's.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::ListenerExt;
use axum::{Json, Router};
use futures::future::join_all;
use http::StatusCode;
use rand::RngExt;
use reqwest::Url;
use serde::{Deserialize, Serialize};
use telemetry::Query;
use tokio::net::TcpListener;

/// As dice-roller's own.
const LIMIT: Duration = Duration::from_secs(2);

#[derive(Clone)]
struct Shared {
    http: reqwest::Client,
    dice_url: Url,
}

#[derive(Deserialize)]
struct Die {
    #[serde(rename = "identifier")]
    _identifier: Arc<str>,
    specification: Specification,
}

#[derive(Deserialize)]
struct Specification {
    faces: Arc<[i64]>,
    error_rate: f64,
}

#[derive(Serialize)]
struct Rolled {
    roll: i64,
}

#[derive(Serialize)]
struct BatchRolled {
    total: i64,
    rolls: Vec<i64>,
    count: u32,
}

/// Serves on `port` until it is killed.
///
/// # Errors
/// When the port is taken.
pub(crate) fn run(port: u16, die_service_url: &Url) -> anyhow::Result<()> {
    drop(rustls::crypto::ring::default_provider().install_default());
    let http = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .tcp_nodelay(true)
        .connect_timeout(LIMIT)
        .build()?;
    let app = Router::new()
        .route("/ready", get(async || "ready"))
        .route("/roll", get(roll))
        .route("/roll-async", get(roll_async))
        .with_state(Shared { http, dice_url: die_service_url.join("dice")? });
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
        Ok(axum::serve(listener, app).await?)
    })
}

async fn roll(State(shared): State<Shared>, query: Query) -> Result<Json<Rolled>, Response> {
    let identifier = query.text("die").map_err(IntoResponse::into_response)?;
    let die = shared.find(&identifier).await?;
    Ok(Json(Rolled { roll: die.roll().await? }))
}

async fn roll_async(State(shared): State<Shared>, query: Query) -> Result<Json<BatchRolled>, Response> {
    let identifier = query.text("die").map_err(IntoResponse::into_response)?;
    let count = query.number("times", 1..=20).map_err(IntoResponse::into_response)?;
    let die = shared.find(&identifier).await?;
    let rolls: Vec<i64> = join_all((0..count).map(|_| die.roll())).await.into_iter().collect::<Result<_, _>>()?;
    Ok(Json(BatchRolled { total: rolls.iter().sum(), rolls, count }))
}

impl Shared {
    async fn find(&self, identifier: &str) -> Result<Die, Response> {
        let mut url = self.dice_url.clone();
        url.query_pairs_mut().append_pair("identifier", identifier);
        let failing = |error: reqwest::Error| (StatusCode::SERVICE_UNAVAILABLE, error.to_string()).into_response();
        let answer = self.http.get(url).timeout(LIMIT).send().await.map_err(failing)?;
        answer.json().await.map_err(failing)
    }
}

impl Die {
    /// Async, as the real one is, which may have to wait; with no simulated work neither does.
    async fn roll(&self) -> Result<i64, Response> {
        let Specification { faces, error_rate } = &self.specification;
        let mut rng = rand::rng();
        let _takes: f64 = rng.random();
        let face = (!rng.random_bool(*error_rate)).then(|| faces[rng.random_range(..faces.len())]);
        face.ok_or_else(|| StatusCode::INTERNAL_SERVER_ERROR.into_response())
    }
}
