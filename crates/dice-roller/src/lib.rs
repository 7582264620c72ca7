//! Rolls one die, or a batch of dice concurrently: the service whose traces show what concurrency is.
//!
//! Reading order: `app.rs` (the two routes), `die_client.rs` (asking die-service what the die is like), `roll.rs` (one
//! roll: chance and simulated work), `batch.rs` (the fan-out), `limit.rs` (how many at once), `metrics.rs`, `error.rs`.

mod app;
mod batch;
mod config;
mod die_client;
mod error;
mod limit;
mod metrics;
mod roll;

pub use app::{State, app};
pub use config::Config;

/// The service's name in spans, logs and metrics.
pub const NAME: &str = "dice-roller";
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The life of the service, from its settings to the last span.
///
/// # Errors
/// When the port is taken or telemetry cannot be set up.
pub fn run(config: Config) -> anyhow::Result<()> {
    if config.telemetry.action.is_some() {
        return telemetry::healthcheck(config.port);
    }
    let telemetry = telemetry::Telemetry::start(NAME, VERSION, &config.telemetry)?;
    let service = telemetry.handle();
    telemetry.run(async move {
        let listener = telemetry::bind(&config.host, config.port).await?;
        tracing::info!(address = listener.local_addr()?.to_string(), version = VERSION, "Dice Roller API starting up");
        let app = app(State::new(&config, &service)?, &service);
        service.serve(listener, app).await
    })
}
