//! The start and the shutdown of telemetry: the providers, the subscriber, the registry.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracer};
use prometheus::Registry;
use reqwest::Url;
use tracing::Subscriber;
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::filter::{FilterExt, LevelFilter, filter_fn};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

use crate::client::{self, Client};
use crate::delivery::Counters;
use crate::hooks::{Hooks, RequestHook};
use crate::log_records::LogRecords;
use crate::log_writer::LogWriter;
use crate::logs;
use crate::metrics::{self, HttpMetrics};
use crate::propagation::Propagation;
use crate::resource::resource;
use crate::server::ServerTelemetry;
use crate::settings::{self, Settings};
use crate::traces::Traces;

/// How long the export of the last spans and log records may take; what has not left by then is counted as dropped.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(4);
/// How long stdout may take for the last log lines.
const STDOUT_TIMEOUT: Duration = Duration::from_secs(2);

/// The telemetry of this process, from its start to the last span.
pub struct Telemetry {
    handle: Handle,
    span_counters: Counters,
    traces: Traces,
    log_records: Option<LogRecords>,
    log_writer: LogWriter,
    worker_threads: Option<usize>,
}

/// What a service uses of it while it runs. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    /// The service's name, as given to [`Telemetry::init`].
    pub service: &'static str,
    /// The service's version.
    pub version: &'static str,
    registry: Registry,
    server: Arc<ServerTelemetry>,
    request_hook: Option<RequestHook>,
}

impl Telemetry {
    /// Builds all three signals and installs them for this process, with log lines on stdout.
    ///
    /// Call it once, before a runtime exists: the exporters' blocking clients must not be made inside one.
    ///
    /// # Errors
    /// When an exporter cannot be built, or telemetry was started before in this process.
    pub fn init(service: &'static str, version: &'static str, settings: &Settings) -> anyhow::Result<Self> {
        Self::init_with_hooks(service, version, settings, Hooks::default())
    }

    /// As [`Telemetry::init`], with `hooks` that may change what leaves.
    ///
    /// # Errors
    /// As [`Telemetry::init`].
    pub fn init_with_hooks(
        service: &'static str,
        version: &'static str,
        settings: &Settings,
        hooks: Hooks,
    ) -> anyhow::Result<Self> {
        // Unbuffered, so that an error belongs to the lines that it lost.
        let stdout = std::io::stdout().as_fd().try_clone_to_owned().context("stdout")?;
        Self::install(service, version, settings, File::from(stdout), hooks)
    }

    /// As [`Telemetry::init`], with log lines written to `out`: for a program that shares its terminal with them.
    ///
    /// # Errors
    /// As [`Telemetry::init`].
    pub fn init_writing_to(
        service: &'static str,
        version: &'static str,
        settings: &Settings,
        out: impl Write + Send + 'static,
    ) -> anyhow::Result<Self> {
        Self::install(service, version, settings, out, Hooks::default())
    }

    fn install(
        service: &'static str,
        version: &'static str,
        settings: &Settings,
        out: impl Write + Send + 'static,
        hooks: Hooks,
    ) -> anyhow::Result<Self> {
        settings.check()?;
        let (telemetry, subscriber) = Self::build(service, version, settings, out, None, hooks)?;
        tracing::subscriber::set_global_default(subscriber).context("telemetry was started twice in this process")?;
        for (setting, why) in settings::ignored() {
            tracing::warn!(name: "setting.ignored", setting, why, "Setting has no effect");
        }
        std::panic::set_hook(Box::new(|panic| tracing::error!(name: "panic", error = panic.to_string(), "Panic")));
        Ok(telemetry)
    }

