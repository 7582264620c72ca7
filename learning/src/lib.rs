//! The two lines that every exercise has: [`start`] at its beginning, and the drop of what that returns at its end.
//!
//! ```no_run
//! let telemetry = learning::start();
//! tracing::info_span!("work").in_scope(|| println!("working"));
//! drop(telemetry);
//! ```
//!
//! Nothing here is special to the lessons. Spans go to `OTEL_EXPORTER_OTLP_ENDPOINT`, which `dice learn` sets, and by
//! default to the trace viewer that `cargo run` starts.

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

/// Exports what is left when it is dropped.
#[must_use = "spans are exported until it is dropped"]
#[derive(Debug)]
pub struct Telemetry {
    provider: SdkTracerProvider,
}

/// Sends every span of `tracing` to the OTLP receiver, in batches.
///
/// # Panics
/// When it is called twice, or the environment holds an endpoint that is no address.
pub fn start() -> Telemetry {
    let provider = SdkTracerProvider::builder().with_resource(resource()).with_batch_exporter(exporter()).build();
    install(&provider);
    Telemetry { provider }
}

/// What sends spans to the OTLP receiver, for an exercise that makes a tracer provider itself.
///
/// # Panics
/// When the environment holds an endpoint that is no address.
pub fn exporter() -> SpanExporter {
    // One TLS implementation for every HTTP client of the process; a second call changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    SpanExporter::builder().with_http().build().expect("OTEL_EXPORTER_OTLP_ENDPOINT is the address of an OTLP receiver")
}

/// What a tracer provider says about this process.
pub fn resource() -> Resource {
    Resource::builder().with_service_name("learning").build()
}

/// Makes a span of `provider` from every span of `tracing`, from level INFO on.
///
/// # Panics
/// When there is a subscriber already.
pub fn install(provider: &SdkTracerProvider) {
    let layer = tracing_opentelemetry::layer()
        .with_location(false)
        .with_target(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_tracer(provider.tracer("learning"));
    tracing_subscriber::registry().with(layer.with_filter(LevelFilter::INFO)).init();
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Err(error) = self.provider.shutdown() {
            eprintln!("spans were not exported: {error}");
        }
    }
}
