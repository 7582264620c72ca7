//! The page on which people roll, and the proxy behind it.
//!
//! The way of a click: `handlers/page.rs` (the form, and the result for a browser without script, with `handlers/both_ways.rs`) or `handlers/roll.rs`
//! (what the page's script requests), `query.rs` (what a request may say), `clients/dice_roller.rs`. Beside it lie
//! `dice_list.rs` (the dice to choose from) with `clients/die_service.rs`, `rate_limit.rs` and `assets.rs`; and, as in
//! every service, `config.rs`, `app.rs`, `metrics.rs` and `error.rs`.

mod app;
mod assets;
mod config;
mod dice_list;
mod error;
mod faults;
mod metrics;
mod query;
mod rate_limit;
mod clients {
    pub(crate) mod dice_roller;
    pub(crate) mod die_service;
}
mod handlers {
    pub(crate) mod both_ways;
    pub(crate) mod page;
    pub(crate) mod roll;
}

pub use app::{AppState, app};
pub use config::Config;

/// The service's name in spans, logs and metrics.
pub const NAME: &str = "frontend";
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The service from its settings to its last span.
///
/// # Errors
/// When the port is taken, or telemetry cannot be set up.
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
        tracing::info!(name: "service.starting", address = listening.to_string(), version = VERSION, "Frontend starting up");
        let state = AppState::new(&config, &service)?;
        let first_list = state.fetch_dice();
        let app = match switches {
            None => app(state, &service),
            Some(switches) => faults::app(state, &service, switches, listening, &config),
        };
        #[allow(clippy::disallowed_methods)] // there is no span yet, and it ends with the runtime
        tokio::spawn(first_list);
        service.serve(listener, app).await
    })
}
