//! `/roll` and `/roll-async`: hands a request on to dice-roller, and the trace with it.

use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::extract::State;
use serde::de::DeserializeOwned;
use service::{Deadline, Problems, UpstreamError};
use telemetry::attributes;

use crate::app::AppState;
use crate::clients::dice_roller::{Roll, Rolls, read, span};
use crate::error::Error;
use crate::query::{BatchQuery, RollQuery, RollRequest};
use crate::rate_limit::Limited;

/// One roll
#[utoipa::path(get, path = "/roll", params(RollQuery), responses((status = 200, body = Roll), Problems))]
pub(crate) async fn roll(
    State(state): State<Arc<AppState>>,
    deadline: Deadline,
    limited: Limited<RollQuery>,
) -> Result<Json<Roll>, Error> {
    let query = limited.admitted()?;
    let rolled = forward(&state, RollRequest::roll(&query), deadline).await?;
    Ok(Json(Roll { trace_id: attributes::trace_id(), ..rolled }))
}

/// Several rolls at once
#[utoipa::path(get, path = "/roll-async", params(BatchQuery), responses((status = 200, body = Rolls), Problems))]
pub(crate) async fn roll_async(
    State(state): State<Arc<AppState>>,
    deadline: Deadline,
    limited: Limited<BatchQuery>,
) -> Result<Json<Rolls>, Error> {
    let query = limited.admitted()?;
    let rolled = forward(&state, RollRequest::batch(&query), deadline).await?;
    Ok(Json(Rolls { trace_id: attributes::trace_id(), ..rolled }))
}

/// Hands a checked request on, and records in log and metrics what came of it.
pub(crate) async fn forward<T: DeserializeOwned>(
    state: &AppState,
    request: RollRequest<'_>,
    deadline: Deadline,
) -> Result<T, Error> {
    Ok(forward_with_span(state, request, deadline).await?.0)
}

/// The same, with the span of dice-roller in which it was rolled.
pub(crate) async fn forward_with_span<T: DeserializeOwned>(
    state: &AppState,
    request: RollRequest<'_>,
    deadline: Deadline,
) -> Result<(T, Option<String>), Error> {
    let RollRequest { die, batch_size, .. } = request;
    let (batch, times) = (batch_size.is_some(), batch_size.unwrap_or(1));
    let die_type = state.dice.confirmed(die);
    tracing::info!(name: "frontend.roll.received", die_type = die, "async" = batch, times, "Frontend roll request received");
    state.metrics.received(die_type, batch_size);

    let started = Instant::now();
    let response = state.dice_roller.send(&request, deadline).await;
    let took = started.elapsed();
    match &response {
        Ok(response) => {
            state.metrics.called(die_type, response.status().as_str(), took);
            let (backend_status, duration) = (response.status().as_u16(), took.as_secs_f64());
            tracing::info!(name: "backend.response.received", die_type = die, backend_status, duration, "Backend response received");
        }
        Err(UpstreamError::BreakerOpen { .. }) => (), // nothing was sent
        Err(error) => state.metrics.called(die_type, error.kind(), took),
    }
    let outcome = response.map_err(Error::from).and_then(|response| Ok((read(&response)?, span(&response))));
    if let Err(Error::Refused { status, detail: error, .. }) = &outcome {
        let backend_status = status.as_u16();
        if status.is_server_error() {
            tracing::error!(name: "backend.error.returned", die_type = die, backend_status, error, "Backend returned error");
        } else {
            tracing::warn!(name: "backend.error.returned", die_type = die, backend_status, error, "Backend returned error");
        }
    }
    state.metrics.ended(die_type, outcome.as_ref().map_or_else(Error::outcome, |_| "success"));
    outcome
}
