//! Which dice exist.
//!
//! The smallest of the three services, and so the one to read first: `config.rs` (what one can set), this file (its
//! life), `app.rs` (its routes and what each says about itself), `catalogue.rs` (the dice), `metrics.rs`, `error.rs`.
//! The other two services have the same files.

mod app;
mod catalogue;
mod config;
mod error;
mod metrics;

pub use app::{State, app};
pub use catalogue::{Catalogue, Specification};
pub use config::Config;

/// The service's name in spans, logs and metrics.
pub const NAME: &str = "die-service";
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The life of the service, from its settings to the last span.
///
/// # Errors
/// When the specifications are faulty, the port is taken, or telemetry cannot be set up.
pub fn run(config: Config) -> anyhow::Result<()> {
    if config.telemetry.action.is_some() {
        return telemetry::healthcheck(config.port);
    }
    let catalogue = Catalogue::load(config.die_specifications.as_deref())?;
    let telemetry = telemetry::Telemetry::start(NAME, VERSION, &config.telemetry)?;
    let service = telemetry.handle();
    telemetry.run(async move {
        let listener = telemetry::bind(&config.host, config.port).await?;
        tracing::info!(address = listener.local_addr()?.to_string(), version = VERSION, "Die Service API starting up");
        tracing::info!(count = catalogue.len(), identifiers = ?catalogue.identifiers(), "Die specifications loaded");
        let app = app(State::new(catalogue, &service)?, &service);
        service.serve(listener, app).await
    })
}
