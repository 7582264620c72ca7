//! The client of dice-roller: the only place that knows its responses.

use std::time::Duration;

use axum::body::Bytes;
use http::{HeaderMap, header};
use reqwest::Url;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use service::{BreakerSettings, Deadline, ProblemBody, Service, Upstream, UpstreamError};
use utoipa::ToSchema;

use crate::error::Error;
use crate::query::RollRequest;

type Response = http::Response<Bytes>;

/// The most of a `detail` of dice-roller that is passed on, in characters.
const MAX_DETAIL: usize = 1000;

/// Rolls dice somewhere else.
#[derive(Clone)]
pub(crate) struct DiceRoller {
    upstream: Upstream,
    base: Url,
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
    /// With `details=true`: the times of each roll, in the order of `rolls`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) details: Option<Vec<Detail>>,
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

/// The times of one roll of a batch.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Detail {
    /// Its place in `rolls`, from 0.
    #[schema(example = 1)]
    pub(crate) index: usize,
    /// When it began, in seconds since the first one could; later where it waited for its turn (`concurrency`).
    #[schema(example = 0.0)]
    pub(crate) start: f64,
    /// How long it took, in seconds.
    #[schema(example = 0.42)]
    pub(crate) seconds: f64,
    /// Its place in the order of completion, from 1.
    #[schema(example = 3)]
    pub(crate) finished: usize,
}

impl DiceRoller {
    /// A client of the dice-roller at `base`.
    ///
    /// Any status is what dice-roller means, also that of a failed roll: only a request without a response is a failure
    /// for the breaker.
    pub(crate) fn new(base: &Url, breaker: &BreakerSettings, service: &Service) -> anyhow::Result<Self> {
        Ok(Self { upstream: service.upstream("dice-roller", base, breaker, |_| false)?, base: base.clone() })
    }

    /// Sends `request` and waits for the response, whatever it is.
    pub(crate) async fn send(&self, request: &RollRequest<'_>, deadline: Deadline) -> Result<Response, UpstreamError> {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{}", url.path(), request.path));
        url.set_query(Some(&request.query));
        self.upstream.get(url, request.timeout, deadline).await
    }
}

/// The roll or batch in `response`, or the error that it is.
pub(crate) fn read<T: DeserializeOwned>(response: &Response) -> Result<T, Error> {
    let (status, body) = (response.status(), response.body());
    if status.is_client_error() || status.is_server_error() {
        let detail = match serde_json::from_slice::<ProblemBody>(body) {
            Ok(problem) => problem.detail.chars().take(MAX_DETAIL).collect(),
            Err(_) => format!("dice-roller answered {status} without saying why"),
        };
        return Err(Error::Refused { status, detail, retry_after: retry_after(response.headers()) });
    }
    match serde_json::from_slice(body) {
        Ok(rolled) if status.is_success() => Ok(rolled),
        Ok(_) => Err(Error::Unreadable(format!("status {status}"))),
        Err(fault) => Err(Error::Unreadable(format!("status {status}, {fault}"))),
    }
}

/// The span that made `response`, as the viewer's comparison takes it: `<trace id>-<span id>`, from `traceresponse`.
pub(crate) fn span(response: &Response) -> Option<String> {
    let mut parts = response.headers().get("traceresponse")?.to_str().ok()?.split('-').skip(1);
    let mut id = |digits| parts.next().filter(|id| id.len() == digits && id.bytes().all(|c| c.is_ascii_hexdigit()));
    Some(format!("{}-{}", id(32)?, id(16)?))
}

/// `Retry-After` in its form of whole seconds, the only one that these services send.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(header::RETRY_AFTER)?.to_str().ok()?.parse().ok().map(Duration::from_secs)
}
