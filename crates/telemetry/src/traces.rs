//! The trace signal: how spans are sampled, queued, exported and counted.
//!
//! A span's way out: `tracing` span → the OpenTelemetry layer (`signals.rs`) → [`Batched`] → OTLP bytes (`otlp.rs`) → the
//! queue and its thread (`batcher.rs`) → HTTP.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use http::{HeaderMap, HeaderValue, header};
use opentelemetry::{Context, InstrumentationScope};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider, Span, SpanData, SpanExporter, SpanProcessor};
use prost::Message;

use crate::FLUSH_LIMIT;
use crate::batcher::Batcher;
use crate::delivery::Delivery;
use crate::life::CLIENT_IDLE;
use crate::otlp::{EncodedSpan, Envelope};
use crate::settings::{Export, Otel, SamplerName, TracesExporter};

/// The tracer provider, and the queue that knows at the end what did not leave.
pub(crate) struct Traces {
    pub(crate) provider: SdkTracerProvider,
    queue: Option<Arc<Batcher<EncodedSpan>>>,
}

impl Traces {
    /// # Errors
    /// When the export client cannot be built.
    pub(crate) fn new(
        otel: &Otel,
        resource: Resource,
        scope: &InstrumentationScope,
        delivery: &Delivery,
    ) -> anyhow::Result<Self> {
        let mut provider = SdkTracerProvider::builder().with_resource(resource.clone()).with_sampler(sampler(otel));
        let mut queue = None;
        match otel.otel_traces_exporter {
            TracesExporter::Otlp => {
                let otlp = Otlp::new(otel.traces(), Envelope::new(&resource, scope))?;
                let batcher = Arc::new(batcher(otlp, otel, delivery)?);
                provider = provider.with_span_processor(Batched(batcher.clone()));
                queue = Some(batcher);
            }
            TracesExporter::Console => {
                provider = provider.with_simple_exporter(opentelemetry_stdout::SpanExporter::default());
            }
            TracesExporter::None => (),
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

/// A blocking client: exporters run on threads of their own, where an async client finds no reactor and panics, after
/// which everything is lost in silence.
///
/// # Errors
/// When TLS cannot be set up.
pub(crate) fn export_client(export: &Export) -> anyhow::Result<reqwest::blocking::Client> {
    let mut client = reqwest::blocking::Client::builder().timeout(export.timeout).pool_idle_timeout(CLIENT_IDLE);
    if export.url.starts_with("http:") {
        client = client.tls_certs_only([]); // as in `Handle::client`
    }
    client.build().context("the export client could not be built")
}

/// The receiver of spans.
struct Otlp {
    client: reqwest::blocking::Client,
    url: String,
    headers: HeaderMap,
    envelope: Envelope,
}

impl Otlp {
    fn new(export: Export, envelope: Envelope) -> anyhow::Result<Self> {
        let mut headers = HeaderMap::try_from(&export.headers).context("OTEL_EXPORTER_OTLP_HEADERS")?;
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        Ok(Self { client: export_client(&export)?, url: export.url, headers, envelope })
    }

    /// Sends one batch; returns how many of its spans the receiver rejected.
    fn send(&self, spans: &[EncodedSpan]) -> anyhow::Result<usize> {
        let request = self.client.post(&self.url).headers(self.headers.clone()).body(self.envelope.around(spans));
        let answer = request.send()?.error_for_status()?.bytes()?;
        let answer = ExportTraceServiceResponse::decode(answer).unwrap_or_default(); // some receivers answer with a text
        let rejected = answer.partial_success.map_or(0, |partial| partial.rejected_spans);
        Ok(usize::try_from(rejected).unwrap_or(0).min(spans.len()))
    }
}

/// The queue in front of `otlp`, and the thread between the two.
fn batcher(otlp: Otlp, otel: &Otel, delivery: &Delivery) -> std::io::Result<Batcher<EncodedSpan>> {
    let (exported, lost) = (delivery.clone(), delivery.clone());
    let export = move |spans: Vec<EncodedSpan>| {
        let refused = otlp.send(&spans).unwrap_or_else(|error| {
            tracing::warn!(spans = spans.len(), error = format!("{error:#}"), "Spans not exported");
            spans.len()
        });
        exported.spans_exported(spans.len() - refused);
        refused
    };
    Batcher::start("span-exporter", otel.bounds(), export, move |loss, count| lost.spans_dropped(loss, count))
}

/// Hands each sampled span to the queue when it ends.
struct Batched(Arc<Batcher<EncodedSpan>>);

impl std::fmt::Debug for Batched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Batched")
    }
}

impl SpanProcessor for Batched {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() {
            self.0.push(span.into());
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
