//! The routes of die-service and what its handlers share.

use std::sync::Arc;

use axum::Router;
use service::Service;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::catalogue::Catalogue;
use crate::handlers;
use crate::metrics::Metrics;

/// What the handlers share.
#[derive(Debug)]
pub struct AppState {
    pub(crate) catalogue: Catalogue,
    pub(crate) metrics: Metrics,
}

impl AppState {
    /// The state of a service that knows the dice of `catalogue`.
    ///
    /// # Errors
    /// When `service` has these metrics already.
    pub fn new(catalogue: Catalogue, service: &Service) -> anyhow::Result<Self> {
        let metrics = Metrics::new(service.registry(), &catalogue.identifiers())?;
        Ok(Self { catalogue, metrics })
    }
}

/// The whole service, as `run` serves it and as the tests request it.
pub fn app(state: AppState, service: &Service) -> Router {
    service.router(routes(state.into()), Router::new())
}

pub(crate) fn routes(state: Arc<AppState>) -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(handlers::about)).routes(routes!(handlers::dice)).with_state(state)
}
