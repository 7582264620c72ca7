//! Rolls one die, or a batch of dice concurrently: the service whose traces show what concurrency is.
//!
//! Reading order: `config.rs` (the settings), this file (start to stop), `app.rs` (state and routes), `handlers.rs` (the
//! two routes), `clients/die_service.rs`, `roll.rs` (one roll: random stream and simulated work), `batch.rs` (the
//! fan-out), `limit.rs` (how many at once), `metrics.rs`, `error.rs`.

mod app;
mod batch;
mod clients;
mod config;
mod error;
mod handlers;
mod limit;
mod metrics;
mod roll;

pub use app::{AppState, app};
pub use config::Config;

/// The service's name in spans, logs and metrics.
pub const NAME: &str = "dice-roller";
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The service from its settings to its last span.
///
/// # Errors
/// When the port is taken or telemetry cannot be set up.
pub fn run(config: Config) -> anyhow::Result<()> {
    if config.service.action.is_some() {
        return service::healthcheck(config.port);
    }
    let telemetry = telemetry::Telemetry::init(NAME, VERSION, &config.service.telemetry)?;
    let service = service::Service::new(telemetry.handle(), &config.service);
    telemetry.run(async move {
        let listener = service::bind(&config.host, config.port).await?;
        let address = listener.local_addr()?.to_string();
        tracing::info!(name: "service.starting", address, version = VERSION, "Dice Roller API starting up");
        let app = app(AppState::new(&config, &service)?, &service);
        service.serve(listener, app).await
    })
}
