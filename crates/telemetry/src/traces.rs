//! The trace signal: how spans are sampled, queued, exported and counted.
//!
//! A span's way out: `tracing` span → the OpenTelemetry layer (`lib.rs`) → [`Batched`] → the queue and its thread
//! (`batcher.rs`) → OTLP over HTTP.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures::executor::block_on;
use opentelemetry::Context;
use opentelemetry_otlp::{Protocol, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider, Span, SpanData, SpanExporter, SpanProcessor};

use crate::FLUSH_LIMIT;
use crate::batcher::Batcher;
use crate::delivery::Delivery;
use crate::life::CLIENT_IDLE;
use crate::settings::{Export, Otel, SamplerName, TracesExporter};

/// The tracer provider, and the queue that knows at the end what did not leave.
pub(crate) struct Traces {
    pub(crate) provider: SdkTracerProvider,
    queue: Option<Arc<Batcher<SpanData>>>,
}

impl Traces {
    /// # Errors
    /// When the exporter cannot be built, for example because `OTEL_EXPORTER_OTLP_COMPRESSION` asks for one that this
    /// build lacks.
    pub(crate) fn new(otel: &Otel, resource: Resource, delivery: &Delivery) -> anyhow::Result<Self> {
        let queue = match otel.otel_traces_exporter {
            TracesExporter::Otlp => Some(queue(otlp(otel.traces())?, otel, &resource, delivery)?),
            TracesExporter::Console => {
                Some(queue(opentelemetry_stdout::SpanExporter::default(), otel, &resource, delivery)?)
            }
            TracesExporter::None => None,
        };
        let mut provider = SdkTracerProvider::builder().with_resource(resource).with_sampler(sampler(otel));
        if let Some(queue) = &queue {
            provider = provider.with_span_processor(Batched(queue.clone()));
        }
        Ok(Self { provider: provider.build(), queue })
    }

    /// Spans go to `exporter` as they end, for tests.
    pub(crate) fn to(exporter: impl SpanExporter + 'static, resource: Resource) -> Self {
        let provider = SdkTracerProvider::builder().with_resource(resource).with_simple_exporter(exporter).build();
        Self { provider, queue: None }
    }

    /// Exports what is left, within `limit`, and returns how many spans were lost to the end of the process.
    pub(crate) fn shutdown(&self, limit: Duration) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.shutdown(limit))
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
    let client = reqwest::blocking::Client::builder().timeout(timeout).pool_idle_timeout(CLIENT_IDLE);
    client.build().context("the export client could not be built")
}

/// The queue in front of `exporter`, and the thread between the two.
fn queue(
    mut exporter: impl SpanExporter + 'static,
    otel: &Otel,
    resource: &Resource,
    delivery: &Delivery,
) -> anyhow::Result<Arc<Batcher<SpanData>>> {
    exporter.set_resource(resource);
    let (exported, lost) = (delivery.clone(), delivery.clone());
    let export = move |batch: Vec<SpanData>| {
        let count = batch.len();
        let accepted = block_on(exporter.export(batch)).is_ok();
        if accepted {
            exported.spans_exported(count);
        }
        accepted
    };
    let lost = move |loss, count| lost.spans_dropped(loss, count);
    Ok(Batcher::start("span-exporter", otel.bounds(), export, lost)?.into())
}

/// Hands each sampled span to the queue when it ends.
struct Batched(Arc<Batcher<SpanData>>);

impl std::fmt::Debug for Batched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Batched")
    }
}

impl SpanProcessor for Batched {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() {
            self.0.push(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.flush(FLUSH_LIMIT);
        Ok(())
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown(timeout);
        Ok(())
    }
}
