//! The client of die-service.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use reqwest::Url;
use serde::Deserialize;
use service::{BreakerSettings, Deadline, Service, Upstream};

/// A page is not held up longer than this for the list.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(1);

/// A longer list is refused: each name becomes an entry of the form and a label of the metrics.
const MAX_DICE: usize = 1000;

/// Knows which dice exist.
#[derive(Clone)]
pub(crate) struct DieService {
    upstream: Upstream,
    dice: Url,
}

#[derive(Deserialize)]
struct DiceResponse {
    identifiers: Arc<[String]>,
}

impl DieService {
    /// A client of the die-service at `base`. A 5xx is a failure for the breaker.
    pub(crate) fn new(base: &Url, breaker: &BreakerSettings, service: &Service) -> anyhow::Result<Self> {
        let upstream = service.upstream("die-service", base, breaker, |status| status.is_server_error())?;
        Ok(Self { upstream, dice: base.join("dice")? })
    }

    /// The names of all dice, at least one.
    pub(crate) async fn dice(&self, deadline: Deadline) -> anyhow::Result<Arc<[String]>> {
        let response = self.upstream.get(self.dice.clone(), TIMEOUT, deadline).await?;
        ensure!(response.status().is_success(), "die-service answered {}", response.status());
        let list: DiceResponse = serde_json::from_slice(response.body()).context("die-service's list is malformed")?;
        let count = list.identifiers.len();
        ensure!((1..=MAX_DICE).contains(&count), "die-service has {count} dice; this page takes 1 to {MAX_DICE}");
        Ok(list.identifiers)
    }
}
