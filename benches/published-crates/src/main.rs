//! dice-roller instrumented with published crates, each used as its README says: what `cargo bench --bench tax` compares
//! ours with. The handlers do what those of `crates/dice-roller` do on the routes that are measured: parameters, limits,
//! circuit breaker, the call to die-service, the rolls, the log lines and the metrics of these routes.
//!
//! | for | crate | as its README says |
//! |---|---|---|
//! | SERVER spans | axum-tracing-opentelemetry 0.42.1 | `OtelAxumLayer`, `OtelInResponseLayer` |
//! | spans of `tracing` | tracing-opentelemetry 0.34.0 | `layer().with_tracer(…)`, `set_attribute` |
//! | export | opentelemetry-otlp 0.33.1 | HTTP/protobuf, batch exporter, the blocking reqwest client of its default features |
//! | CLIENT spans | reqwest-tracing 0.7.1 | `TracingMiddleware::default()` |
//! | metrics | axum-prometheus 0.10.1 | its layer; the service's own metrics with the macros of `metrics`, on which it is built |
//! | log lines | tracing-subscriber 0.3.23 | `fmt::layer().json()` on stdout |
//!
//! All are the newest versions (November 2026) and fit together on OpenTelemetry 0.33.1, but for one: reqwest-tracing's
//! newest feature is `opentelemetry_0_32`, whose propagator is another crate's than ours, so it would inject nothing. It
//! makes the spans here, without that feature; [`InjectContext`] adds the headers with axum-tracing-opentelemetry's helper.
//!
//! What this program does less than ours: its log lines have no `trace_id` and `span_id` (`json()` has no option for
//! them; they have the fields of all open spans), SERVER spans have no event for each finished roll, and there are no
//! `Server-Timing`, deadlines, drain, `Problem` documents and OpenAPI, and no count of what export drops. What it does
//! more, because it is the default: log lines are span events too, spans carry source lines, thread ids and busy times,
//! and each line is a system call or two.
//!
//! Reading order: `main` (the set-up that READMEs show), `handlers.rs` (the service).

mod handlers;

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::routing::get;
use axum::serve::ListenerExt;
use axum_prometheus::metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
use axum_prometheus::{AXUM_HTTP_REQUESTS_DURATION_SECONDS, PrometheusMetricLayer, PrometheusMetricLayerBuilder};
use axum_tracing_opentelemetry::middleware::{OtelAxumLayer, OtelInResponseLayer};
use axum_tracing_opentelemetry::tracing_opentelemetry_instrumentation_sdk as otel_helpers;
use http::Extensions;
use opentelemetry::global;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, Middleware, Next};
use reqwest_tracing::TracingMiddleware;
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// As in every program that is measured.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Buckets in seconds, by metric: those of the contract.
const BUCKETS: [(&str, &[f64]); 6] = [
    (
        AXUM_HTTP_REQUESTS_DURATION_SECONDS,
        &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0],
    ),
    ("dice_roll_value", &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]),
    ("roll_duration_seconds", &[0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.5]),
    ("die_service_request_duration_seconds", &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0]),
    ("async_roll_batch_size", &[1.0, 2.0, 3.0, 5.0, 10.0, 15.0, 20.0]),
    ("async_roll_duration_seconds", &[0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0]),
];

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let port = variable("PORT", 8107)?;
    let die_service = variable("DIE_SERVICE_URL", reqwest::Url::parse("http://127.0.0.1:8106")?)?;
    let roll_delay_max = Duration::from_millis(variable("ROLL_DELAY_MAX_MS", 1000)?);

    init_tracing()?;
    let (metric_layer, metrics) = init_metrics()?;
    let state = handlers::AppState::new(client()?, &die_service, roll_delay_max)?;

    let app = Router::new()
        .route("/roll", get(handlers::roll))
        .route("/roll-async", get(handlers::roll_async))
        .with_state(state)
        .layer(OtelInResponseLayer::default())
        .layer(OtelAxumLayer::default())
        .layer(metric_layer)
        .route("/ready", get(async || "ready"))
        .route("/metrics", get(async move || metrics.render()));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true))); // as ours
    Ok(axum::serve(listener, app.into_make_service()).await?)
}

/// The value of an environment variable, as ours has it.
fn variable<T>(name: &str, default: T) -> anyhow::Result<T>
where
    T: std::str::FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    std::env::var(name).map_or(Ok(default), |text| text.parse()).with_context(|| format!("{name} is not valid"))
}

/// Spans to OTLP, log lines to stdout. `OTEL_EXPORTER_OTLP_*` and `OTEL_BSP_*` are read by the libraries.
fn init_tracing() -> anyhow::Result<()> {
    let exporter = SpanExporter::builder().with_http().with_protocol(Protocol::HttpBinary).build()?;
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(Resource::builder().with_service_name("dice-roller").build())
        .build();
    global::set_text_map_propagator(TraceContextPropagator::new());
    let tracer = provider.tracer("dice-roller");
    global::set_tracer_provider(provider); // which keeps it for as long as the process runs
    // axum-tracing-opentelemetry's spans have the level TRACE and a target of their own, to be switched on so.
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,otel::tracing=trace"));
    tracing_subscriber::registry()
        .with(filter)
        .with(tracing_subscriber::fmt::layer().json())
        .with(tracing_opentelemetry::layer().with_tracer(tracer))
        .try_init()?;
    Ok(())
}

fn init_metrics()
-> anyhow::Result<(PrometheusMetricLayer<'static>, axum_prometheus::metrics_exporter_prometheus::PrometheusHandle)> {
    let mut recorder = PrometheusBuilder::new();
    for (name, buckets) in BUCKETS {
        recorder = recorder.set_buckets_for_metric(Matcher::Full(name.to_owned()), buckets)?;
    }
    let handle = recorder.install_recorder()?;
    // What axum-prometheus itself starts where one sets no buckets of one's own: else histograms grow until a scrape.
    let upkeep = handle.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(5)).await;
            upkeep.run_upkeep();
        }
    });
    Ok(PrometheusMetricLayerBuilder::new().with_metrics_from_fn(|| handle).build_pair())
}

/// A client whose requests have a span and carry its context; the other settings are those of ours.
fn client() -> anyhow::Result<ClientWithMiddleware> {
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .tcp_nodelay(true)
        .connect_timeout(handlers::LIMIT)
        .build()?;
    Ok(ClientBuilder::new(client).with(TracingMiddleware::default()).with(InjectContext).build())
}

/// Runs inside the span of [`TracingMiddleware`], where that would inject its context.
struct InjectContext;

#[async_trait::async_trait]
impl Middleware for InjectContext {
    async fn handle(
        &self,
        mut request: reqwest::Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<reqwest::Response> {
        otel_helpers::http::inject_context(&otel_helpers::find_current_context(), request.headers_mut());
        next.run(request, extensions).await
    }
}
