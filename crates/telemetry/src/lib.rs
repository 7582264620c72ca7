//! Traces, metrics and logs of an Axum service, with the same ids in all three.
//!
//! ```no_run
//! # fn routes() -> utoipa_axum::router::OpenApiRouter { Default::default() }
//! # fn run(settings: telemetry::settings::Settings) -> anyhow::Result<()> {
//! let telemetry = telemetry::Telemetry::start("my-service", env!("CARGO_PKG_VERSION"), &settings)?; // 1. telemetry on
//! let service = telemetry.handle();
//! telemetry.run(async move {
//!     let listener = telemetry::bind("127.0.0.1", 8080).await?; //  2. listener bound
//!     let app = service.app(routes(), Default::default());
//!     service.serve(listener, app).await //                         3. serve until SIGTERM, drain
//! }) //                                                             4. flush spans and logs
//! # }
//! ```
//!
//! Reading order: `server.rs` (what is recorded of a request), `client.rs` (of a call), `propagation.rs` (how the two
//! join into one trace), `signals.rs` (what becomes of `tracing`'s spans and events), `span.rs` (what a handler says),
//! `traces.rs` (a span's way out), `logs.rs`, `metrics.rs`, `life.rs`. This crate knows HTTP and OpenTelemetry; it does not
//! know what its services are about.

mod batcher;
mod breaker;
mod client;
pub mod config;
mod deadline;
mod delivery;
mod life;
mod log_records;
mod log_sink;
mod logs;
mod metrics;
mod otlp;
mod problem;
mod propagation;
mod query;
mod resource;
mod routes;
mod server;
pub mod settings;
mod signals;
mod span;
pub mod testing;
mod traces;

use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use opentelemetry::InstrumentationScope;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracer};
use prometheus::Registry;
use reqwest::Url;
use tokio::net::TcpListener;
use tracing::Subscriber;
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use utoipa_axum::router::OpenApiRouter;

pub use breaker::{Breaker, BreakerSettings};
pub use client::{Answer, CallError, Client};
pub use deadline::Deadline;
pub use life::{bind, healthcheck, stop_signal};
pub use problem::{Problem, ProblemBody};
pub use query::Query;
pub use span::{ChildSpan, Fact, SpanFacts, Tracer};

use delivery::Delivery;
use life::Readiness;
use log_records::LogRecords;
use log_sink::LogSink;
use logs::LogLines;
use metrics::HttpMetrics;
use propagation::Propagation;
use server::ServerTelemetry;
use settings::Settings;
use signals::Signals;
use traces::Traces;

/// How long the end may take once requests have drained: spans and logs that have not left by then are counted as lost.
pub(crate) const FLUSH_LIMIT: Duration = Duration::from_secs(5);

/// The telemetry of this process, from its start to the last span.
pub struct Telemetry {
    handle: Handle,
    traces: Traces,
    records: Option<LogRecords>,
    sink: LogSink,
}

/// What a service uses of it while it runs. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    service: &'static str,
    version: &'static str,
    registry: Registry,
    server: ServerTelemetry,
    tracer: Tracer,
    readiness: Readiness,
    grace: Duration,
}

impl Telemetry {
    /// Builds all three signals and makes them this process' own.
    ///
    /// Call it once, before a runtime exists: the exporters' blocking clients may not be made inside one.
    ///
    /// # Errors
    /// When an exporter cannot be built, or telemetry was started before in this process.
    pub fn start(service: &'static str, version: &'static str, settings: &Settings) -> anyhow::Result<Self> {
        Self::start_writing(service, version, settings, std::io::stdout())
    }

    /// As [`Telemetry::start`], with log lines written to `out`: for a program that shares its terminal with them.
    ///
    /// # Errors
    /// As [`Telemetry::start`].
    pub fn start_writing(
        service: &'static str,
        version: &'static str,
        settings: &Settings,
        out: impl std::io::Write + Send + 'static,
    ) -> anyhow::Result<Self> {
        let (telemetry, subscriber) = Self::build(service, version, settings, out, None)?;
        tracing::subscriber::set_global_default(subscriber).context("telemetry was started twice in this process")?;
        std::panic::set_hook(Box::new(|panic| tracing::error!(error = panic.to_string(), "Panic")));
        Ok(telemetry)
    }

