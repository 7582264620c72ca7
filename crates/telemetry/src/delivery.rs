//! What became of the telemetry itself: how many spans and log records were exported, how many were lost, and why.
//!
//! The SDK's batch processors drop what does not fit into their queue with one warning, and call a refused export a
//! success at shutdown. So each stands between two parts of ours that keep an [`Account`]: [`Admission`] (for log records
//! the layer that makes them) lets in only what fits, [`Counted`] counts what the exporter achieved. What was let in and never came out is counted at shutdown:
//! exported + dropped = ended.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::{LogBatch, LogExporter};
use opentelemetry_sdk::trace::{Span, SpanData, SpanExporter, SpanProcessor};
use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

use span_export::DropReason;

use crate::otlp::ExportClient;

/// The counters of one signal. A log line on stdout counts among the log records.
#[derive(Debug, Clone)]
pub(crate) struct Counters {
    exported: IntCounter,
    dropped: IntCounterVec,
}

impl Counters {
    /// Registers the counters of spans and of log records. Every reason shows from the start, with zero, so that an
    /// alert sees the first loss.
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<(Self, Self)> {
        let counters = |exported, dropped, help| {
            let counters = Self {
                exported: IntCounter::new(exported, "Exported, as far as the receiver accepted it")?,
                dropped: IntCounterVec::new(Opts::new(dropped, help), &["reason"])?,
            };
            for reason in [DropReason::QueueFull, DropReason::ExportFailed, DropReason::Shutdown] {
                counters.dropped(reason, 0);
            }
            registry.register(Box::new(counters.dropped.clone()))?;
            prometheus::Result::Ok(counters)
        };
        let spans = counters(
            "telemetry_spans_exported_total",
            "telemetry_spans_dropped_total",
            "Spans that were lost, by reason",
        )?;
        registry.register(Box::new(spans.exported.clone()))?;
        let logs = counters(
            "telemetry_log_records_exported_total", // not registered: the contract has no such metric
            "telemetry_log_records_dropped_total",
            "Log lines and records that were lost, by reason",
        )?;
        Ok((spans, logs))
    }

    pub(crate) fn exported(&self, count: usize) {
        self.exported.inc_by(count as u64);
    }

    pub(crate) fn dropped(&self, reason: DropReason, count: usize) {
        self.dropped.with_label_values(&[reason.as_str()]).inc_by(count as u64);
    }

    /// How many spans are no longer waiting, for whatever reason.
    pub(crate) fn done(&self) -> u64 {
        let reasons = [DropReason::QueueFull, DropReason::ExportFailed, DropReason::Shutdown];
        let dropped = reasons.map(|reason| self.dropped.with_label_values(&[reason.as_str()]).get());
        self.exported.get() + dropped.iter().sum::<u64>()
    }

    pub(crate) fn lost_at_shutdown(&self) -> u64 {
        self.dropped.with_label_values(&[DropReason::Shutdown.as_str()]).get()
    }
}

/// The number of items between their end and the end of their export, and whether the account is closed: one atomic
/// value, so that an item that is admitted, exported or given up at the same moment as another is counted once.
#[derive(Debug)]
pub(crate) struct Account {
    inside: AtomicUsize,
    max_queue_size: usize,
    counters: Counters,
}

const CLOSED: usize = usize::MAX;

impl Account {
    pub(crate) fn new(max_queue_size: usize, counters: Counters) -> Arc<Self> {
        Arc::new(Self { inside: AtomicUsize::new(0), max_queue_size, counters })
    }

