//! The requests to roll: read from a query, checked, and handed on to dice-roller as a query again. A parameter that is
//! not in these structs reaches nobody.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use service::Parameters;
use utoipa::{IntoParams, ToSchema};

use crate::app::AppState;
use crate::rate_limit::Rolls;

/// The query of `/roll`.
#[derive(Debug, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct RollQuery {
    /// Name of a die, for example fair
    #[param(min_length = 1, max_length = 128)]
    pub(crate) die: String,
}

/// The query of `/roll-async`.
#[derive(Debug, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct BatchQuery {
    /// Name of a die, for example fair
    #[param(min_length = 1, max_length = 128)]
    pub(crate) die: String,
    /// How many rolls: from 1 to MAX_ASYNC_ROLLS
    #[param(minimum = 1)]
    pub(crate) times: u32,
    /// What becomes of a batch in which a roll fails: all-or-nothing (default) or best-effort
    #[param(inline)]
    pub(crate) strategy: Option<Strategy>,
    /// How many rolls at the same time: from 1 to `times`; all where it is left out
    #[param(minimum = 1)]
    pub(crate) concurrency: Option<u32>,
    /// Makes the batch repeatable: the same rolls, failures and delays whatever `concurrency` is and whatever else runs
    pub(crate) seed: Option<u64>,
    /// Whether the response has the times of each roll (default: false). A batch that fails has none; with best-effort a
    /// failed roll has its own
    pub(crate) details: Option<bool>,
}

/// What becomes of a batch in which a roll fails.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Strategy {
    /// The batch fails.
    AllOrNothing,
    /// The other rolls are the result.
    BestEffort,
}

impl Parameters<Arc<AppState>> for RollQuery {}

impl Rolls for RollQuery {}

impl Rolls for BatchQuery {
    fn rolls(&self) -> u32 {
        self.times
    }
}

impl Parameters<Arc<AppState>> for BatchQuery {
    fn range(name: &str, state: &Arc<AppState>, number: &dyn Fn(&str) -> Option<u64>) -> RangeInclusive<u64> {
        let max = u64::from(state.max_rolls);
        match name {
            "times" => 1..=max,
            "concurrency" => 1..=number("times").unwrap_or(max),
            _ => 0..=u64::MAX,
        }
    }
}

/// One roll waits up to a second; five mean that something is wrong.
const ROLL_TIMEOUT: Duration = Duration::from_secs(5);
/// Twenty rolls one after the other (`concurrency=1`) take ten seconds on average.
const BATCH_TIMEOUT: Duration = Duration::from_secs(30);

/// A checked request, as it is sent to dice-roller.
pub(crate) struct RollRequest<'a> {
    pub(crate) path: &'static str,
    pub(crate) query: String,
    pub(crate) timeout: Duration,
    pub(crate) die: &'a str,
    /// How many rolls a batch has; none for a single roll.
    pub(crate) batch_size: Option<u32>,
}

impl<'a> RollRequest<'a> {
    pub(crate) fn roll(query: &'a RollQuery) -> Self {
        Self { path: "roll", query: encoded(query), timeout: ROLL_TIMEOUT, die: &query.die, batch_size: None }
    }

    pub(crate) fn batch(query: &'a BatchQuery) -> Self {
        let batch_size = Some(query.times);
        Self { path: "roll-async", query: encoded(query), timeout: BATCH_TIMEOUT, die: &query.die, batch_size }
    }
}

fn encoded(query: &impl Serialize) -> String {
    // It fails for structs within structs, which these are not.
    serde_urlencoded::to_string(query).unwrap_or_default()
}