    /// As [`Telemetry::start`], but leaves the subscriber to the caller, writes log lines to `out`, and spans to `memory`
    /// where it is given.
    fn build(
        service: &'static str,
        version: &'static str,
        settings: &Settings,
        out: impl std::io::Write + Send + 'static,
        memory: Option<InMemorySpanExporter>,
    ) -> anyhow::Result<(Self, impl Subscriber + Send + Sync)> {
        install_tls();
        let registry = Registry::new();
        #[cfg(target_os = "linux")]
        registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        let delivery = Delivery::new(&registry)?;

        let otel = &settings.otel;
        let resource = resource::resource(service, version, otel);
        let scope = InstrumentationScope::builder(service).build();
        let traces = match memory {
            Some(memory) => Traces::to(memory, resource.clone()),
            None => Traces::new(otel, resource.clone(), &scope, &delivery)?,
        };
        let records = LogRecords::new(otel, resource, &delivery)?;
        let sink = LogSink::new(out, delivery)?;

        let name = otel.otel_service_name.clone().unwrap_or_else(|| service.to_owned());
        let tracer = (!otel.otel_sdk_disabled).then(|| traces.provider.tracer_with_scope(scope));
        let signals = Signals {
            spans: tracer.clone().map(spans_layer),
            lines: LogLines::new(name, settings.log_format, sink.clone()),
            records: records.as_ref().map(LogRecords::emitter),
            wanted: settings.rust_log.clone(),
        };
        let subscriber = tracing_subscriber::registry().with(signals);

        let handle = Handle {
            service,
            version,
            server: ServerTelemetry {
                metrics: HttpMetrics::new(&registry)?,
                propagation: Propagation::new(&otel.otel_propagators, otel.otel_sdk_disabled),
            },
            tracer: Tracer(tracer),
            registry,
            readiness: Readiness::default(),
            grace: Duration::from_millis(settings.shutdown_grace_ms),
        };
        Ok((Self { handle, traces, records, sink }, subscriber))
    }

    /// What the service uses while it runs.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Runs `life` on a runtime of its own, then ends in the one order that loses nothing: the runtime first, so that
    /// the spans of cancelled requests end; then the exporters; the log lines last.
    ///
    /// # Errors
    /// Those of `life`, and when the runtime cannot be built.
    pub fn run(self, life: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let outcome = runtime.block_on(life);
        runtime.shutdown_timeout(Duration::from_secs(1));
        let lost = self.traces.shutdown(FLUSH_LIMIT);
        if lost > 0 {
            tracing::error!(spans = lost, "Spans were lost: the receiver did not take them before the process ended");
        }
        tracing::info!("Stopped");
        if let Some(records) = &self.records {
            records.shutdown(FLUSH_LIMIT);
        }
        self.sink.close(FLUSH_LIMIT);
        outcome
    }
}

impl Handle {
    /// Where the service registers its own metrics.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The whole service: `routes` recorded, `quiet` ones (static assets) not, and those of operation.
    pub fn app(&self, routes: OpenApiRouter, quiet: Router) -> Router {
        let (routes, mut api) = routes.split_for_parts();
        api.info = utoipa::openapi::Info::new(self.service, self.version);
        routes::with_operations(routes, api, quiet, self.server.clone(), self.registry.clone(), self.readiness.clone())
    }

    /// Makes spans for the parts of a request's work, where there are many.
    pub fn tracer(&self) -> Tracer {
        self.tracer.clone()
    }

    /// A client for calls to the service at `server`, which are spans and carry the trace on.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn client(&self, server: &Url) -> anyhow::Result<Client> {
        let mut http = reqwest::Client::builder();
        if server.scheme() == "http" {
            http = http.tls_certs_only([]); // or it reads all of the system's (docs/PERFORMANCE.md)
        }
        // No redirects: a service's answer is what it said. No proxy: neighbours are reached directly.
        let http = http
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .tcp_nodelay(true)
            .connect_timeout(Duration::from_secs(2))
            .pool_idle_timeout(life::CLIENT_IDLE)
            .build()?;
        Ok(Client::new(http, self.server.propagation))
    }

    /// Serves `app` until SIGTERM or SIGINT, then lets requests in flight finish within `SHUTDOWN_GRACE_MS`.
    ///
    /// # Errors
    /// When the signals cannot be watched.
    pub async fn serve(&self, listener: TcpListener, app: Router) -> anyhow::Result<()> {
        life::serve(listener, app, self.readiness.clone(), self.grace, stop_signal()?).await;
        Ok(())
    }
}

/// One TLS implementation for every client of the process; reqwest panics where none is installed.
fn install_tls() {
    // A second call changes nothing, and says so.
    let _ = rustls::crypto::ring::default_provider().install_default();
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

/// What the fuzz targets call (`fuzz/`); not there in any other build.
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing {
    use crate::propagation::Propagation;
    use crate::settings::PropagatorName;

    /// What a service hands on of the trace context that it was sent.
    pub fn pass_on(headers: &http::HeaderMap) -> http::HeaderMap {
        let propagation = Propagation::new(&[PropagatorName::Tracecontext, PropagatorName::Baggage], false);
        let mut out = http::HeaderMap::new();
        propagation.inject(&propagation.extract(headers), &mut out);
        out
    }
}
