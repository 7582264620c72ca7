//! The page on which people roll, and the proxy behind it.
//!
//! The way of a click: `page.rs` (the form, and the result for a browser without script) or `proxy.rs` (what the
//! page's script asks), `order.rs` (what may be asked), `roller.rs` (the call to dice-roller). Beside it lie
//! `dice_list.rs` (the dice to choose from), `rate_limit.rs` and `assets.rs`; and, as in every service, `config.rs`,
//! `app.rs`, `metrics.rs` and `error.rs`.

mod app;
mod assets;
mod config;
mod dice_list;
mod error;
mod metrics;
mod order;
mod page;
mod proxy;
mod rate_limit;
mod roller;

pub use app::{State, app};
pub use config::Config;

/// The service's name in spans, logs and metrics.
pub const NAME: &str = "frontend";
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The life of the service, from its settings to the last span.
///
/// # Errors
/// When the port is taken, or telemetry cannot be set up.
pub fn run(config: Config) -> anyhow::Result<()> {
    if config.telemetry.action.is_some() {
        return telemetry::healthcheck(config.port);
    }
    let telemetry = telemetry::Telemetry::start(NAME, VERSION, &config.telemetry)?;
    let service = telemetry.handle();
    telemetry.run(async move {
        let listener = telemetry::bind(&config.host, config.port).await?;
        tracing::info!(address = listener.local_addr()?.to_string(), version = VERSION, "Frontend starting up");
        let state = State::new(&config, &service)?;
        let app = app(state.clone(), &service);
        #[allow(clippy::disallowed_methods)] // there is no span to lose yet, and it ends with the runtime
        tokio::spawn(async move { state.learn_dice().await });
        service.serve(listener, app).await
    })
}
