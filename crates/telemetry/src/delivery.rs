//! What became of the telemetry itself: how many spans and log records left, and how many were lost, and why.
//!
//! Numbers that an alert can watch; `batcher.rs` and the exporters tell them what became of each item.

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

/// Why something was not delivered; the values of the label `reason`.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Loss {
    /// It came faster than it could leave.
    QueueFull,
    /// The receiver could not be reached or refused it.
    ExportFailed,
    /// The process ended first.
    Shutdown,
}

impl Loss {
    const ALL: [Loss; 3] = [Loss::QueueFull, Loss::ExportFailed, Loss::Shutdown];

    fn reason(self) -> &'static str {
        match self {
            Loss::QueueFull => "queue_full",
            Loss::ExportFailed => "export_failed",
            Loss::Shutdown => "shutdown",
        }
    }
}

/// The counters about telemetry itself.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    spans_exported: IntCounter,
    spans_dropped: IntCounterVec,
    logs_dropped: IntCounterVec,
}

impl Delivery {
    /// Registers the counters; every reason shows from the start, with zero, so that an alert sees the first loss.
    pub(crate) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let dropped = |name, help| IntCounterVec::new(Opts::new(name, help), &["reason"]);
        let delivery = Self {
            spans_exported: IntCounter::new("telemetry_spans_exported_total", "Spans that the receiver accepted")?,
            spans_dropped: dropped("telemetry_spans_dropped_total", "Spans that were lost, by reason")?,
            logs_dropped: dropped(
                "telemetry_log_records_dropped_total",
                "Log lines and records that were lost, by reason",
            )?,
        };
        registry.register(Box::new(delivery.spans_exported.clone()))?;
        registry.register(Box::new(delivery.spans_dropped.clone()))?;
        registry.register(Box::new(delivery.logs_dropped.clone()))?;
        for loss in Loss::ALL {
            delivery.spans_dropped.with_label_values(&[loss.reason()]);
            delivery.logs_dropped.with_label_values(&[loss.reason()]);
        }
        Ok(delivery)
    }

    pub(crate) fn spans_exported(&self, count: usize) {
        self.spans_exported.inc_by(count as u64);
    }

    pub(crate) fn spans_dropped(&self, loss: Loss, count: usize) {
        self.spans_dropped.with_label_values(&[loss.reason()]).inc_by(count as u64);
    }

    pub(crate) fn logs_dropped(&self, loss: Loss, count: usize) {
        self.logs_dropped.with_label_values(&[loss.reason()]).inc_by(count as u64);
    }
}
