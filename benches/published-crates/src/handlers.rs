//! The two routes that are measured. Spans, lines and metrics have the names of the contract.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::{Query, State};
use axum_prometheus::metrics::{counter, gauge, histogram};
use futures::future::join_all;
use http::{Method, StatusCode};
use opentelemetry::Value;
use rand::RngExt;
use reqwest::Url;
use reqwest_middleware::ClientWithMiddleware;
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::util::BoxCloneSyncService;
use tower::{ServiceExt, service_fn};
use tower_resilience_circuitbreaker::{CircuitBreakerError, CircuitBreakerLayer};
use tracing::field::Empty;
use tracing::{Instrument, Span, error, info, info_span, warn};
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// As dice-roller's own.
pub(crate) const LIMIT: Duration = Duration::from_secs(2);

/// As dice-roller's own defaults: rolls that run; and twice as many that run or wait.
const ROLLS: usize = 50_000;

const MAX_ASYNC_ROLLS: u32 = 20;

type Breaker = BoxCloneSyncService<reqwest::Request, reqwest::Response, CircuitBreakerError<reqwest_middleware::Error>>;

/// A status and what the caller is told.
type Error = (StatusCode, String);

/// What the handlers share.
#[derive(Clone)]
pub(crate) struct AppState {
    breaker: Breaker,
    dice_url: Url,
    roll_delay_max: Duration,
    running: Arc<Semaphore>,
    admitted: Arc<Semaphore>,
}

#[derive(Deserialize)]
struct Die {
    identifier: Arc<str>,
    specification: Specification,
}

#[derive(Deserialize)]
struct Specification {
    faces: Arc<[i64]>,
    error_rate: f64,
}

#[derive(Deserialize)]
pub(crate) struct RollQuery {
    die: String,
}

#[derive(Serialize)]
pub(crate) struct Rolled {
    roll: i64,
}

#[derive(Deserialize)]
pub(crate) struct RollAsyncQuery {
    die: String,
    times: u32,
    concurrency: Option<u32>,
}

#[derive(Serialize)]
pub(crate) struct BatchRolled {
    total: i64,
    rolls: Vec<i64>,
    count: u32,
}

pub(crate) async fn roll(
    State(state): State<AppState>,
    Query(RollQuery { die: die_type }): Query<RollQuery>,
) -> Result<Json<Rolled>, Error> {
    Span::current().set_attribute("die.type", die_type.clone());
    let rolled = state.roll(&die_type).await;
    let result = if rolled.is_ok() { "success" } else { "error" };
    counter!("dice_rolls_total", "die_type" => die_type.clone(), "result" => result).increment(1);
    let roll = rolled?;
    histogram!("dice_roll_value", "die_type" => die_type).record(roll as f64);
    Ok(Json(Rolled { roll }))
}

pub(crate) async fn roll_async(
    State(state): State<AppState>,
    Query(query): Query<RollAsyncQuery>,
) -> Result<Json<BatchRolled>, Error> {
    let RollAsyncQuery { die: die_type, times, concurrency } = query;
    let concurrency = concurrency.unwrap_or(times);
    if !(1..=MAX_ASYNC_ROLLS).contains(&times) || !(1..=times).contains(&concurrency) {
        return Err((StatusCode::UNPROCESSABLE_ENTITY, format!("'times' is 1 to {MAX_ASYNC_ROLLS}")));
    }
    histogram!("async_roll_batch_size").record(f64::from(times));
    let span = Span::current();
    span.set_attribute("die.type", die_type.clone());
    span.set_attribute("async.batch_size", i64::from(times));
    span.set_attribute("async.concurrency", i64::from(concurrency));
    info!(die_type, times, concurrency, "Async roll batch started");
    let started = Instant::now();
    match state.roll_batch(&die_type, times, concurrency).await {
        Ok(rolls) => {
            let (total, duration) = (rolls.iter().sum(), started.elapsed().as_secs_f64());
            span.set_attribute("async.total_result", total);
            info!(die_type, times, total, ?rolls, duration, "Async roll batch completed");
            Ok(Json(BatchRolled { total, rolls, count: times }))
        }
        Err(failed) => {
            error!(die_type, times, error = failed.1, "Async roll batch failed");
            Err(failed)
        }
    }
}

impl AppState {
    pub(crate) fn new(
        client: ClientWithMiddleware,
        die_service: &Url,
        roll_delay_max: Duration,
    ) -> anyhow::Result<Self> {
        let breaker = CircuitBreakerLayer::builder()
            .consecutive_failures(5)
            .wait_duration_in_open(Duration::from_secs(1))
            .permitted_calls_in_half_open(1)
            .failure_classifier(|outcome: &Result<reqwest::Response, _>| outcome.is_err())
            .build()?;
        let call = service_fn(move |request| {
            let client = client.clone();
            async move { client.execute(request).await }
        });
        Ok(Self {
            breaker: BoxCloneSyncService::new(breaker.layer_fn(call)),
            dice_url: die_service.join("dice")?,
            roll_delay_max,
            running: Semaphore::new(ROLLS).into(),
            admitted: Semaphore::new(2 * ROLLS).into(),
        })
    }

