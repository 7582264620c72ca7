//! The client of dice-roller: the only place that knows how its answers look.

use std::time::Duration;

use http::{HeaderMap, header};
use reqwest::Url;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use telemetry::{Answer, Breaker, BreakerSettings, CallError, Client, Deadline, Handle, ProblemBody};
use utoipa::ToSchema;

use crate::error::Error;
use crate::order::Order;

/// The most of a foreign `detail` that is passed on, in characters.
const MAX_DETAIL: usize = 1000;

/// Rolls dice somewhere else.
#[derive(Clone)]
pub(crate) struct Roller {
    client: Client,
    roll: Url,
    roll_async: Url,
}

/// One roll.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Roll {
    /// The face that lies on top.
    #[schema(example = 4)]
    pub(crate) roll: i64,
    /// The trace of this roll: 32 hex digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) trace_id: Option<String>,
}

/// A batch of rolls.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Rolls {
    /// The sum of the rolls that succeeded.
    #[schema(example = 17)]
    pub(crate) total: i64,
    /// The rolls in order; null where one failed.
    #[schema(example = json!([6, null, 4, 5, 2]))]
    pub(crate) rolls: Vec<Option<i64>>,
    /// How many rolls were made, the failed ones included.
    #[schema(example = 5)]
    pub(crate) count: u64,
    /// With `strategy=best-effort`: the rolls that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) failed: Option<Vec<FailedRoll>>,
    /// The trace of this batch: 32 hex digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) trace_id: Option<String>,
}

/// A roll of a batch that failed.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct FailedRoll {
    /// Its place in `rolls`, from 0.
    #[schema(example = 1)]
    pub(crate) index: usize,
    /// Why.
    #[schema(example = "Die 'risky' failed!")]
    pub(crate) error: String,
}

impl Roller {
    /// A client of the dice-roller at `base`, behind a circuit breaker.
    ///
    /// Any status is dice-roller's word, a failed roll is one too: only a call without an answer counts as a failure.
    pub(crate) fn new(base: &Url, breaker: BreakerSettings, service: &Handle) -> anyhow::Result<Self> {
        let breaker = Breaker::new("dice-roller", breaker, |_| false, service.registry())?;
        let client = service.client(base)?.with_breaker(breaker);
        Ok(Self { client, roll: base.join("roll")?, roll_async: base.join("roll-async")? })
    }

    /// Where `order` is placed.
    pub(crate) fn url(&self, order: &Order) -> Url {
        let mut url = if order.batch.is_some() { self.roll_async.clone() } else { self.roll.clone() };
        order.append_to(&mut url);
        url
    }

    /// Places `order` and waits for the answer, whatever it is.
    pub(crate) async fn ask(&self, order: &Order, deadline: Deadline) -> Result<Answer, CallError> {
        self.client.get(self.url(order), order.limit(), deadline).await
    }
}

/// The roll that `answer` holds, or the error.
pub(crate) fn understand<T: DeserializeOwned>(answer: &Answer) -> Result<T, Error> {
    let status = answer.status;
    if status.is_client_error() || status.is_server_error() {
        let detail = match answer.json::<ProblemBody>() {
            Ok(problem) => problem.detail.chars().take(MAX_DETAIL).collect(),
            Err(_) => format!("dice-roller answered {status} without saying why"),
        };
        return Err(Error::Refused { status, detail, retry_after: retry_after(&answer.headers) });
    }
    match answer.json() {
        Ok(rolled) if status.is_success() => Ok(rolled),
        Ok(_) => Err(Error::NotUnderstood(format!("status {status}"))),
        Err(fault) => Err(Error::NotUnderstood(format!("status {status}, {fault}"))),
    }
}

/// `Retry-After` in its form of whole seconds, the only one that these services send.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(header::RETRY_AFTER)?.to_str().ok()?.parse().ok().map(Duration::from_secs)
}
