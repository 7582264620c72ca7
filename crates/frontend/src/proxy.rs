//! `/roll` and `/roll-async`: hands a request on to dice-roller, and the trace with it.
//!
//! Nothing reaches dice-roller that was not checked here, and nothing that dice-roller says is passed on unread.

use std::time::Instant;

use axum::Json;
use axum::extract::State as Shared;
use serde::de::DeserializeOwned;
use telemetry::{Answer, CallError, Deadline, ProblemBody, Query, SpanFacts};
use tracing::Span;

use crate::app::State;
use crate::error::Error;
use crate::order::Order;
use crate::rate_limit::Admitted;
use crate::roller::{Roll, Rolls, understand};

/// One roll
#[utoipa::path(
    get,
    path = "/roll",
    params(("die" = String, Query, min_length = 1, description = "name of a die, for example fair")),
    responses(
        (status = 200, description = "the roll", body = Roll),
        (status = 404, description = "no such die", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "malformed parameter", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "too many requests", body = ProblemBody, content_type = "application/problem+json"),
        (status = 500, description = "the roll failed", body = ProblemBody, content_type = "application/problem+json"),
        (status = 502, description = "dice-roller's answer makes no sense", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "a service behind cannot be reached", body = ProblemBody, content_type = "application/problem+json"),
        (status = 504, description = "a service behind is too slow", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn roll(
    Shared(state): Shared<State>,
    _: Admitted,
    deadline: Deadline,
    query: Query,
) -> Result<Json<Roll>, Error> {
    let rolled: Roll = forward(&state, &Order::roll(&query)?, deadline).await?;
    Ok(Json(Roll { trace_id: Span::current().trace_id(), ..rolled }))
}

/// Several rolls at once
#[utoipa::path(
    get,
    path = "/roll-async",
    params(
        ("die" = String, Query, min_length = 1, description = "name of a die, for example fair"),
        ("times" = u32, Query, minimum = 1, description = "how many rolls: from 1 to MAX_ASYNC_ROLLS"),
        ("strategy" = Option<String>, Query, description = "all-or-nothing (default) or best-effort"),
        ("concurrency" = Option<u32>, Query, minimum = 1, description = "how many rolls at the same time: from 1 to `times`; all where it is left out"),
    ),
    responses(
        (status = 200, description = "the rolls", body = Rolls),
        (status = 404, description = "no such die", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "malformed parameter", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "too many requests", body = ProblemBody, content_type = "application/problem+json"),
        (status = 500, description = "a roll failed", body = ProblemBody, content_type = "application/problem+json"),
        (status = 502, description = "dice-roller's answer makes no sense", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "a service behind cannot be reached", body = ProblemBody, content_type = "application/problem+json"),
        (status = 504, description = "a service behind is too slow", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn roll_async(
    Shared(state): Shared<State>,
    _: Admitted,
    deadline: Deadline,
    query: Query,
) -> Result<Json<Rolls>, Error> {
    let order = Order::batch(&query, 1..=state.max_rolls)?;
    let rolled: Rolls = forward(&state, &order, deadline).await?;
    Ok(Json(Rolls { trace_id: Span::current().trace_id(), ..rolled }))
}

/// Places a checked order, and says in span, log and metrics what came of it.
pub(crate) async fn forward<T: DeserializeOwned>(state: &State, order: &Order, deadline: Deadline) -> Result<T, Error> {
    let die_type = state.dice.confirmed(&order.die);
    tracing::info!(
        die_type = order.die,
        "async" = order.batch.is_some(),
        times = order.times(),
        "Frontend roll request received"
    );
    state.metrics.received(die_type, order.batch.as_ref().map(|batch| batch.times));
    let answer = call(state, order, die_type, deadline).await.map_err(Error::from);
    let outcome = answer.and_then(|answer| understand(&answer));
    if let Err(Error::Refused { status, detail, .. }) = &outcome {
        let (die_type, backend_status, error) = (&order.die, status.as_u16(), detail);
        if status.is_server_error() {
            tracing::error!(die_type, backend_status, error, "Backend returned error");
        } else {
            tracing::warn!(die_type, backend_status, error, "Backend returned error");
        }
    }
    state.metrics.ended(die_type, outcome.as_ref().map_or_else(Error::outcome, |_| "success"));
    outcome
}

async fn call(state: &State, order: &Order, die_type: &str, deadline: Deadline) -> Result<Answer, CallError> {
    let span = Span::current();
    span.set("backend.url", state.roller.url(order).to_string());
    let started = Instant::now();
    let outcome = state.roller.ask(order, deadline).await;
    let took = started.elapsed();
    match &outcome {
        Ok(answer) => {
            let status = answer.status;
            span.set("backend.status_code", i64::from(status.as_u16()));
            state.metrics.called(die_type, status.as_str(), took);
            tracing::info!(
                die_type = order.die,
                backend_status = status.as_u16(),
                duration = took.as_secs_f64(),
                "Backend response received"
            );
        }
        Err(CallError::BreakerOpen { .. }) => (), // no call was made
        Err(error) => state.metrics.called(die_type, error.kind(), took),
    }
    outcome
}
