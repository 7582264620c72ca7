//! The trace signal: how spans are sampled, queued, exported and counted.
//!
//! A span's way out: `tracing` span → the OpenTelemetry layer (`lib.rs`) → [`Counted`] processor → the SDK's batch
//! processor, a thread of its own → [`CountedExporter`] → OTLP over HTTP.

use std::time::Duration;

use anyhow::Context as _;
use opentelemetry::Context;
use opentelemetry_otlp::{Protocol, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider, Span, SpanData, SpanExporter, SpanProcessor,
};

use crate::delivery::{Delivery, Gate, Loss};
use crate::settings::{Export, Otel, SamplerName, TracesExporter};

/// The tracer provider, and the gate that knows at the end what did not leave.
pub(crate) struct Traces {
    pub(crate) provider: SdkTracerProvider,
    gate: Gate,
    delivery: Delivery,
}

impl Traces {
    /// # Errors
    /// When the exporter cannot be built, for example because `OTEL_EXPORTER_OTLP_COMPRESSION` asks for one that this
    /// build lacks.
    pub(crate) fn new(otel: &Otel, resource: Resource, delivery: &Delivery) -> anyhow::Result<Self> {
        let gate = Gate::new(otel.otel_bsp_max_queue_size);
        let provider = SdkTracerProvider::builder().with_resource(resource).with_sampler(sampler(otel));
        let provider = match otel.otel_traces_exporter {
            TracesExporter::Otlp => provider.with_span_processor(batched(otlp(otel.traces())?, otel, &gate, delivery)),
            TracesExporter::Console => {
                let console = opentelemetry_stdout::SpanExporter::default();
                provider.with_span_processor(batched(console, otel, &gate, delivery))
            }
            TracesExporter::None => provider,
        };
        Ok(Self { provider: provider.build(), gate, delivery: delivery.clone() })
    }

    /// Spans go to `exporter` as they end, for tests.
    pub(crate) fn to(exporter: impl SpanExporter + 'static, resource: Resource, delivery: &Delivery) -> Self {
        let provider = SdkTracerProvider::builder().with_resource(resource).with_simple_exporter(exporter).build();
        Self { provider, gate: Gate::new(0), delivery: delivery.clone() }
    }

    /// Exports what is left, within `limit`, and returns how many spans were lost to the end of the process.
    pub(crate) fn shutdown(&self, limit: Duration) -> usize {
        // Its answer says nothing about the export (a refused one is `Ok`); the gate's count does.
        let _ = self.provider.shutdown_with_timeout(limit);
        let lost = self.gate.inside();
        self.delivery.spans_dropped(Loss::Shutdown, lost);
        lost
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

fn otlp(export: Export) -> anyhow::Result<opentelemetry_otlp::SpanExporter> {
    opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_http_client(export_client(export.timeout)?)
        .with_endpoint(export.url)
        .with_headers(export.headers)
        .with_timeout(export.timeout)
        .with_protocol(Protocol::HttpBinary)
        .build()
        .context("the OTLP span exporter could not be built")
}

/// A blocking client: the exporter runs on the batch processor's own thread, where an async client finds no reactor
/// and panics, after which every span is lost in silence.
///
/// # Errors
/// When TLS cannot be set up.
pub(crate) fn export_client(timeout: Duration) -> anyhow::Result<reqwest::blocking::Client> {
    reqwest::blocking::Client::builder().timeout(timeout).build().context("the export client could not be built")
}

fn batched<E: SpanExporter + 'static>(exporter: E, otel: &Otel, gate: &Gate, delivery: &Delivery) -> Counted {
    let exporter = CountedExporter { inner: exporter, gate: gate.clone(), delivery: delivery.clone() };
    let config = BatchConfigBuilder::default()
        .with_max_queue_size(otel.otel_bsp_max_queue_size)
        .with_max_export_batch_size(otel.otel_bsp_max_export_batch_size.min(otel.otel_bsp_max_queue_size))
        .with_scheduled_delay(Duration::from_millis(otel.otel_bsp_schedule_delay))
        .build();
    let inner = BatchSpanProcessor::builder(exporter).with_batch_config(config).build();
    Counted { inner, gate: gate.clone(), delivery: delivery.clone() }
}

/// Lets a finished span into the batch processor while there is room, and counts it as dropped otherwise.
#[derive(Debug)]
struct Counted {
    inner: BatchSpanProcessor,
    gate: Gate,
    delivery: Delivery,
}

impl SpanProcessor for Counted {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.inner.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if !span.span_context.is_sampled() {
            return;
        }
        if self.gate.enter() {
            self.inner.on_end(span);
        } else {
            self.delivery.spans_dropped(Loss::QueueFull, 1);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

/// Tells the gate and the counters what became of each batch.
#[derive(Debug)]
struct CountedExporter<E> {
    inner: E,
    gate: Gate,
    delivery: Delivery,
}

impl<E: SpanExporter> SpanExporter for CountedExporter<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let count = batch.len();
        let result = self.inner.export(batch).await;
        match &result {
            Ok(()) => self.delivery.spans_exported(count),
            Err(_) => self.delivery.spans_dropped(Loss::ExportFailed, count),
        }
        self.gate.leave(count);
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}
