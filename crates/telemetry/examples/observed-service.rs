//! The smallest observed service: a span, metrics and a log line for each request.
//!
//! ```text
//! OTEL_TRACES_EXPORTER=console cargo run -p dice-telemetry --example observed-service
//! curl http://127.0.0.1:8080/        # prints its span
//! curl http://127.0.0.1:8080/metrics
//! ```

use axum::{Router, middleware, routing::get};
use clap::Parser;
use telemetry::settings::{Settings, within};
use telemetry::{Telemetry, attributes, metrics};
use tokio::net::TcpListener;

#[derive(clap::Parser)]
struct Config {
    /// Port to listen on; 0 takes any free one
    #[arg(long, env = "PORT", default_value_t = 8080, value_parser = within(0..=u16::MAX))]
    port: u16,

    #[command(flatten)]
    telemetry: Settings,
}

fn main() -> anyhow::Result<()> {
    let config = Config::parse();
    let telemetry = Telemetry::init("observed-service", "1", &config.telemetry)?;
    let handle = telemetry.handle();
    telemetry.run(async move {
        let registry = handle.registry().clone();
        let app = Router::new()
            .route("/", get(greet))
            .layer(middleware::from_fn_with_state(handle.server(), telemetry::trace))
            .route("/metrics", get(async move || metrics::text(&registry)));
        let listener = TcpListener::bind(("127.0.0.1", config.port)).await?;
        tracing::info!(address = listener.local_addr()?.to_string(), "Observed service starting up");
        Ok(axum::serve(listener, app).with_graceful_shutdown(async { drop(tokio::signal::ctrl_c().await) }).await?)
    })
}

async fn greet() -> &'static str {
    attributes::set("greeting.language", "en");
    tracing::info!("Greeted");
    "hello\n"
}
