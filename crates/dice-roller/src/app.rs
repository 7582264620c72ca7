//! The routes of dice-roller. Each handler is the story of its span: name the facts, do the work, record the outcome.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::{Json, Router, extract};
use serde::Serialize;
use telemetry::{Breaker, Deadline, Handle, ProblemBody, Query, SpanFacts, Tracer};
use tracing::Span;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::batch::Batch;
use crate::die_client::DieClient;
use crate::error::Error;
use crate::limit::Limit;
use crate::metrics::{Metrics, Mode};
use crate::roll::{Chance, Die, work};
use crate::{Config, VERSION};

/// What the handlers share.
#[derive(Clone)]
pub struct State(Arc<Shared>);

struct Shared {
    die_client: DieClient,
    chance: Chance,
    limit: Limit,
    metrics: Metrics,
    tracer: Tracer,
    max_async_rolls: u32,
}

impl State {
    /// The state of a service with these settings.
    ///
    /// # Errors
    /// When the client cannot be built, or `service` has these metrics already.
    pub fn new(config: &Config, service: &Handle) -> anyhow::Result<Self> {
        let metrics = Metrics::new(service.registry())?;
        // A die-service that answers 5xx is failing; an unknown die (404) is an answer like any other.
        let failing = |status: http::StatusCode| status.is_server_error();
        let breaker = Breaker::new("die-service", config.breaker, failing, service.registry())?;
        let client = service.client(&config.die_service_url)?.with_breaker(breaker);
        Ok(Self(Arc::new(Shared {
            die_client: DieClient::new(client, &config.die_service_url, metrics.clone())?,
            chance: Chance::new(config.roll_seed, Duration::from_millis(config.roll_delay_max_ms)),
            limit: Limit::new(config.max_concurrent_rolls, config.max_queued_rolls, metrics.clone()),
            metrics,
            tracer: service.tracer(),
            max_async_rolls: config.max_async_rolls,
        })))
    }
}

/// The whole service, as `run` serves it and as the tests ask it.
pub fn app(state: State, service: &Handle) -> Router {
    let routes =
        OpenApiRouter::new().routes(routes!(about)).routes(routes!(roll)).routes(routes!(roll_async)).with_state(state);
    service.app(routes, Router::new())
}

