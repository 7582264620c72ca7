//! `GET /`: the form, and for a browser without script also the result, in the same page.
//!
//! With script the page requests `/roll` and `/roll-async` itself and fills the same places (`assets/app.js`).

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};

use askama::Template;
use axum::extract::State;
use axum::response::{Html, IntoResponse, Response};
use http::StatusCode;
use serde::{Deserialize, Deserializer};
use service::{Deadline, Parameters, Problem};
use telemetry::attributes;
use utoipa::{IntoParams, ToSchema};

use crate::app::AppState;
use crate::assets;
use crate::clients::dice_roller::{Roll, Rolls};
use crate::error::Error;
use crate::handlers::both_ways::{self, BothWays};
use crate::handlers::roll::forward;
use crate::query::{BatchQuery, RollQuery, RollRequest, Strategy};
use crate::rate_limit::{self, Limited};

const STALE: &str = "die-service does not answer, so this list of dice may be out of date.";
const NO_DICE: &str = "die-service does not answer, and without it no die is known. Start it, then reload this page.";

/// What the user filled in: each field with its value, or what is wrong with it.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub(crate) struct PageQuery {
    /// Name of a die, for example fair; the page alone where it is left out
    #[param(value_type = Option<String>)]
    die: Field<String>,
    /// Whether to roll several dice at once
    #[param(value_type = Option<Switch>, inline)]
    #[serde(rename = "async")]
    batch: Field<Switch>,
    /// With `async`: how many rolls, from 1 to MAX_ASYNC_ROLLS
    #[param(value_type = Option<u32>)]
    times: Field<u32>,
    /// With `async`: all-or-nothing (default) or best-effort
    #[param(value_type = Option<Strategy>, inline)]
    strategy: Field<Strategy>,
    /// With `async`: how many rolls at the same time; all where it is empty
    #[param(value_type = Option<u32>)]
    concurrency: Field<u32>,
    /// Rolls `times` dice at once and one after the other, with the same seed, whatever the other fields say
    #[param(value_type = Option<Switch>, inline)]
    both: Field<Switch>,
}

/// A checkbox.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Switch {
    On,
    Off,
}

/// One field of the form. Its error is looked at later, so that the page can show the others again.
#[derive(Debug, Clone)]
pub(crate) struct Field<T>(Result<Option<T>, Problem>);

impl<T> Default for Field<T> {
    fn default() -> Self {
        Self(Ok(None))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
        Ok(Self(T::deserialize(value).map(Some).map_err(|error| Problem::parameter(error.to_string()))))
    }
}

impl<T: Clone> Field<T> {
    /// What the page shows again. What is malformed is left out; the error says so.
    fn shown(&self) -> Option<T> {
        self.0.clone().ok().flatten()
    }
}

impl Parameters<Arc<AppState>> for PageQuery {
    const MAY_BE_EMPTY: &'static [&'static str] = &["concurrency"];

    fn range(name: &str, state: &Arc<AppState>, number: &dyn Fn(&str) -> Option<u64>) -> RangeInclusive<u64> {
        BatchQuery::range(name, state, number)
    }
}

impl rate_limit::Rolls for PageQuery {
    fn rolls(&self) -> u32 {
        let on = |switch: &Field<Switch>| self.die.shown().is_some() && switch.shown() == Some(Switch::On);
        match self.times.shown() {
            Some(times) if on(&self.both) => times.saturating_mul(2),
            Some(times) if on(&self.batch) => times,
            _ => 1,
        }
    }
}

/// The page
///
/// With `die` it rolls, and shows the result with the status that the roll had: what a browser without script does.
#[utoipa::path(
    get,
    path = "/",
    params(PageQuery),
    responses(
        (status = 200, description = "the page", body = String, content_type = "text/html"),
        (status = "4XX", description = "the page, with what is wrong", body = String, content_type = "text/html"),
        (status = "5XX", description = "the page, with what is wrong", body = String, content_type = "text/html"),
    )
)]
pub(crate) async fn page(
    State(state): State<Arc<AppState>>,
    deadline: Deadline,
    limited: Limited<PageQuery>,
) -> Result<Response, Problem> {
    let Limited { query: form, admitted } = limited;
    let (outcome, fresh) = match admitted {
        Err(error) => (Some(Err(error)), true),
        Ok(()) => {
            let fresh = state.dice.refresh(deadline).await;
            (roll(&state, &form, deadline).await.transpose(), fresh)
        }
    };
    let dice = state.dice.known();
    let page = Page {
        notice: (!fresh).then_some(if dice.is_empty() { NO_DICE } else { STALE }),
        state: &state,
        dice,
        form,
        rolled: match &outcome {
            Some(Ok(Outcome::Rolled(rolled))) => Some(rolled),
            _ => None,
        },
        both: match &outcome {
            Some(Ok(Outcome::Both(both))) => Some(both),
            _ => None,
        },
        error: outcome.as_ref().and_then(|outcome| Some(outcome.as_ref().err()?.problem().detail().to_owned())),
        trace_id: outcome.as_ref().and_then(|_| attributes::trace_id()),
    };
    let fault = |fault| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "The page cannot be made").caused_by(fault);
    let html = page.render().map_err(fault)?;
    let error = match &outcome {
        Some(Err(error)) => Some(error),
        Some(Ok(Outcome::Both(both))) => both.error(),
        _ => None,
    };
    Ok(match error {
        Some(error) => error.problem().shown_as(html).into_response(), // the page with the status that the roll had
        None => Html(html).into_response(),
    })
}

/// Rolls as the form says; none where no die is chosen.
async fn roll(state: &AppState, form: &PageQuery, deadline: Deadline) -> Result<Option<Outcome>, Error> {
    let Some(die) = form.die.0.clone()? else { return Ok(None) };
    let missing = || format!("Parameter 'times' is missing; allowed: a whole number from 1 to {}", state.max_rolls);
    let times = || form.times.0.clone()?.ok_or_else(|| Problem::parameter(missing()));
    if form.both.0.clone()? == Some(Switch::On) {
        let both = both_ways::roll(state, die, times()?, deadline).await?;
        return Ok(Some(Outcome::Both(Box::new(both))));
    }
    let started = Instant::now();
    let rolls = if form.batch.0.clone()? == Some(Switch::On) {
        let times = times()?;
        let (strategy, concurrency) = (form.strategy.0.clone()?, form.concurrency.0.clone()?);
        let query = BatchQuery { die: die.clone(), times, strategy, concurrency, seed: None, details: None };
        forward(state, RollRequest::batch(&query), deadline).await?
    } else {
        let query = RollQuery { die: die.clone() };
        let Roll { roll, .. } = forward(state, RollRequest::roll(&query), deadline).await?;
        Rolls { total: roll, rolls: vec![Some(roll)], count: 1, failed: None, details: None, trace_id: None }
    };
    Ok(Some(Outcome::Rolled(Rolled { die, rolls, took: started.elapsed() })))
}

/// `templates/page.html`.
#[derive(Template)]
#[template(path = "page.html")]
struct Page<'a> {
    state: &'a AppState,
    dice: Arc<[String]>,
    notice: Option<&'static str>,
    form: PageQuery,
    rolled: Option<&'a Rolled>,
    both: Option<&'a BothWays>,
    error: Option<String>,
    trace_id: Option<String>,
}

/// What the page shows.
enum Outcome {
    Rolled(Rolled),
    Both(Box<BothWays>),
}

/// What came of a roll.
struct Rolled {
    die: String,
    rolls: Rolls,
    took: Duration,
}

/// Both texts are as the page's script writes them.
impl Rolled {
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
