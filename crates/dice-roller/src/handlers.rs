//! The handlers. Each is the story of its span: set the attributes, do the work, record the outcome.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::extract::State;
use opentelemetry::Value;
use serde::{Deserialize, Serialize};
use service::{Deadline, Parameters, Problems, Query};
use telemetry::attributes;
use utoipa::{IntoParams, ToSchema};

use crate::VERSION;
use crate::app::AppState;
use crate::batch::{Batch, Rolled};
use crate::error::Error;
use crate::metrics::Mode;
use crate::roll::{Die, Stream, work};

/// Most faces on a span: a die may have half a million, and thousands of spans wait for their export.
const MAX_FACES_SHOWN: usize = 1000;

/// What this service is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct About {
    service: &'static str,
    version: &'static str,
    stage: &'static str,
    endpoints: [&'static str; 3],
    integration: &'static str,
    features: [&'static str; 4],
}

/// What this service is
#[utoipa::path(get, path = "/", responses((status = 200, body = About)))]
pub(crate) async fn about() -> Json<About> {
    Json(About {
        service: "Dice Roller API",
        version: VERSION,
        stage: "4",
        endpoints: ["/", "/roll?die={die}", "/roll-async?die={die}&times={times}"],
        integration: "die-service",
        features: ["concurrent rolls", "traces", "metrics", "structured logs"],
    })
}

/// The query of `/roll`.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct RollQuery {
    /// Name of a die, for example fair
    #[param(min_length = 1, max_length = 128)]
    pub(crate) die: String,
}

impl Parameters<Arc<AppState>> for RollQuery {}

/// The result of one roll.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OneRolled {
    /// The face.
    roll: i64,
}

/// Roll one die
#[utoipa::path(get, path = "/roll", params(RollQuery), responses((status = 200, body = OneRolled), Problems))]
pub(crate) async fn roll(
    State(state): State<Arc<AppState>>,
    deadline: Deadline,
    Query(query): Query<RollQuery>,
) -> Result<Json<OneRolled>, Error> {
    record_roll(&state, &query, state.roll(&query.die, deadline)).await.map(Json)
}

/// Sets the die of a roll, rolls it, and records what came of it.
pub(crate) async fn record_roll(
    state: &AppState,
    query: &RollQuery,
    rolled: impl Future<Output = Result<i64, Error>>,
) -> Result<OneRolled, Error> {
    attributes::set("die.type", query.die.clone());
    tracing::info!(name: "roll.requested", die_type = &*query.die, "Roll request received");
    let rolled = rolled.await;
    let label = state.die_service.label(&query.die);
    match &rolled {
        Ok(face) => state.metrics.rolled(label, *face),
        Err(_) => state.metrics.roll_failed(label),
    }
    rolled.map(|roll| OneRolled { roll })
}

/// The query of `/roll-async`.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct RollAsyncQuery {
    /// Name of a die, for example fair
    #[param(min_length = 1, max_length = 128)]
    pub(crate) die: String,
    /// Rolls in the batch, from 1 to MAX_ASYNC_ROLLS (20)
    #[param(minimum = 1)]
    pub(crate) times: u32,
    /// What happens to a batch in which a roll fails (default: all-or-nothing)
    strategy: Option<Strategy>,
    /// Rolls at once, from 1 to `times` (default: all)
    #[param(minimum = 1)]
    concurrency: Option<u32>,
    /// Makes the batch repeatable: the same rolls, failures and delays whatever `concurrency` is, whatever else runs, and
    /// whatever ROLL_SEED is (default: ROLL_SEED, or chance)
    pub(crate) seed: Option<u64>,
    /// Whether the response has the times of each roll (default: false). A batch that fails has none; with best-effort a
    /// failed roll has its own
    details: Option<bool>,
}

impl Parameters<Arc<AppState>> for RollAsyncQuery {
    fn range(name: &str, state: &Arc<AppState>, number: &dyn Fn(&str) -> Option<u64>) -> RangeInclusive<u64> {
        let most = u64::from(state.max_async_rolls);
        match name {
            "times" => 1..=most,
            "concurrency" => 1..=number("times").unwrap_or(most),
            _ => 0..=u64::MAX,
        }
    }
}

