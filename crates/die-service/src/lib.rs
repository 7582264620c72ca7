//! Which dice exist.
//!
//! The smallest of the three services, and so the one to read first: `config.rs` (the settings), this file (start to
//! stop), `app.rs` (state and routes), `handlers.rs`, `catalogue.rs` (the dice), `metrics.rs`, `error.rs`; beside
//! them `faults.rs` (what `FAULTS` breaks). The other two services have the same files.

mod app;
mod catalogue;
mod config;
mod error;
mod faults;
mod handlers;
mod metrics;

pub use app::{AppState, app};
pub use catalogue::{Catalogue, Specification};
pub use config::Config;

/// The service's name in spans, logs and metrics.
pub const NAME: &str = "die-service";
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The service from its settings to its last span.
///
/// # Errors
/// When the specifications are faulty, the port is taken, or telemetry cannot be set up.
pub fn run(config: Config) -> anyhow::Result<()> {
    if config.service.action.is_some() {
        return service::healthcheck(config.port);
    }
    let catalogue = Catalogue::load(config.die_specifications.as_deref())?;
    let switches = config.faults.switches(NAME);
    let hooks = switches.as_ref().map(faults::hooks).unwrap_or_default();
    let telemetry = telemetry::Telemetry::init_with_hooks(NAME, VERSION, &config.service.telemetry, hooks)?;
    let service = service::Service::new(telemetry.handle(), &config.service);
    telemetry.run(async move {
        let listener = service::bind(&config.host, config.port).await?;
        let listening = listener.local_addr()?;
        tracing::info!(name: "service.starting", address = listening.to_string(), version = VERSION, "Die Service API starting up");
        let identifiers = catalogue.identifiers();
        tracing::info!(name: "die.specifications.loaded", count = identifiers.len(), ?identifiers, "Die specifications loaded");
        let state = AppState::new(catalogue, &service)?;
        let app = match switches {
            None => app(state, &service),
            Some(switches) => faults::app(state, &service, switches, listening),
        };
        service.serve(listener, app).await
    })
}
