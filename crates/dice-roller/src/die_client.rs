//! Asks die-service what a die is like.

use std::collections::HashSet;
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use http::StatusCode;
use reqwest::Url;
use telemetry::{Answer, CallError, Client, Deadline, ProblemBody};

use crate::error::Error;
use crate::metrics::{Metrics, UNKNOWN};
use crate::roll::Die;

/// die-service answers from memory; what takes longer than this is stuck.
const LIMIT: Duration = Duration::from_secs(2);

/// More names than that are no longer remembered, only answered: labels stay bounded whatever die-service says.
const MAX_CONFIRMED: usize = 1000;

/// The client of die-service, and the names that it has confirmed.
pub(crate) struct DieClient {
    client: Client,
    dice_url: Url,
    confirmed: RwLock<HashSet<String>>,
    metrics: Metrics,
}

impl DieClient {
    pub(crate) fn new(client: Client, base: &Url, metrics: Metrics) -> anyhow::Result<Self> {
        let dice_url = base.join("dice")?;
        Ok(Self { client, dice_url, confirmed: RwLock::default(), metrics })
    }

    /// The name as a metric label: itself once die-service has confirmed it, else `unknown`.
    pub(crate) fn label<'a>(&self, identifier: &'a str) -> &'a str {
        let confirmed = self.confirmed.read().unwrap_or_else(PoisonError::into_inner);
        if confirmed.contains(identifier) { identifier } else { UNKNOWN }
    }

    /// The die of that name.
    ///
    /// # Errors
    /// [`Error::UnknownDie`], or that die-service is out of reach, failing, or too slow.
    pub(crate) async fn find(&self, identifier: &str, deadline: Deadline) -> Result<Die, Error> {
        tracing::info!(identifier, "Querying die service for specification");
        let mut url = self.dice_url.clone();
        url.query_pairs_mut().append_pair("identifier", identifier);
        let asked = Instant::now();
        let answer = self.client.get(url, LIMIT, deadline).await;
        let took = asked.elapsed();
        let found = answer.map_err(no_answer).and_then(understand);
        match &found {
            Ok(_) => {
                self.confirm(identifier);
                self.metrics.die_asked(self.label(identifier), "success", Some(took));
            }
            Err((error, status)) => {
                tracing::warn!(identifier, status, error = &*error.cause(), "Die service refused");
                let called = *status != "circuit_open";
                self.metrics.die_asked(self.label(identifier), status, called.then_some(took));
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

fn no_answer(error: CallError) -> Refused {
    let status = error.kind();
    let error = match error {
        CallError::Timeout { limit } => Error::DieServiceTooSlow { limit },
        CallError::BreakerOpen { retry_after } => Error::DieServiceLeftAlone { retry_after },
        other => Error::DieServiceUnavailable { cause: other.to_string() },
    };
    (error, status)
}

fn understand(answer: Answer) -> Result<Die, Refused> {
    let failing = |cause: String| Error::DieServiceUnavailable { cause };
    match answer.status {
        StatusCode::OK => match answer.json::<Die>() {
            Ok(die) if die.usable() => Ok(die),
            Ok(_) => Err((failing("the die has no faces or no valid error rate".to_owned()), "error_invalid")),
            Err(error) => Err((failing(format!("the answer is no die: {error}")), "error_invalid")),
        },
        StatusCode::NOT_FOUND => {
            let detail =
                answer.json().map_or_else(|_| "Die not found".to_owned(), |problem: ProblemBody| problem.detail);
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
            Err((failing(format!("die-service answered {status}")), label))
        }
    }
}
