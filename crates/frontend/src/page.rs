//! `GET /`: the form, and for a browser without script also the result, in the same page.
//!
//! With script the page asks `/roll` and `/roll-async` itself and fills the same places (`assets/app.js`).

use std::sync::Arc;
use std::time::{Duration, Instant};

use askama::Template;
use axum::extract::State as Shared;
use axum::response::{Html, IntoResponse, Response};
use http::StatusCode;
use telemetry::{Deadline, Problem, Query, SpanFacts};
use tracing::Span;

use crate::app::State;
use crate::assets;
use crate::error::Error;
use crate::order::Order;
use crate::proxy::forward;
use crate::rate_limit::Admitted;
use crate::roller::{Roll, Rolls};

const STALE: &str = "die-service does not answer, so this list of dice may be out of date.";
const NO_DICE: &str = "die-service does not answer, and without it no die is known. Start it, then reload this page.";

/// The page
///
/// With `die` it rolls, and shows the result with the status that the roll had: what a browser without script does.
#[utoipa::path(
    get,
    path = "/",
    params(
        ("die" = Option<String>, Query, description = "name of a die, for example fair; the page alone where it is left out"),
        ("async" = Option<String>, Query, description = "`on` for several rolls at once"),
        ("times" = Option<u32>, Query, description = "with `async`: how many rolls, from 1 to MAX_ASYNC_ROLLS"),
        ("strategy" = Option<String>, Query, description = "with `async`: all-or-nothing (default) or best-effort"),
        ("concurrency" = Option<u32>, Query, description = "with `async`: how many rolls at the same time; all where it is empty"),
    ),
    responses(
        (status = 200, description = "the page", body = String, content_type = "text/html"),
        (status = "4XX", description = "the page, with what was wrong", body = String, content_type = "text/html"),
        (status = "5XX", description = "the page, with what went wrong", body = String, content_type = "text/html"),
    )
)]
pub(crate) async fn page(
    Shared(state): Shared<State>,
    admitted: Result<Admitted, Error>,
    deadline: Deadline,
    query: Query,
) -> Result<Response, Problem> {
    let only_the_page = matches!(query.optional_text("die"), Ok(None));
    let (outcome, fresh) = match admitted {
        Err(error) => (Some(Err(error)), true),
        Ok(Admitted) => {
            let fresh = state.dice.refresh(deadline).await;
            let outcome = if only_the_page { None } else { Some(roll(&state, &query, deadline).await) };
            (outcome, fresh)
        }
    };
    let dice = state.dice.known();
    let page = Page {
        notice: (!fresh).then_some(if dice.is_empty() { NO_DICE } else { STALE }),
        state: &state,
        dice,
        form: Form::again(&query),
        rolled: outcome.as_ref().and_then(|outcome| outcome.as_ref().ok()),
        error: outcome.as_ref().and_then(|outcome| Some(outcome.as_ref().err()?.problem().detail().to_owned())),
        trace_id: outcome.as_ref().and_then(|_| Span::current().trace_id()),
    };
    let fault = |fault| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "The page cannot be made").caused_by(fault);
    let html = page.render().map_err(fault)?;
    Ok(match outcome {
        Some(Err(error)) => error.problem().shown_as(html).into_response(), // the page with the status that the roll had
        _ => Html(html).into_response(),
    })
}

/// Rolls as the form says.
async fn roll(state: &State, query: &Query, deadline: Deadline) -> Result<Rolled, Error> {
    let order = Order::from_form(query, 1..=state.max_rolls)?;
    let started = Instant::now();
    let rolls = if order.batch.is_some() {
        forward(state, &order, deadline).await?
    } else {
        let Roll { roll, .. } = forward(state, &order, deadline).await?;
        Rolls { total: roll, rolls: vec![Some(roll)], count: 1, failed: None, trace_id: None }
    };
    Ok(Rolled { die: order.die, rolls, took: started.elapsed() })
}

/// `templates/page.html`.
#[derive(Template)]
#[template(path = "page.html")]
struct Page<'a> {
    state: &'a State,
    dice: Arc<[String]>,
    notice: Option<&'static str>,
    form: Form,
    rolled: Option<&'a Rolled>,
    error: Option<String>,
    trace_id: Option<String>,
}

/// What came of a roll.
struct Rolled {
    die: String,
    rolls: Rolls,
    took: Duration,
}

impl Rolled {
    // Both as the page's script writes them.

    fn list(&self) -> String {
        let words = self.rolls.rolls.iter().map(|roll| roll.map_or("×".to_owned(), |face| face.to_string()));
        words.collect::<Vec<_>>().join(", ")
    }

    fn took(&self) -> String {
        match self.took.as_millis() {
            short @ ..1000 => format!("{short} ms"),
            _ => format!("{:.2} s", self.took.as_secs_f64()),
        }
    }
}

/// What the user filled in, to be shown again. What is malformed is left out; the error says so.
struct Form {
    die: String,
    batch: bool,
    times: u32,
    best_effort: bool,
    concurrency: Option<u32>,
}

impl Form {
    fn again(query: &Query) -> Self {
        let number = |name| query.optional_number(name, 1..=u32::MAX).ok().flatten();
        Self {
            die: query.optional_text("die").ok().flatten().unwrap_or_default(),
            batch: matches!(query.choice("async", &[("on", ())]), Ok(Some(()))),
            times: number("times").unwrap_or(5),
            best_effort: matches!(query.choice("strategy", &[("best-effort", ())]), Ok(Some(()))),
            concurrency: number("concurrency"),
        }
    }
}
