//! The client of die-service: what a die is like.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Response, StatusCode};
use reqwest::Url;
use service::{Deadline, ProblemBody, Upstream, UpstreamError};
use telemetry::ClientError;

use crate::error::Error;
use crate::metrics::{Metrics, UNKNOWN};
use crate::roll::Die;

/// die-service responds from memory; what takes longer than this is stuck.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Names that may become metric labels: their number stays bounded whatever die-service says.
const MAX_CONFIRMED: usize = 1000;

/// The client of die-service, and the names that it has confirmed.
pub(crate) struct DieService {
    upstream: Upstream,
    dice_url: Url,
    confirmed: RwLock<HashSet<String>>,
    metrics: Arc<Metrics>,
}

impl DieService {
    pub(crate) fn new(upstream: Upstream, base: &Url, metrics: Arc<Metrics>) -> anyhow::Result<Self> {
        let dice_url = base.join("dice")?;
        Ok(Self { upstream, dice_url, confirmed: RwLock::default(), metrics })
    }

    /// The name as a metric label: itself once die-service has confirmed it, else `unknown`.
    pub(crate) fn label<'a>(&self, identifier: &'a str) -> &'a str {
        let confirmed = self.confirmed.read().unwrap_or_else(PoisonError::into_inner);
        if confirmed.contains(identifier) { identifier } else { UNKNOWN }
    }

    /// The die of that name.
    ///
    /// # Errors
    /// [`Error::UnknownDie`], or that die-service cannot be reached, fails, or is too slow.
    pub(crate) async fn find(&self, identifier: &str, deadline: Deadline) -> Result<Die, Error> {
        tracing::info!(name: "die_service.queried", identifier, "Querying die service for specification");
        let mut url = self.dice_url.clone();
        url.query_pairs_mut().append_pair("identifier", identifier);
        let started = Instant::now();
        let response = self.upstream.get(url, TIMEOUT, deadline).await;
        let took = started.elapsed();
        let found = response.map_err(no_response).and_then(|response| parse(&response));
        match &found {
            Ok(_) => {
                self.confirm(identifier);
                self.metrics.die_requested(self.label(identifier), "success", Some(took));
            }
            Err((error, status)) => {
                let error = &*error.cause();
                tracing::warn!(name: "die_service.refused", identifier, status, error, "Die service refused");
                let called = *status != "circuit_open";
                self.metrics.die_requested(self.label(identifier), status, called.then_some(took));
            }
        }
        found.map_err(|(error, _)| error)
    }

    fn confirm(&self, identifier: &str) {
        if self.label(identifier) == UNKNOWN {
            let mut confirmed = self.confirmed.write().unwrap_or_else(PoisonError::into_inner);
            if confirmed.len() < MAX_CONFIRMED {
                confirmed.insert(identifier.to_owned());
            }
        }
    }
}

/// An error, and the value of the metric's label `status` for it.
type Refused = (Error, &'static str);

fn no_response(error: UpstreamError) -> Refused {
    let status = error.kind();
    let error = match error {
        UpstreamError::BreakerOpen { retry_after } => Error::DieServiceBreakerOpen { retry_after },
        UpstreamError::Call(ClientError::Timeout { limit }) => Error::DieServiceTooSlow { limit },
        UpstreamError::Call(other) => Error::DieServiceUnavailable { cause: other.to_string() },
    };
    (error, status)
}

fn parse(response: &Response<Bytes>) -> Result<Die, Refused> {
    let unavailable = |cause: String| Error::DieServiceUnavailable { cause };
    match response.status() {
        StatusCode::OK => match serde_json::from_slice::<Die>(response.body()) {
            Ok(die) if die.is_valid() => Ok(die),
            Ok(_) => Err((unavailable("the die has no faces or no valid error rate".to_owned()), "error_invalid")),
            Err(error) => Err((unavailable(format!("the response is no die: {error}")), "error_invalid")),
        },
        StatusCode::NOT_FOUND => {
            let problem = serde_json::from_slice(response.body());
            let detail = problem.map_or_else(|_| "Die not found".to_owned(), |problem: ProblemBody| problem.detail);
            Err((Error::UnknownDie { detail }, "error_404"))
        }
        status => {
            let label = match status.as_u16() {
                429 => "error_429",
                500 => "error_500",
                502 => "error_502",
                503 => "error_503",
                504 => "error_504",
                _ => "error_other",
            };
            Err((unavailable(format!("die-service responded {status}")), label))
        }
    }
}
