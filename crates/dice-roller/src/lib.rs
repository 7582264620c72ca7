//! Rolls one die, or a batch of dice concurrently: the service whose traces show what concurrency is.
//!
//! Reading order: `config.rs` (the settings), this file (start to stop), `app.rs` (state and routes), `handlers.rs` (the
//! two routes), `clients/die_service.rs`, `roll.rs` (one roll: random stream and simulated work), `batch.rs` (the
//! fan-out), `limit.rs` (how many at once), `metrics.rs`, `error.rs`; beside
//! them `faults.rs` (what `FAULTS` breaks).

mod app;
mod batch;
mod clients;
mod config;
mod error;
mod faults;
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
    let switches = config.faults.switches(NAME);
    let hooks = switches.as_ref().map(faults::hooks).unwrap_or_default();
    let telemetry = telemetry::Telemetry::init_with_hooks(NAME, VERSION, &config.service.telemetry, hooks)?;
    let service = service::Service::new(telemetry.handle(), &config.service);
    telemetry.run(async move {
        let listener = service::bind(&config.host, config.port).await?;
        let listening = listener.local_addr()?;
        tracing::info!(name: "service.starting", address = listening.to_string(), version = VERSION, "Dice Roller API starting up");
        let state = AppState::new(&config, &service)?;
        let app = match switches {
            None => app(state, &service),
            Some(switches) => faults::app(state, &service, switches, listening),
        };
        service.serve(listener, app).await
    })
}
