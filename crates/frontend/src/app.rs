//! The routes of frontend and what its handlers share.

use std::sync::Arc;

use axum::Router;
use service::Service;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::clients::dice_roller::DiceRoller;
use crate::clients::die_service::DieService;
use crate::config::{Config, viewer_url};
use crate::dice_list::DiceList;
use crate::metrics::Metrics;
use crate::rate_limit::RateLimit;
use crate::{assets, handlers};

/// What the handlers share.
pub struct AppState {
    pub(crate) dice: DiceList,
    pub(crate) dice_roller: DiceRoller,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) rate_limit: RateLimit,
    /// The largest `times`.
    pub(crate) max_rolls: u32,
    /// The address of a trace's page, with `{trace_id}` in it.
    pub(crate) trace_url: String,
    /// Where the trace viewer is; none where there is another viewer.
    pub(crate) viewer_url: Option<String>,
    /// Whether there is a page of switches.
    pub(crate) has_faults_page: bool,
}

impl AppState {
    /// The state of a frontend with the upstreams and limits of `config`.
    ///
    /// # Errors
    /// When `service` has these metrics already, or TLS cannot be set up.
    pub fn new(config: &Config, service: &Service) -> anyhow::Result<Self> {
        let metrics = Arc::new(Metrics::new(service.registry(), config.max_async_rolls)?);
        Ok(Self {
            dice: DiceList::new(DieService::new(&config.die_service_url, &config.breaker, service)?, metrics.clone()),
            dice_roller: DiceRoller::new(&config.dice_roller_url, &config.breaker, service)?,
            metrics,
            rate_limit: RateLimit::new(config.rate_limit_per_second),
            max_rolls: config.max_async_rolls,
            trace_url: config.trace_url_template.clone(),
            viewer_url: viewer_url(&config.trace_url_template).map(str::to_owned),
            has_faults_page: false,
        })
    }

    /// Fetches the dice from die-service until that works, so that it does not matter which service starts first.
    pub fn fetch_dice(&self) -> impl Future<Output = ()> + use<> {
        let dice = self.dice.clone();
        async move { dice.fetch_first().await }
    }
}

/// The whole service, as `run` serves it and as the tests request it.
pub fn app(state: AppState, service: &Service) -> Router {
    service.router(routes(state.into()), assets::routes())
}

pub(crate) fn routes(state: Arc<AppState>) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(handlers::page::page))
        .routes(routes!(handlers::roll::roll))
        .routes(routes!(handlers::roll::roll_async))
        .with_state(state)
}
