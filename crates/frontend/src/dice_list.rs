//! The dice to choose from, as die-service last told them.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::{Context, ensure};
use reqwest::Url;
use serde::Deserialize;
use telemetry::{Client, Deadline, Handle};

use crate::metrics::{Metrics, UNKNOWN};

/// A page is not held up longer than this for the list.
const LIMIT: Duration = Duration::from_secs(1);
/// Between two tries at start, at most.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// A longer list is refused: each name becomes an entry of the form and a label of the metrics.
const MAX_DICE: usize = 1000;

/// The last known list; clones share it.
#[derive(Clone)]
pub(crate) struct DiceList {
    client: Client,
    url: Url,
    metrics: Metrics,
    known: Arc<RwLock<Arc<[String]>>>,
}

#[derive(Deserialize)]
struct Listed {
    identifiers: Arc<[String]>,
}

impl DiceList {
    /// An empty list, to be had from the die-service at `base`.
    pub(crate) fn new(base: &Url, metrics: Metrics, service: &Handle) -> anyhow::Result<Self> {
        Ok(Self { client: service.client(base)?, url: base.join("dice")?, metrics, known: Arc::default() })
    }

    /// The names, in die-service's order; empty until it first answered.
    pub(crate) fn known(&self) -> Arc<[String]> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// `die` where die-service has confirmed that name, else `unknown`: what may be a label.
    pub(crate) fn confirmed<'a>(&self, die: &'a str) -> &'a str {
        if self.known().iter().any(|known| known == die) { die } else { UNKNOWN }
    }

    /// Asks die-service. Whether it answered; if not, the last known list stays.
    pub(crate) async fn refresh(&self, deadline: Deadline) -> bool {
        match self.fetch(deadline).await {
            Ok(identifiers) => {
                tracing::info!(count = identifiers.len(), identifiers = ?identifiers, "Die list fetched from die service");
                identifiers.iter().for_each(|die| self.metrics.show(die));
                *self.known.write().unwrap_or_else(PoisonError::into_inner) = identifiers;
                true
            }
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "Die list not available");
                false
            }
        }
    }

    async fn fetch(&self, deadline: Deadline) -> anyhow::Result<Arc<[String]>> {
        let answer = self.client.get(self.url.clone(), LIMIT, deadline).await?;
        ensure!(answer.status.is_success(), "die-service answered {}", answer.status);
        let listed: Listed = answer.json().context("die-service's list was not understood")?;
        let count = listed.identifiers.len();
        ensure!((1..=MAX_DICE).contains(&count), "die-service has {count} dice; this page takes 1 to {MAX_DICE}");
        Ok(listed.identifiers)
    }

    /// Asks until there is a list; from then on each page view asks anew.
    pub(crate) async fn learn(&self) {
        let mut pause = LIMIT;
        while self.known().is_empty() && !self.refresh(Deadline::default()).await {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(MAX_PAUSE);
        }
    }
}
