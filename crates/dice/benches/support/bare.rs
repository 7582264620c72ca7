//! dice-roller as it would be without telemetry: the same routes, parameters, call to die-service behind the same kind of
//! circuit breaker, limits, chance and responses, on the same libraries; no spans, no log lines, no metrics.
//!
//! It also lacks the layers of `service` (time limits of connections, deadlines, drain, response headers of a page), so
//! what these cost counts as telemetry's.

use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::ListenerExt;
use axum::{Json, Router};
use futures::future::join_all;
use http::{Method, StatusCode};
use rand::RngExt;
use reqwest::Url;
use serde::{Deserialize, Serialize};
use service::{Parameters, Query};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::util::BoxCloneSyncService;
use tower::{ServiceExt, service_fn};
use tower_resilience_circuitbreaker::{CircuitBreakerError, CircuitBreakerLayer};

/// As dice-roller's own.
const LIMIT: Duration = Duration::from_secs(2);

/// As dice-roller's own default, twice: rolls that run, and rolls that run or wait.
const ROLLS: usize = 50_000;

#[derive(Clone)]
struct Shared {
    breaker: Breaker,
    dice_url: Url,
    running: Arc<Semaphore>,
    admitted: Arc<Semaphore>,
}

/// As in `service/src/breaker.rs`, without what is counted there.
type Breaker = BoxCloneSyncService<reqwest::Request, reqwest::Response, CircuitBreakerError<reqwest::Error>>;

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

#[derive(Deserialize)]
struct RollQuery {
    die: String,
}

impl Parameters<Shared> for RollQuery {}

#[derive(Deserialize)]
struct RollAsyncQuery {
    die: String,
    times: u32,
    concurrency: Option<u32>,
}

impl Parameters<Shared> for RollAsyncQuery {
    fn range(name: &str, _: &Shared, number: &dyn Fn(&str) -> Option<u64>) -> RangeInclusive<u64> {
        if name == "concurrency" { 1..=number("times").unwrap_or(20) } else { 1..=20 }
    }
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
    let breaker = CircuitBreakerLayer::builder()
        .consecutive_failures(5)
        .wait_duration_in_open(Duration::from_secs(1))
        .permitted_calls_in_half_open(1)
        .failure_classifier(|outcome: &reqwest::Result<reqwest::Response>| outcome.is_err())
        .build()?;
    let app = Router::new()
        .route("/ready", get(async || "ready"))
        .route("/roll", get(roll))
        .route("/roll-async", get(roll_async))
        .with_state(Shared {
            breaker: BoxCloneSyncService::new(breaker.layer_fn(service_fn(move |request| http.execute(request)))),
            dice_url: die_service_url.join("dice")?,
            running: Semaphore::new(ROLLS).into(),
            admitted: Semaphore::new(2 * ROLLS).into(),
        });
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
        Ok(axum::serve(listener, app).await?)
    })
}

async fn roll(State(shared): State<Shared>, Query(query): Query<RollQuery>) -> Result<Json<Rolled>, Response> {
    let _admission = shared.admit(1).map_err(IntoResponse::into_response)?;
    let die = shared.find(&query.die).await?;
    Ok(Json(Rolled { roll: shared.roll(&die).await? }))
}

async fn roll_async(
    State(shared): State<Shared>,
    Query(query): Query<RollAsyncQuery>,
) -> Result<Json<BatchRolled>, Response> {
    let RollAsyncQuery { die: identifier, times: count, concurrency } = query;
    let _admission = shared.admit(count).map_err(IntoResponse::into_response)?;
    let die = shared.find(&identifier).await?;
    let turns = Semaphore::new(concurrency.unwrap_or(count) as usize);
    let rolls = join_all((0..count).map(async |_| {
        let _turn = turns.acquire().await;
        shared.roll(&die).await
    }));
    let rolls: Vec<i64> = rolls.await.into_iter().collect::<Result<_, _>>()?;
    Ok(Json(BatchRolled { total: rolls.iter().sum(), rolls, count }))
}

impl Shared {
    fn admit(&self, rolls: u32) -> Result<OwnedSemaphorePermit, StatusCode> {
        self.admitted.clone().try_acquire_many_owned(rolls).map_err(|_| StatusCode::TOO_MANY_REQUESTS)
    }

    async fn find(&self, identifier: &str) -> Result<Die, Response> {
        let mut url = self.dice_url.clone();
        url.query_pairs_mut().append_pair("identifier", identifier);
        let mut request = reqwest::Request::new(Method::GET, url);
        *request.timeout_mut() = Some(LIMIT);
        let failing = |error: String| (StatusCode::SERVICE_UNAVAILABLE, error).into_response();
        let response = self.breaker.clone().oneshot(request).await.map_err(|error| failing(error.to_string()))?;
        response.json().await.map_err(|error| failing(error.to_string()))
    }

    /// With no simulated work, as under the measurement.
    async fn roll(&self, die: &Die) -> Result<i64, Response> {
        let _permit = self.running.acquire().await;
        let Specification { faces, error_rate } = &die.specification;
        let mut rng = rand::rng();
        let _takes: f64 = rng.random();
        let face = (!rng.random_bool(*error_rate)).then(|| faces[rng.random_range(..faces.len())]);
        face.ok_or_else(|| StatusCode::INTERNAL_SERVER_ERROR.into_response())
    }
}
