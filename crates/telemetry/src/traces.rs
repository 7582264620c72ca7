//! The trace signal: how spans are sampled, queued and exported.
//!
//! A span's way out: the span ends → [`Admission`] → the SDK's batch processor → [`Counted`] →
//! `opentelemetry_otlp::SpanExporter` → [`ExportClient`] → HTTP. With `SPAN_PROCESSOR=direct` the crate `span-export`
//! stands for the three in the middle.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use anyhow::Context as _;
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, InMemorySpanExporter, Sampler, SdkTracerProvider, SpanProcessor,
    TracerProviderBuilder,
};
use span_export::SpanExport;

use crate::delivery::{Account, Admission, Counted, Counters};
use crate::hooks::{Hooked, SpanHook};
use crate::otlp::{self, ExportClient};
use crate::settings::{Otel, SamplerName, Settings, SpanProcessorName, TracesExporter};

/// The tracer provider, and the account of what waits for its export.
pub(crate) struct Traces {
    pub(crate) provider: SdkTracerProvider,
    account: Option<Arc<Account>>,
}

impl Traces {
    /// Spans go where the settings say, or as they end to `memory`, for tests.
    ///
    /// # Errors
    /// When the exporter cannot be built.
    pub(crate) fn new(
        settings: &Settings,
        resource: Resource,
        counters: &Counters,
        memory: Option<InMemorySpanExporter>,
        hook: Option<SpanHook>,
    ) -> anyhow::Result<Self> {
        let otel = &settings.otel;
        let builder = SdkTracerProvider::builder()
            .with_resource(resource)
            .with_sampler(sampler(otel))
            .with_span_limits(otel.span_limits());
        let mut account = None;
        let builder = match (memory, otel.otel_traces_exporter, settings.span_processor) {
            (Some(memory), ..) => builder.with_simple_exporter(memory),
            (None, TracesExporter::None, _) => builder,
            (None, TracesExporter::Console, _) => {
                builder.with_simple_exporter(opentelemetry_stdout::SpanExporter::default())
            }
            (None, TracesExporter::Otlp, SpanProcessorName::Batch) => {
                let spans = Account::new(otel.traces().max_queue_size, counters.clone());
                account = Some(spans.clone());
                with_processor(builder, batch_processor(otel, spans)?, hook, counters)
            }
            (None, TracesExporter::Otlp, SpanProcessorName::Direct) => {
                with_processor(builder, direct_processor(otel, counters)?, hook, counters)
            }
        };
        Ok(Self { provider: builder.build(), account })
    }

    /// Exports what is left, within `timeout`, and counts what was not exported.
    pub(crate) fn shutdown(&self, timeout: Duration) {
        let _ = self.provider.shutdown_with_timeout(timeout); // the account says what came of it
        if let Some(account) = &self.account {
            account.close();
        }
    }
}

fn with_processor(
    builder: TracerProviderBuilder,
    processor: impl SpanProcessor + 'static,
    hook: Option<SpanHook>,
    counters: &Counters,
) -> TracerProviderBuilder {
    match hook {
        None => builder.with_span_processor(processor),
        Some(hook) => {
            let (ended, counters) = (AtomicU64::new(0), counters.clone());
            builder.with_span_processor(Hooked { processor, hook, ended, counters })
        }
    }
}

fn sampler(otel: &Otel) -> Sampler {
    let parent_based = |root| Sampler::ParentBased(Box::new(root));
    let ratio = Sampler::TraceIdRatioBased(otel.otel_traces_sampler_arg);
    match otel.otel_traces_sampler {
        SamplerName::AlwaysOn => Sampler::AlwaysOn,
        SamplerName::AlwaysOff => Sampler::AlwaysOff,
        SamplerName::Traceidratio => ratio,
        SamplerName::ParentbasedAlwaysOn => parent_based(Sampler::AlwaysOn),
        SamplerName::ParentbasedAlwaysOff => parent_based(Sampler::AlwaysOff),
        SamplerName::ParentbasedTraceidratio => parent_based(ratio),
    }
}

/// The standard way.
fn batch_processor(otel: &Otel, account: Arc<Account>) -> anyhow::Result<impl SpanProcessor + use<>> {
    let destination = otel.traces();
    let client = ExportClient::new(&destination)?;
    let exporter = otlp::configure(SpanExporter::builder().with_http(), &client, &destination)
        .build()
        .context("the OTLP span exporter could not be built")?;
    let config = BatchConfigBuilder::default()
        .with_max_queue_size(destination.max_queue_size)
        .with_max_export_batch_size(destination.max_export_batch_size)
        .with_scheduled_delay(destination.schedule_delay)
        .build();
    let exporter = Counted { exporter, client, account: account.clone() };
    Ok(Admission { processor: BatchSpanProcessor::builder(exporter).with_batch_config(config).build(), account })
}

/// The fast way, for 100,000 spans a second; it counts by itself.
fn direct_processor(otel: &Otel, counters: &Counters) -> anyhow::Result<impl SpanProcessor + use<>> {
    let (destination, exported, dropped) = (otel.traces(), counters.clone(), counters.clone());
    SpanExport::builder(ExportClient::new(&destination)?, &destination.url)
        .max_queue_size(destination.max_queue_size)
        .max_export_batch_size(destination.max_export_batch_size)
        .schedule_delay(destination.schedule_delay)
        .timeout(destination.timeout)
        .gzip(destination.gzip)
        .on_export(move |count| exported.exported(count))
        .on_drop(move |reason, count| dropped.dropped(reason, count))
        .build()
        .context("the span processor could not be started")
}