/// What happens to a batch in which a roll fails.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Strategy {
    /// The batch fails; the other rolls still finish.
    #[default]
    AllOrNothing,
    /// The response has the others. Only a batch of which every roll failed fails.
    BestEffort,
}

/// The result of a batch.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BatchRolled {
    /// The sum of all faces rolled.
    total: i64,
    /// The faces in index order; null for a roll that failed, which only `best-effort` has.
    rolls: Vec<Option<i64>>,
    /// How many rolls were requested.
    count: u32,
    /// The rolls that failed; only with `best-effort`.
    #[serde(skip_serializing_if = "Option::is_none")]
    failed: Option<Vec<FailedRoll>>,
    /// The times of each roll, in index order; only with `details=true`.
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Vec<Detail>>,
}

/// The times of one roll.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Detail {
    /// Its index, from 0.
    index: u32,
    /// When it began, in seconds since the first one could; later where it waited for its turn (`concurrency`).
    start: f64,
    /// How long it took, in seconds.
    seconds: f64,
    /// Its place in the order of completion, from 1.
    finished: usize,
}

/// A roll that failed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FailedRoll {
    /// Its index, from 0.
    index: u32,
    /// Why.
    error: String,
}

/// Roll a batch of dice concurrently
///
/// The rolls run at the same time, so the batch takes as long as its slowest roll.
#[utoipa::path(
    get,
    path = "/roll-async",
    params(RollAsyncQuery),
    responses((status = 200, body = BatchRolled), Problems)
)]
pub(crate) async fn roll_async(
    State(state): State<Arc<AppState>>,
    deadline: Deadline,
    Query(query): Query<RollAsyncQuery>,
) -> Result<Json<BatchRolled>, Error> {
    record_batch(&state, &query, state.roll_batch(&query, deadline)).await.map(Json)
}

/// Sets the attributes of a batch, rolls it, and records in log and metrics what came of it.
pub(crate) async fn record_batch(
    state: &AppState,
    query: &RollAsyncQuery,
    rolled: impl Future<Output = Result<BatchRolled, Error>>,
) -> Result<BatchRolled, Error> {
    let RollAsyncQuery { die, times, .. } = query;
    let (die_type, concurrency) = (&**die, query.concurrency());
    state.metrics.batch_requested(*times);
    attributes::set("die.type", die.clone());
    attributes::set("async.batch_size", i64::from(*times));
    attributes::set("async.concurrency", i64::from(concurrency));
    tracing::info!(name: "batch.started", die_type, times, concurrency, "Async roll batch started");
    let started = Instant::now();
    let rolled = rolled.await;
    match &rolled {
        Ok(BatchRolled { total, rolls, .. }) => {
            attributes::set("async.total_result", *total);
            let (rolls, duration) = (rolls.iter().flatten().collect::<Vec<_>>(), started.elapsed().as_secs_f64());
            tracing::info!(name: "batch.completed", die_type, times, total, ?rolls, duration, "Async roll batch completed");
        }
        // The client's fault; the telemetry layer has a line for it.
        Err(Error::UnknownDie { .. } | Error::QueueFull) => (),
        Err(error) => {
            tracing::error!(name: "batch.failed", die_type, times, error = &*error.cause(), "Async roll batch failed");
        }
    }
    rolled
}

impl AppState {
    async fn roll(&self, die_type: &str, deadline: Deadline) -> Result<i64, Error> {
        let stream = self.chance.next_request(None);
        let _admission = self.limit.admit(1).ok_or(Error::QueueFull)?; // before the call to die-service, which may be slow
        let die = self.find_die(die_type, deadline).await?;
        self.roll_die(&die, stream).await
    }