    /// Whether one more item fits. If not, it is counted as dropped.
    pub(crate) fn admit(&self) -> bool {
        let one_more = |inside| (inside < self.max_queue_size).then(|| inside + 1);
        match self.inside.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more) {
            Ok(_) => return true,
            Err(CLOSED) => self.counters.dropped(DropReason::Shutdown, 1),
            Err(_) => self.counters.dropped(DropReason::QueueFull, 1),
        }
        false
    }

    /// An export of `count` items is over; `failed` of them did not arrive. After [`Account::close`] they have been
    /// counted already.
    fn exported(&self, count: usize, failed: usize) {
        let without = |inside: usize| (inside != CLOSED).then(|| inside.saturating_sub(count));
        if self.inside.fetch_update(Ordering::AcqRel, Ordering::Acquire, without).is_err() {
            return;
        }
        self.counters.exported(count - failed);
        self.counters.dropped(DropReason::ExportFailed, failed);
    }

    /// Admits nothing more, and counts what has not been exported.
    pub(crate) fn close(&self) {
        match self.inside.swap(CLOSED, Ordering::AcqRel) {
            CLOSED => (),
            inside => self.counters.dropped(DropReason::Shutdown, inside),
        }
    }
}

/// In front of a batch processor of the SDK: lets in only what its queue has place for.
#[derive(Debug)]
pub(crate) struct Admission<P> {
    pub(crate) processor: P,
    pub(crate) account: Arc<Account>,
}

impl<P: SpanProcessor> SpanProcessor for Admission<P> {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.processor.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if self.account.admit() {
            self.processor.on_end(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.processor.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.processor.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.processor.set_resource(resource);
    }
}

/// Around an exporter: counts what became of each batch.
#[derive(Debug)]
pub(crate) struct Counted<E> {
    pub(crate) exporter: E,
    pub(crate) client: Arc<ExportClient>,
    pub(crate) account: Arc<Account>,
}

impl<E> Counted<E> {
    fn count(&self, count: usize, result: &OTelSdkResult) {
        let rejected = self.client.take_rejected().min(count);
        let failed = if result.is_ok() { rejected } else { count };
        if let Err(error) = result {
            let error = self.client.take_failure().unwrap_or_else(|| error.to_string());
            tracing::warn!(name: "export.failed", url = self.client.url(), count, error, "Export failed");
        }
        self.account.exported(count, failed);
    }
}

impl<E: SpanExporter> SpanExporter for Counted<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let count = batch.len();
        let result = self.exporter.export(batch).await;
        self.count(count, &result);
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

impl<E: LogExporter> LogExporter for Counted<E> {
    async fn export(&self, batch: LogBatch<'_>) -> OTelSdkResult {
        let count = batch.iter().count();
        let result = self.exporter.export(batch).await;
        self.count(count, &result);
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(spans: &Counters) -> (u64, [u64; 3]) {
        let reasons = [DropReason::QueueFull, DropReason::ExportFailed, DropReason::Shutdown];
        let dropped = reasons.map(|reason| spans.dropped.with_label_values(&[reason.as_str()]).get());
        (spans.exported.get(), dropped)
    }

    #[test]
    fn items_that_do_not_fit_fail_or_stay_inside_are_counted_once() {
        let (spans, _) = Counters::register(&Registry::new()).unwrap();
        let account = Account::new(3, spans.clone());
        assert_eq!([(); 4].map(|()| account.admit()), [true, true, true, false]);
        assert_eq!(counts(&spans), (0, [1, 0, 0]));
        account.exported(2, 1);
        assert!(account.admit());
        assert_eq!(counts(&spans), (1, [1, 1, 0]));
        account.close();
        account.close();
        assert!(!account.admit());
        assert_eq!(counts(&spans), (1, [1, 1, 3]));
        account.exported(2, 0); // an export that finishes after the shutdown gave it up
        assert_eq!(counts(&spans), (1, [1, 1, 3]));
    }

    #[test]
    fn concurrent_admissions_exports_and_close_add_up_exactly() {
        for round in 0..50 {
            let (spans, _) = Counters::register(&Registry::new()).unwrap();
            let account = Account::new(64, spans.clone());
            std::thread::scope(|scope| {
                for _ in 0..3 {
                    scope.spawn(|| {
                        for _ in 0..1000 {
                            if account.admit() {
                                account.exported(1, round % 2);
                            }
                        }
                    });
                }
                scope.spawn(|| account.close());
            });
            let (exported, dropped) = counts(&spans);
            assert_eq!(exported + dropped.iter().sum::<u64>(), 3000, "{exported} {dropped:?}");
        }
    }
}
