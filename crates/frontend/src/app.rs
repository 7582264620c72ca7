//! The routes of frontend, and what their handlers share. The handlers are in `page.rs` and `proxy.rs`.

use std::sync::Arc;

use axum::Router;
use telemetry::Handle;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::config::Config;
use crate::dice_list::DiceList;
use crate::metrics::Metrics;
use crate::rate_limit::RateLimit;
use crate::roller::Roller;
use crate::{assets, page, proxy};

/// What the handlers share.
#[derive(Clone)]
pub struct State {
    pub(crate) dice: DiceList,
    pub(crate) roller: Roller,
    pub(crate) metrics: Metrics,
    pub(crate) rate_limit: RateLimit,
    /// The largest `times`.
    pub(crate) max_rolls: u32,
    /// The address of a trace's page, with `{trace_id}` in it.
    pub(crate) trace_url: Arc<str>,
}

impl State {
    /// The state of a frontend with the neighbours and limits of `config`.
    ///
    /// # Errors
    /// When `service` has these metrics already, or TLS cannot be set up.
    pub fn new(config: &Config, service: &Handle) -> anyhow::Result<Self> {
        let metrics = Metrics::new(service.registry(), config.max_async_rolls)?;
        Ok(Self {
            dice: DiceList::new(&config.die_service_url, metrics.clone(), service)?,
            roller: Roller::new(&config.dice_roller_url, config.breaker, service)?,
            metrics,
            rate_limit: RateLimit::new(config.rate_limit_per_second),
            max_rolls: config.max_async_rolls,
            trace_url: config.trace_url_template.as_str().into(),
        })
    }

    /// Asks die-service for the dice until it has told them, so that it does not matter which service starts first.
    pub async fn learn_dice(&self) {
        self.dice.learn().await;
    }
}

/// The whole service, as `run` serves it and as the tests ask it.
pub fn app(state: State, service: &Handle) -> Router {
    let routes = OpenApiRouter::new()
        .routes(routes!(page::page))
        .routes(routes!(proxy::roll))
        .routes(routes!(proxy::roll_async))
        .with_state(state);
    service.app(routes, assets::routes())
}