    pub(crate) async fn roll_die(&self, die: &Die, stream: Stream) -> Result<i64, Error> {
        let throw = self.chance.throw(die, stream, 0);
        let die_type = &*die.identifier;
        let (_permit, _) = self.limit.permit().await;
        let started = Instant::now();
        work(throw.duration).await;
        self.metrics.roll_took(Mode::Sync, started.elapsed());

        attributes::set("die.error", throw.face.is_none());
        match throw.face {
            Some(roll_value) => {
                attributes::set("die.result", roll_value);
                tracing::info!(name: "roll.completed", die_type, roll_value, "Roll completed");
                Ok(roll_value)
            }
            None => {
                let error_rate = die.specification.error_rate;
                tracing::error!(name: "roll.failed", die_type, error_rate, "Die triggered error condition");
                Err(Error::DieFailed { die: die_type.to_owned() })
            }
        }
    }

    async fn roll_batch(&self, query: &RollAsyncQuery, deadline: Deadline) -> Result<BatchRolled, Error> {
        let (times, concurrency) = (query.times, query.concurrency());
        let stream = self.chance.next_request(query.seed);
        let _admission = self.limit.admit(times).ok_or(Error::QueueFull)?;
        let die = self.find_die(&query.die, deadline).await?; // once for the whole batch
        let Self { chance, limit, metrics, .. } = self;
        let started = Instant::now();
        let rolls = Batch { die: &die, stream, times, concurrency, chance, limit, metrics }.roll().await;
        metrics.batch_finished(started.elapsed());
        BatchRolled::new(query, &rolls, started)
    }

    /// Gets the die from die-service, and sets what it is like on the span.
    pub(crate) async fn find_die(&self, identifier: &str, deadline: Deadline) -> Result<Die, Error> {
        let die = self.die_service.find(identifier, deadline).await?;
        set_die(&die);
        Ok(die)
    }
}

/// Sets what a die is like on the span.
pub(crate) fn set_die(die: &Die) {
    let faces = &die.specification.faces;
    attributes::set("die.faces", Value::Array(faces[..faces.len().min(MAX_FACES_SHOWN)].to_vec().into()));
    attributes::set("die.error_rate", die.specification.error_rate);
}

impl RollAsyncQuery {
    /// Rolls at once.
    pub(crate) fn concurrency(&self) -> u32 {
        self.concurrency.unwrap_or(self.times)
    }
}

impl BatchRolled {
    /// The response to `query`, whose rolls began at `started`; an error where too many failed.
    pub(crate) fn new(query: &RollAsyncQuery, rolls: &[Rolled], started: Instant) -> Result<Self, Error> {
        let times = query.times;
        let failed: Vec<u32> =
            (0..times).zip(rolls).filter(|(_, roll)| roll.face.is_none()).map(|(index, _)| index).collect();
        let strategy = query.strategy.unwrap_or_default();
        let fatal = match strategy {
            Strategy::AllOrNothing => !failed.is_empty(),
            Strategy::BestEffort => failed.len() == rolls.len(),
        };
        if fatal {
            return Err(Error::BatchFailed { die: query.die.clone(), failed, times });
        }
        let reason = |index| FailedRoll { index, error: format!("Die '{}' failed!", query.die) };
        Ok(Self {
            total: rolls.iter().filter_map(|roll| roll.face).fold(0, i64::saturating_add),
            rolls: rolls.iter().map(|roll| roll.face).collect(),
            count: times,
            failed: (strategy == Strategy::BestEffort).then(|| failed.into_iter().map(reason).collect()),
            details: query.details.unwrap_or_default().then(|| details(rolls, started)),
        })
    }
}

/// The times of the rolls of a batch that `began` then.
fn details(rolls: &[Rolled], began: Instant) -> Vec<Detail> {
    let ended = |index: &usize| rolls[*index].started + rolls[*index].took;
    let mut by_end: Vec<usize> = (0..rolls.len()).collect();
    by_end.sort_by_key(ended);
    let mut finished = vec![0; rolls.len()];
    by_end.into_iter().zip(1..).for_each(|(index, place)| finished[index] = place);
    let times = (0..).zip(rolls).zip(finished);
    let detail = |((index, roll), finished): ((u32, &Rolled), usize)| Detail {
        index,
        start: roll.started.duration_since(began).as_secs_f64(),
        seconds: roll.took.as_secs_f64(),
        finished,
    };
    times.map(detail).collect()
}