/// What this service is.
#[derive(Debug, Serialize, ToSchema)]
struct About {
    service: &'static str,
    version: &'static str,
    stage: &'static str,
    endpoints: [&'static str; 3],
    integration: &'static str,
    features: [&'static str; 4],
}

/// What this service is
#[utoipa::path(get, path = "/", responses((status = 200, body = About)))]
async fn about() -> Json<About> {
    Json(About {
        service: "Dice Roller API",
        version: VERSION,
        stage: "4",
        endpoints: ["/", "/roll?die={die}", "/roll-async?die={die}&times={times}"],
        integration: "die-service",
        features: ["concurrent rolls", "traces", "metrics", "structured logs"],
    })
}

/// The result of one roll.
#[derive(Debug, Serialize, ToSchema)]
struct Rolled {
    /// The face.
    roll: i64,
}

/// Roll one die
#[utoipa::path(
    get,
    path = "/roll",
    params(("die" = String, Query, min_length = 1, description = "name of a die, for example fair")),
    responses(
        (status = 200, body = Rolled),
        (status = 404, description = "no such die", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "malformed parameter", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "too many rolls under way", body = ProblemBody, content_type = "application/problem+json"),
        (status = 500, description = "the die failed", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "die-service cannot be reached", body = ProblemBody, content_type = "application/problem+json"),
        (status = 504, description = "die-service is too slow", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn roll(
    extract::State(State(shared)): extract::State<State>,
    query: Query,
    deadline: Deadline,
) -> Result<Json<Rolled>, Error> {
    let identifier = query.text("die")?;
    Span::current().set("die.type", identifier.clone());
    let rolled = shared.roll(&identifier, deadline).await;
    match &rolled {
        Ok(face) => shared.metrics.rolled(shared.die_client.label(&identifier), *face),
        Err(_) => shared.metrics.roll_failed(shared.die_client.label(&identifier)),
    }
    rolled.map(|roll| Json(Rolled { roll }))
}

/// The result of a batch.
#[derive(Debug, Serialize, ToSchema)]
struct BatchRolled {
    /// The sum of all faces rolled.
    total: i64,
    /// The faces in index order; null for a roll that failed, which only `best-effort` answers.
    rolls: Vec<Option<i64>>,
    /// How many rolls were asked for.
    count: u32,
    /// The rolls that failed; only with `best-effort`.
    #[serde(skip_serializing_if = "Option::is_none")]
    failed: Option<Vec<FailedRoll>>,
}

/// A roll that failed.
#[derive(Debug, Serialize, ToSchema)]
struct FailedRoll {
    /// Its index, from 0.
    index: u32,
    /// Why.
    error: String,
}

/// What becomes of a batch in which a roll fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Strategy {
    /// The batch fails; the other rolls still finish.
    AllOrNothing,
    /// The others are answered. Only a batch of which every roll failed fails.
    BestEffort,
}

/// Roll a batch of dice concurrently
///
/// The rolls run at the same time, so the batch takes as long as its slowest roll.
#[utoipa::path(
    get,
    path = "/roll-async",
    params(
        ("die" = String, Query, min_length = 1, description = "name of a die, for example fair"),
        ("times" = u32, Query, minimum = 1, description = "rolls in the batch, from 1 to MAX_ASYNC_ROLLS (20)"),
        ("strategy" = Option<String>, Query, description = "all-or-nothing (default) or best-effort"),
        ("concurrency" = Option<u32>, Query, minimum = 1, description = "rolls at once, from 1 to `times` (default: all)"),
    ),
    responses(
        (status = 200, body = BatchRolled),
        (status = 404, description = "no such die", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "malformed parameter", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "too many rolls under way", body = ProblemBody, content_type = "application/problem+json"),
        (status = 500, description = "a roll failed", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "die-service cannot be reached", body = ProblemBody, content_type = "application/problem+json"),
        (status = 504, description = "die-service is too slow", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn roll_async(
    extract::State(State(shared)): extract::State<State>,
    query: Query,
    deadline: Deadline,
) -> Result<Json<BatchRolled>, Error> {
    let identifier = query.text("die")?;
    let times = query.number("times", 1..=shared.max_async_rolls)?;
    let concurrency = query.optional_number("concurrency", 1..=times)?.unwrap_or(times);
    let strategies = [("all-or-nothing", Strategy::AllOrNothing), ("best-effort", Strategy::BestEffort)];
    let strategy = query.choice("strategy", &strategies)?.unwrap_or(Strategy::AllOrNothing);

    shared.metrics.batch_requested(times);
    let span = Span::current();
    span.set("die.type", identifier.clone());
    span.set("async.batch_size", i64::from(times));
    span.set("async.concurrency", i64::from(concurrency));
    tracing::info!(die_type = identifier, times, concurrency, "Async roll batch started");
    let started = Instant::now();
    let rolled = shared.roll_batch(&identifier, times, concurrency, strategy, deadline).await;
    match &rolled {
        Ok(BatchRolled { total, rolls, .. }) => {
            span.set("async.total_result", *total);
            let (rolls, duration) = (rolls.iter().flatten().collect::<Vec<_>>(), started.elapsed().as_secs_f64());
            tracing::info!(die_type = identifier, times, total, ?rolls, duration, "Async roll batch completed");
        }
        // The client's fault; the server layer says so in its own line.
        Err(Error::UnknownDie { .. } | Error::QueueFull) => (),
        Err(error) => {
            tracing::error!(die_type = identifier, times, error = &*error.cause(), "Async roll batch failed");
        }
    }
    rolled.map(Json)
}

impl Shared {
    async fn roll(&self, identifier: &str, deadline: Deadline) -> Result<i64, Error> {
        tracing::info!(die_type = identifier, "Roll request received");
        let request = self.chance.next_request();
        let _admission = self.limit.admit(1).ok_or(Error::QueueFull)?; // before die-service is asked: it may be slow
        let die = self.find_die(identifier, deadline).await?;
        let throw = self.chance.throw(&die, request, 0);
        let (_permit, _) = self.limit.permit().await;
        let started = Instant::now();
        work(throw.takes).await;
        self.metrics.roll_took(Mode::Sync, started.elapsed());

        let span = Span::current();
        span.set("die.error", throw.face.is_none());
        match throw.face {
            Some(face) => {
                span.set("die.result", face);
                tracing::info!(die_type = identifier, roll_value = face, "Roll completed");
                Ok(face)
            }
            None => {
                let error_rate = die.specification.error_rate;
                tracing::error!(die_type = identifier, error_rate, "Die triggered error condition");
                Err(Error::DieFailed { die: identifier.to_owned() })
            }
        }
    }

    async fn roll_batch(
        &self,
        identifier: &str,
        times: u32,
        concurrency: u32,
        strategy: Strategy,
        deadline: Deadline,
    ) -> Result<BatchRolled, Error> {
        let request = self.chance.next_request();
        let _admission = self.limit.admit(times).ok_or(Error::QueueFull)?;
        let die = self.find_die(identifier, deadline).await?; // once for the whole batch
        let Self { chance, limit, metrics, tracer, .. } = self;
        let started = Instant::now();
        let rolls = Batch { die: &die, request, times, concurrency, chance, limit, metrics, tracer }.roll().await;
        metrics.batch_finished(started.elapsed());

        let failed: Vec<u32> =
            (0..times).zip(&rolls).filter(|(_, face)| face.is_none()).map(|(index, _)| index).collect();
        let fatal = match strategy {
            Strategy::AllOrNothing => !failed.is_empty(),
            Strategy::BestEffort => failed.len() == rolls.len(),
        };
        if fatal {
            return Err(Error::BatchFailed { die: identifier.to_owned(), failed, times });
        }
        let reason = |index| FailedRoll { index, error: format!("Die '{identifier}' failed!") };
        Ok(BatchRolled {
            total: rolls.iter().flatten().fold(0, |sum: i64, face| sum.saturating_add(*face)),
            rolls,
            count: times,
            failed: (strategy == Strategy::BestEffort).then(|| failed.into_iter().map(reason).collect()),
        })
    }

    /// Asks die-service, and says on the span what it answered.
    async fn find_die(&self, identifier: &str, deadline: Deadline) -> Result<Die, Error> {
        let die = self.die_client.find(identifier, deadline).await?;
        let span = Span::current();
        span.set("die.faces", &*die.specification.faces);
        span.set("die.error_rate", die.specification.error_rate);
        Ok(die)
    }
}
