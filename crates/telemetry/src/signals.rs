//! Where `tracing` ends and the signals begin: spans go to OpenTelemetry, events to the log lines.
//!
//! One layer, and not one a signal behind filters of `tracing-subscriber`: what is wanted is decided once for each place
//! in the code, and no span is looked up on behalf of a layer that does not want it (docs/PERFORMANCE.md).

use std::any::TypeId;

use opentelemetry_sdk::trace::SdkTracer;
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use crate::log_records::EmitRecords;
use crate::logs::LogLines;

/// Spans of this level and above are exported; `RUST_LOG` is for lines.
const SPANS: LevelFilter = LevelFilter::INFO;

/// The layer.
pub(crate) struct Signals<S> {
    /// None with `OTEL_SDK_DISABLED`.
    pub(crate) spans: Option<OpenTelemetryLayer<S, SdkTracer>>,
    pub(crate) lines: LogLines,
    /// None without `OTEL_LOGS_EXPORTER`.
    pub(crate) records: Option<EmitRecords>,
    /// `RUST_LOG`.
    pub(crate) wanted: Targets,
}

impl<S> Signals<S> {
    fn wants(&self, metadata: &Metadata<'_>) -> bool {
        match metadata.is_span() {
            true => self.spans.is_some() && *metadata.level() <= SPANS,
            false => self.wanted.would_enable(metadata.target(), metadata.level()),
        }
    }
}

impl<S: Subscriber + for<'span> LookupSpan<'span>> Layer<S> for Signals<S> {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.wants(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.wants(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        let lines = self.wanted.iter().map(|(_, level)| level).chain(self.wanted.default_level()).max();
        Some(lines.unwrap_or(LevelFilter::OFF).max(SPANS))
    }

    /// Not to the spans: an event would become a span event too, and an `error!` mark the span as failed, a 4xx's as well.
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        self.lines.write(event);
        if let Some(records) = &self.records {
            records.emit(event);
        }
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(spans) = &self.spans {
            spans.on_new_span(attributes, id, context);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(spans) = &self.spans {
            spans.on_record(id, values, context);
        }
    }

    fn on_follows_from(&self, id: &Id, follows: &Id, context: Context<'_, S>) {
        if let Some(spans) = &self.spans {
            spans.on_follows_from(id, follows, context);
        }
    }

    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        if let Some(spans) = &self.spans {
            spans.on_enter(id, context);
        }
    }

    fn on_exit(&self, id: &Id, context: Context<'_, S>) {
        if let Some(spans) = &self.spans {
            spans.on_exit(id, context);
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        if let Some(spans) = &self.spans {
            spans.on_close(id, context);
        }
    }

    /// `tracing-opentelemetry` finds its own layer so, for `set_parent` and `context`.
    #[allow(unsafe_code)]
    unsafe fn downcast_raw(&self, id: TypeId) -> Option<*const ()> {
        // SAFETY: the pointer is to a part of `self`, which lives as long as `self` does.
        self.spans.as_ref().and_then(|spans| unsafe { spans.downcast_raw(id) })
    }
}
