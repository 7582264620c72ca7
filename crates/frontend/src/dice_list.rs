//! The dice to choose from, as die-service last listed them.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use service::Deadline;

use crate::clients::die_service::{self, DieService};
use crate::metrics::{Metrics, UNKNOWN};

/// Between two tries at start, at most.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// The last known list; clones share it.
#[derive(Clone)]
pub(crate) struct DiceList {
    die_service: DieService,
    metrics: Arc<Metrics>,
    known: Arc<RwLock<Arc<[String]>>>,
}

impl DiceList {
    /// An empty list.
    pub(crate) fn new(die_service: DieService, metrics: Arc<Metrics>) -> Self {
        Self { die_service, metrics, known: Arc::default() }
    }

    /// The names, in die-service's order; empty until its first response.
    pub(crate) fn known(&self) -> Arc<[String]> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// `die` where die-service has confirmed that name, else `unknown`: what may be a label.
    pub(crate) fn confirmed<'a>(&self, die: &'a str) -> &'a str {
        if self.known().iter().any(|known| known == die) { die } else { UNKNOWN }
    }

    /// Fetches the list and says whether that worked; if not, the last known list stays.
    pub(crate) async fn refresh(&self, deadline: Deadline) -> bool {
        match self.die_service.dice(deadline).await {
            Ok(identifiers) => {
                let count = identifiers.len();
                tracing::info!(name: "die.list.fetched", count, identifiers = ?identifiers, "Die list fetched from die service");
                identifiers.iter().for_each(|die| self.metrics.show(die));
                *self.known.write().unwrap_or_else(PoisonError::into_inner) = identifiers;
                true
            }
            Err(error) => {
                tracing::warn!(name: "die.list.not_available", error = format!("{error:#}"), "Die list not available");
                false
            }
        }
    }

    /// Tries until there is a list; from then on each page view fetches it anew.
    pub(crate) async fn fetch_first(&self) {
        let mut pause = die_service::TIMEOUT;
        while self.known().is_empty() && !self.refresh(Deadline::default()).await {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(MAX_PAUSE);
        }
    }
}
