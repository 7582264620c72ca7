//! All three services, as real processes.

use super::process::Process;
use super::{SHIPPED_QUEUE, sink::Sink};

/// A running system; it ends when dropped.
pub(crate) struct System {
    pub(crate) die_service: Process,
    pub(crate) dice_roller: Process,
    pub(crate) frontend: Process,
}

impl System {
    /// Starts all three with the shipped queue, this span processor and the longest simulated work of a roll. Spans go
    /// to `sink`.
    ///
    /// # Errors
    /// When one cannot be started.
    pub(crate) fn start(sink: &Sink, span_processor: &str, roll_delay_max_ms: u64) -> anyhow::Result<Self> {
        let (otlp, delay) = (sink.url(), roll_delay_max_ms.to_string());
        let mut all = SHIPPED_QUEUE.to_vec();
        all.push(("SPAN_PROCESSOR", span_processor));
        all.extend([("OTEL_EXPORTER_OTLP_ENDPOINT", otlp.as_str()), ("ROLL_DELAY_MAX_MS", &delay)]);

        let mut die_service = Process::service("die-service", &all)?;
        die_service.ready()?;
        let die_url = die_service.url();
        all.push(("DIE_SERVICE_URL", &die_url));
        let mut dice_roller = Process::service("dice-roller", &all)?;
        dice_roller.ready()?;
        let roller_url = dice_roller.url();
        all.push(("DICE_ROLLER_URL", &roller_url));
        let mut frontend = Process::service("frontend", &all)?;
        frontend.ready()?;
        Ok(Self { die_service, dice_roller, frontend })
    }

    /// With the names that they have in spans.
    pub(crate) fn services(&self) -> [(&'static str, &Process); 3] {
        [("frontend", &self.frontend), ("dice-roller", &self.dice_roller), ("die-service", &self.die_service)]
    }
}
