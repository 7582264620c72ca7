//! The routes of die-service. Each handler is the story of its span: name the facts, do the work, record the outcome.

use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::extract;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use telemetry::{Handle, ProblemBody, Query, SpanFacts};
use tracing::Span;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::VERSION;
use crate::catalogue::{Catalogue, Specification};
use crate::error::Error;
use crate::metrics::Metrics;

/// What the handlers share.
#[derive(Debug, Clone)]
pub struct State {
    catalogue: Arc<Catalogue>,
    metrics: Metrics,
}

impl State {
    /// The state of a service that knows the dice of `catalogue`.
    ///
    /// # Errors
    /// When `service` has these metrics already.
    pub fn new(catalogue: Catalogue, service: &Handle) -> anyhow::Result<Self> {
        let metrics = Metrics::new(service.registry(), &catalogue.identifiers())?;
        Ok(Self { catalogue: catalogue.into(), metrics })
    }
}

/// The whole service, as `run` serves it and as the tests ask it.
pub fn app(state: State, service: &Handle) -> Router {
    let routes = OpenApiRouter::new().routes(routes!(about)).routes(routes!(dice)).with_state(state);
    service.app(routes, Router::new())
}

/// What this service is.
#[derive(Debug, Serialize, ToSchema)]
struct About {
    service: &'static str,
    version: &'static str,
    endpoints: [&'static str; 3],
    loaded_specifications: usize,
}

/// What this service is
#[utoipa::path(get, path = "/", responses((status = 200, body = About)))]
async fn about(extract::State(state): extract::State<State>) -> Json<About> {
    Json(About {
        service: "Die Service API",
        version: VERSION,
        endpoints: ["/", "/dice", "/dice?identifier={identifier}"],
        loaded_specifications: state.catalogue.len(),
    })
}

/// The list of all dice.
#[derive(Debug, Serialize, ToSchema)]
struct DiceList {
    /// The names, in the order of the specification file.
    identifiers: Vec<String>,
}

/// One die.
#[derive(Debug, Serialize, ToSchema)]
struct Die {
    identifier: String,
    specification: Specification,
}

/// The list of dice, or one die
///
/// Without a parameter the names of all dice; with `identifier` the specification of that one.
#[utoipa::path(
    get,
    path = "/dice",
    params(("identifier" = Option<String>, Query, min_length = 1, description = "name of a die, for example fair")),
    responses(
        (status = 200, description = "the list, or with `identifier` the die", body = DiceList),
        (status = 404, description = "no such die", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "malformed parameter", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn dice(extract::State(state): extract::State<State>, query: Query) -> Result<Response, Error> {
    match query.optional_text("identifier")? {
        Some(identifier) => die(&state, identifier).map(IntoResponse::into_response),
        None => Ok(list(&state).into_response()),
    }
}

fn list(state: &State) -> Json<DiceList> {
    let identifiers: Vec<String> = state.catalogue.identifiers().into_iter().map(str::to_owned).collect();
    tracing::info!(count = identifiers.len(), "Die list requested");
    state.metrics.listed();
    Json(DiceList { identifiers })
}

fn die(state: &State, identifier: String) -> Result<Json<Die>, Error> {
    let span = Span::current();
    span.set("die.identifier", identifier.clone());
    let found = state.catalogue.find(&identifier).cloned();
    span.set("die.found", found.is_some());
    match found {
        Some(specification) => {
            tracing::info!(identifier, error_rate = specification.error_rate, "Die specification requested");
            state.metrics.requested(&identifier);
            Ok(Json(Die { identifier, specification }))
        }
        None => {
            let known = state.catalogue.identifiers();
            tracing::warn!(identifier, known = ?known, "Unknown die identifier requested");
            Err(Error::Unknown { known: known.into_iter().map(str::to_owned).collect(), identifier })
        }
    }
}
