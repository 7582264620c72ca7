//! What die-service counts. Name, help and labels stand together; the verbs say when each moves.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

/// The handles of all metrics of this service.
#[derive(Debug)]
pub(crate) struct Metrics {
    requested: IntCounterVec,
    listed: IntCounter,
}

impl Metrics {
    /// Registers all; every die shows from the start, with zero.
    pub(crate) fn new(registry: &Registry, identifiers: &[&str]) -> prometheus::Result<Self> {
        let requested = Opts::new("die_specifications_requested_total", "Specifications found and sent, by die");
        let metrics = Self {
            requested: IntCounterVec::new(requested, &["identifier"])?,
            listed: IntCounter::new("die_list_requests_total", "Lists of all dice sent")?,
        };
        let loaded = IntGauge::new("die_specifications_loaded", "Dice that this service knows")?;
        loaded.set(identifiers.len() as i64);
        registry.register(Box::new(metrics.requested.clone()))?;
        registry.register(Box::new(metrics.listed.clone()))?;
        registry.register(Box::new(loaded))?;
        for identifier in identifiers {
            metrics.requested.with_label_values(&[identifier]);
        }
        Ok(metrics)
    }

    /// A specification was found and sent. `identifier` is a name of the catalogue, so clients cannot make labels.
    pub(crate) fn requested(&self, identifier: &str) {
        self.requested.with_label_values(&[identifier]).inc();
    }

    /// The list was sent.
    pub(crate) fn listed(&self) {
        self.listed.inc();
    }
}
