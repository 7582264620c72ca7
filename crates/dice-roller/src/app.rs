//! The routes of dice-roller and what its handlers share.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use http::StatusCode;
use service::Service;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::clients::die_service::DieService;
use crate::config::Config;
use crate::handlers;
use crate::limit::Limit;
use crate::metrics::Metrics;
use crate::roll::Chance;

/// What the handlers share.
pub struct AppState {
    pub(crate) die_service: DieService,
    pub(crate) chance: Chance,
    pub(crate) limit: Limit,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) max_async_rolls: u32,
}

impl AppState {
    /// The state of a service with these settings.
    ///
    /// # Errors
    /// When the client cannot be built, or `service` has these metrics already.
    pub fn new(config: &Config, service: &Service) -> anyhow::Result<Self> {
        let metrics = Arc::new(Metrics::new(service.registry())?);
        // A 5xx of die-service is a failure; an unknown die (404) is not.
        let upstream =
            service.upstream("die-service", &config.die_service_url, &config.breaker, |status: StatusCode| {
                status.is_server_error()
            })?;
        Ok(Self {
            die_service: DieService::new(upstream, &config.die_service_url, metrics.clone())?,
            chance: Chance::new(config.roll_seed, Duration::from_millis(config.roll_delay_max_ms)),
            limit: Limit::new(config.max_concurrent_rolls, config.max_queued_rolls, metrics.clone()),
            metrics,
            max_async_rolls: config.max_async_rolls,
        })
    }
}

/// The whole service, as `run` serves it and as the tests request it.
pub fn app(state: AppState, service: &Service) -> Router {
    service.router(routes(state.into()), Router::new())
}

pub(crate) fn routes(state: Arc<AppState>) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(handlers::about))
        .routes(routes!(handlers::roll))
        .routes(routes!(handlers::roll_async))
        .with_state(state)
}
