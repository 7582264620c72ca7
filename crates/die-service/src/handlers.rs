//! The handlers. Each is the story of its span: set the attributes, do the work, record the outcome.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use service::{Parameters, Problems, Query};
use telemetry::attributes;
use utoipa::{IntoParams, ToSchema};

use crate::VERSION;
use crate::app::AppState;
use crate::catalogue::Die;
use crate::error::Error;

/// What this service is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct About {
    service: &'static str,
    version: &'static str,
    endpoints: [&'static str; 3],
    loaded_specifications: usize,
}

/// What this service is
#[utoipa::path(get, path = "/", responses((status = 200, body = About)))]
pub(crate) async fn about(State(state): State<Arc<AppState>>) -> Json<About> {
    Json(About {
        service: "Die Service API",
        version: VERSION,
        endpoints: ["/", "/dice", "/dice?identifier={identifier}"],
        loaded_specifications: state.catalogue.identifiers().len(),
    })
}

/// The query of `/dice`.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct DiceQuery {
    /// Name of a die, for example fair
    #[param(min_length = 1, max_length = 128)]
    identifier: Option<String>,
}

impl Parameters<Arc<AppState>> for DiceQuery {}

/// The list of all dice.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DiceList {
    /// The names, in the order of the specification file.
    identifiers: Vec<String>,
}

/// The list of dice, or one die
///
/// Without a parameter the names of all dice; with `identifier` the specification of that one.
#[utoipa::path(
    get,
    path = "/dice",
    params(DiceQuery),
    responses((status = 200, description = "the list, or with `identifier` the die", body = DiceList), Problems)
)]
pub(crate) async fn dice(
    State(state): State<Arc<AppState>>,
    Query(query): Query<DiceQuery>,
) -> Result<Response, Error> {
    match query.identifier {
        Some(identifier) => one_die(&state, identifier),
        None => Ok(all_dice(&state).into_response()),
    }
}

fn all_dice(state: &AppState) -> Json<DiceList> {
    let identifiers: Vec<String> = state.catalogue.identifiers().into_iter().map(str::to_owned).collect();
    tracing::info!(name: "die.list.requested", count = identifiers.len(), "Die list requested");
    state.metrics.listed();
    Json(DiceList { identifiers })
}

fn one_die(state: &AppState, identifier: String) -> Result<Response, Error> {
    attributes::set("die.identifier", identifier.clone());
    let found = state.catalogue.find(&identifier);
    attributes::set("die.found", found.is_some());
    match found {
        Some(specification) => {
            let error_rate = specification.error_rate;
            tracing::info!(name: "die.specification.requested", identifier, error_rate, "Die specification requested");
            state.metrics.requested(&identifier);
            Ok(Json(Die { identifier: &identifier, specification }).into_response())
        }
        None => {
            let known = state.catalogue.identifiers();
            tracing::warn!(name: "die.unknown.requested", identifier, known = ?known, "Unknown die identifier requested");
            Err(Error::Unknown { known: known.into_iter().map(str::to_owned).collect(), identifier })
        }
    }
}