    fn admit(&self, rolls: u32) -> Result<OwnedSemaphorePermit, Error> {
        let full = |_| (StatusCode::TOO_MANY_REQUESTS, "As many rolls as allowed are under way".to_owned());
        self.admitted.clone().try_acquire_many_owned(rolls).map_err(full)
    }

    async fn roll(&self, die_type: &str) -> Result<i64, Error> {
        info!(die_type, "Roll request received");
        let _admission = self.admit(1)?;
        let die = self.find(die_type).await?;
        let face = self.throw(&die, "sync").await;
        Span::current().set_attribute("die.error", face.is_none());
        match face {
            Some(roll_value) => {
                Span::current().set_attribute("die.result", roll_value);
                info!(die_type, roll_value, "Roll completed");
                Ok(roll_value)
            }
            None => {
                error!(die_type, error_rate = die.specification.error_rate, "Die triggered error condition");
                Err((StatusCode::INTERNAL_SERVER_ERROR, format!("Die '{die_type}' failed!")))
            }
        }
    }

    async fn roll_batch(&self, die_type: &str, times: u32, concurrency: u32) -> Result<Vec<i64>, Error> {
        let _admission = self.admit(times)?;
        let die = &self.find(die_type).await?;
        let started = Instant::now();
        let turns = &Semaphore::new(concurrency as usize);
        let rolls = (0..times).map(|index| async move {
            let _turn = turns.acquire().await;
            let span = info_span!(
                "async_roll",
                otel.name = format!("async_roll_{index}"),
                async.roll_index = index,
                die.type = &*die.identifier,
                die.result = Empty,
                die.error = Empty,
            );
            self.async_roll(die, index).instrument(span).await
        });
        let rolls: Option<Vec<i64>> = join_all(rolls).await.into_iter().collect();
        histogram!("async_roll_duration_seconds").record(started.elapsed().as_secs_f64());
        rolls.ok_or_else(|| (StatusCode::INTERNAL_SERVER_ERROR, "Async roll batch failed".to_owned()))
    }

    async fn async_roll(&self, die: &Die, roll_index: u32) -> Option<i64> {
        let in_progress = gauge!("async_rolls_in_progress");
        in_progress.increment(1);
        let face = self.throw(die, "async").await;
        in_progress.decrement(1);
        let (result, die_type) = (if face.is_some() { "success" } else { "error" }, &*die.identifier);
        counter!("async_rolls_total", "die_type" => die_type.to_owned(), "result" => result).increment(1);
        Span::current().record("die.error", face.is_none());
        match face {
            Some(roll_value) => {
                Span::current().record("die.result", roll_value);
                info!(die_type, roll_index, roll_value, "Async roll completed");
            }
            None => {
                let error_rate = die.specification.error_rate;
                error!(die_type, roll_index, error_rate, "Async roll triggered error condition");
            }
        }
        face
    }

    /// The simulated work, then a face, or none.
    async fn throw(&self, die: &Die, mode: &'static str) -> Option<i64> {
        let _permit = self.running.acquire().await;
        let Specification { faces, error_rate } = &die.specification;
        let (work, face) = {
            let mut rng = rand::rng();
            let work = self.roll_delay_max.mul_f64(rng.random());
            (work, (!rng.random_bool(*error_rate)).then(|| faces[rng.random_range(..faces.len())]))
        };
        let started = Instant::now();
        if !work.is_zero() {
            tokio::time::sleep(work).await;
        }
        histogram!("roll_duration_seconds", "mode" => mode).record(started.elapsed().as_secs_f64());
        face
    }

    async fn find(&self, identifier: &str) -> Result<Die, Error> {
        info!(identifier, "Querying die service for specification");
        let mut url = self.dice_url.clone();
        url.query_pairs_mut().append_pair("identifier", identifier);
        let mut request = reqwest::Request::new(Method::GET, url);
        *request.timeout_mut() = Some(LIMIT);
        let started = Instant::now();
        let found = self.request(request).await;
        histogram!("die_service_request_duration_seconds").record(started.elapsed().as_secs_f64());
        let status = if found.is_ok() { "success" } else { "error" };
        counter!("die_service_requests_total", "identifier" => identifier.to_owned(), "status" => status).increment(1);
        match &found {
            Ok(die) => {
                let span = Span::current();
                span.set_attribute("die.faces", Value::Array(die.specification.faces.to_vec().into()));
                span.set_attribute("die.error_rate", die.specification.error_rate);
            }
            Err((_, error)) => warn!(identifier, error, "Die service refused"),
        }
        found
    }

    async fn request(&self, request: reqwest::Request) -> Result<Die, Error> {
        let failing = |error: String| (StatusCode::SERVICE_UNAVAILABLE, error);
        let response = self.breaker.clone().oneshot(request).await.map_err(|error| failing(error.to_string()))?;
        let response = response.error_for_status().map_err(|error| failing(error.to_string()))?;
        let die: Die = response.json().await.map_err(|error| failing(error.to_string()))?;
        let valid = !die.specification.faces.is_empty() && (0.0..=1.0).contains(&die.specification.error_rate);
        if valid { Ok(die) } else { Err(failing("the die cannot be rolled".to_owned())) }
    }
}