    /// As [`Telemetry::init_writing_to`], but leaves the subscriber to the caller, and sends spans to `memory` where it
    /// is given.
    pub(crate) fn build(
        service: &'static str,
        version: &'static str,
        settings: &Settings,
        out: impl Write + Send + 'static,
        memory: Option<InMemorySpanExporter>,
        hooks: Hooks,
    ) -> anyhow::Result<(Self, impl Subscriber + Send + Sync)> {
        // One TLS implementation for every client of the process; an error says that it is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let registry = Registry::new();
        metrics::register_process_metrics(&registry)?;
        let (span_counters, log_counters) = Counters::register(&registry)?;

        let otel = &settings.otel;
        let resource = resource(service, version, otel);
        let traces = Traces::new(settings, resource.clone(), &span_counters, memory, hooks.span)?;
        let log_records = LogRecords::new(otel, resource, &log_counters)?;
        let log_writer = LogWriter::new(out, log_counters)?;

        let tracer = (!otel.otel_sdk_disabled).then(|| traces.provider.tracer(service));
        let name = otel.otel_service_name.clone().unwrap_or_else(|| service.to_owned());
        let log_lines = logs::layer(name, settings.log_format, log_writer.clone());
        // RUST_LOG is for log lines. Events do not reach the layer of spans: it would add each to the span, and an
        // `error!` would mark the span as failed, also that of a 4xx.
        let spans = filter_fn(|metadata| metadata.is_span()).and(LevelFilter::INFO);
        let subscriber = tracing_subscriber::registry()
            .with(tracer.clone().map(|tracer| spans_layer(tracer).with_filter(spans)))
            .with(log_lines.with_filter(settings.rust_log.clone()))
            .with(log_records.as_ref().map(|records| records.layer(&settings.rust_log)));

        let server = Arc::new(ServerTelemetry {
            tracer,
            metrics: HttpMetrics::new(&registry)?,
            propagation: Propagation::new(&otel.otel_propagators, otel.otel_sdk_disabled),
        });
        let handle = Handle { service, version, registry, server, request_hook: hooks.request };
        let worker_threads = hooks.worker_threads;
        Ok((Self { handle, span_counters, traces, log_records, log_writer, worker_threads }, subscriber))
    }

    /// What the service uses while it runs.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    pub(crate) fn log_writer(&self) -> &LogWriter {
        &self.log_writer
    }

    /// Runs `service` on a runtime of its own, then shuts down in the one order that loses nothing: the runtime first,
    /// so that the spans of cancelled requests end; then the exporters; the log lines last.
    ///
    /// # Errors
    /// Those of `service`, and when the runtime cannot be built.
    pub fn run(self, service: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        if let Some(threads) = self.worker_threads {
            runtime.worker_threads(threads);
        }
        let runtime = runtime.enable_all().build()?;
        let result = runtime.block_on(service);
        runtime.shutdown_timeout(Duration::from_secs(1));

        let deadline = Instant::now() + FLUSH_TIMEOUT;
        self.traces.shutdown(FLUSH_TIMEOUT);
        let spans = self.span_counters.lost_at_shutdown();
        if spans > 0 {
            tracing::error!(name: "spans.lost", spans, "Spans were lost: the receiver did not take them before the process ended");
        }
        tracing::info!(name: "service.stopped", "Stopped");
        if let Some(log_records) = &self.log_records {
            log_records.shutdown(deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(500)));
        }
        self.log_writer.close(STDOUT_TIMEOUT);
        result
    }
}

impl Handle {
    /// Where the service registers its own metrics.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The state of the layer [`trace`](crate::trace).
    pub fn server(&self) -> Arc<ServerTelemetry> {
        self.server.clone()
    }

    /// A client for requests to the service at `server`, each a CLIENT span that hands the trace context on.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn client(&self, server: &Url) -> anyhow::Result<Client> {
        let http = client::http_client(server)?;
        Ok(Client::new(http, self.server.tracer.clone(), self.server.propagation, self.request_hook.clone()))
    }
}

/// Spans to OpenTelemetry, without the bridge's own bookkeeping: source lines, threads, busy times.
fn spans_layer<S>(tracer: SdkTracer) -> OpenTelemetryLayer<S, SdkTracer>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    tracing_opentelemetry::layer()
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_level(false)
        .with_tracked_inactivity(false)
        .with_tracer(tracer)
}
