//! The pages, static files embedded in the binary, and the JSON that they draw, which `list`, `view` and `map` make.

use std::collections::HashSet;
use std::sync::Arc;

use axum::extract::{Path, Query as Parameters, State};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use axum::{Extension, Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::by_start::{NewestFirst, Services};
use crate::compare_view::Compared;
use crate::ids::{SpanId, TraceId};
use crate::list::{self, Filter};
use crate::map::ServiceMap;
use crate::query::{self, QueryError, QueryPool};
use crate::sending::{Sending, Text};
use crate::store::Store;
use crate::trace::Trace;
use crate::traceql::Deadline;
use crate::view::Part;
use crate::{compare_view, find, glossary, trace_json, view};

const LIST: &str = concat!(include_str!("../assets/head.html"), include_str!("../assets/list.html"));
const TRACE: &str = concat!(include_str!("../assets/head.html"), include_str!("../assets/trace.html"));
const COMPARE: &str = concat!(include_str!("../assets/head.html"), include_str!("../assets/compare.html"));
const MAP: &str = concat!(include_str!("../assets/head.html"), include_str!("../assets/map.html"));
const JS: &str = "text/javascript; charset=utf-8";

/// Traces among which the previous one of the same kind is looked for.
const LOOKED_BACK: usize = 1000;

/// The modules of the pages.
const MODULES: [(&str, &str); 13] = [
    ("/assets/common.js", include_str!("../assets/common.js")),
    ("/assets/list.js", include_str!("../assets/list.js")),
    ("/assets/filters.js", include_str!("../assets/filters.js")),
    ("/assets/open.js", include_str!("../assets/open.js")),
    ("/assets/trace.js", include_str!("../assets/trace.js")),
    ("/assets/waterfall.js", include_str!("../assets/waterfall.js")),
    ("/assets/find.js", include_str!("../assets/find.js")),
    ("/assets/rows.js", include_str!("../assets/rows.js")),
    ("/assets/axis.js", include_str!("../assets/axis.js")),
    ("/assets/details.js", include_str!("../assets/details.js")),
    ("/assets/compare.js", include_str!("../assets/compare.js")),
    ("/assets/map.js", include_str!("../assets/map.js")),
    ("/assets/layers.js", include_str!("../assets/layers.js")),
];

/// JSON that a page draws. To make it takes time and memory for a large trace, so that it runs where queries do.
type Drawn = Result<Response, QueryError>;

/// The pages, their assets, and the JSON that they draw.
pub(crate) fn routes() -> Router<Arc<Store>> {
    let pages = Router::new()
        .route("/", get(Html(LIST)))
        .route("/trace/{id}", get(trace_page))
        .route("/compare/{a}/{b}", get(Html(COMPARE)))
        .route("/map", get(Html(MAP)))
        .route("/glossary", get(Html(glossary::page(include_str!("../assets/head.html")))))
        .route("/trace/{id}/map", get(Html(MAP)))
        .route("/assets/style.css", file("text/css; charset=utf-8", include_str!("../assets/style.css")))
        .route("/assets/icon.svg", file("image/svg+xml", include_str!("../assets/icon.svg")))
        .route("/view/traces", get(traces))
        .route("/view/traces/{id}", get(waterfall))
        .route("/view/traces/{id}/find", get(find))
        .route("/view/traces/{id}/map", get(map_of_one))
        .route("/view/traces/{id}/otlp.json", get(download))
        .route("/view/traces/{id}/spans/{span}", get(details))
        .route("/view/compare/{a}/{b}", get(compare))
        .route("/view/map", get(map_of_all));
    MODULES.into_iter().fold(pages, |pages, (path, text)| pages.route(path, file(JS, text)))
}

fn file(content_type: &'static str, text: &'static str) -> MethodRouter<Arc<Store>> {
    get(([(CONTENT_TYPE, content_type)], text))
}

/// The page's text without JavaScript links to the trace as JSON.
async fn trace_page(Path(id): Path<String>) -> Html<String> {
    let id = TraceId::from_hex(&id).map_or_else(|_| String::new(), |id| id.to_string());
    Html(TRACE.replace("{id}", &id))
}

async fn traces(
    State(store): State<Arc<Store>>,
    Extension(pool): Extension<QueryPool>,
    Extension(sending): Extension<Sending>,
    Parameters(filter): Parameters<Filter>,
) -> Drawn {
    let text = pool.run(move |deadline| {
        let mut text = Text::new(&sending);
        list::list(&store, &filter, deadline, &mut text)?;
        Ok(text)
    });
    Ok(text.await?.into_response())
}

/// Which part of a waterfall, if something of it changed.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Wanted {
    /// The revision of the page's last response.
    since: u64,
    /// The first row.
    from: usize,
    /// Instead of it, a span.
    span: String,
}

/// 200 also for an unknown trace, as the page polls: its spans may arrive later than its reader.
async fn waterfall(
    State(store): State<Arc<Store>>,
    Extension(pool): Extension<QueryPool>,
    Extension(sending): Extension<Sending>,
    Path(id): Path<String>,
    Parameters(Wanted { since, from, span }): Parameters<Wanted>,
) -> Drawn {
    let id = match TraceId::from_hex(&id) {
        Err(reason) => return Ok(Json(json!({"known": false, "reason": reason})).into_response()),
        Ok(id) => id,
    };
    let part = Part { from, with: SpanId::from_hex(&span) };
    // The trace is not held while this waits for its turn.
    let text = pool.run_alone(move |deadline| {
        let mut text = Text::new(&sending);
        match store.get(id) {
            None => text.json(&json!({"known": false}))?,
            Some(trace) => view::waterfall(&trace, since, part, previous(&store, &trace), deadline, &mut text)?,
        }
        Ok(text)
    });
    Ok(text.await?.into_response())
}

/// The latest trace that started before `trace` and has a root span of the same service and name.
fn previous(store: &Store, trace: &Trace) -> Option<TraceId> {
    let (root, start) = (trace.root()?, trace.start());
    let is_alike = |other: &Trace| {
        other.root().is_some_and(|other| other.name() == root.name() && other.service() == root.service())
    };
    let earlier = store.latest(LOOKED_BACK).into_iter().filter(|other| other.start() < start && is_alike(other));
    earlier.max_by_key(|other| other.start()).map(|other| other.id)
}

#[derive(Deserialize)]
struct Sought {
    text: String,
}

/// The spans of a trace that have a text somewhere.
async fn find(
    State(store): State<Arc<Store>>,
    Extension(pool): Extension<QueryPool>,
    Path(id): Path<String>,
    Parameters(Sought { text }): Parameters<Sought>,
) -> Result<Json<Value>, QueryError> {
    let id = TraceId::from_hex(&id)?;
    let found = move |deadline: &Deadline| match store.get(id) {
        Some(trace) => Ok(Json(find::find(&trace, &text, deadline)?)),
        None => Ok(Json(json!({"count": 0, "spans": []}))),
    };
    // A value of megabytes is copied.
    pool.run_alone(found).await
}

async fn details(
    State(store): State<Arc<Store>>,
    Extension(pool): Extension<QueryPool>,
    Extension(sending): Extension<Sending>,
    Path((id, span)): Path<(String, String)>,
) -> Drawn {
    let found = move || {
        let (trace, span) = (store.get(TraceId::from_hex(&id).ok()?)?, SpanId::from_hex(&span)?);
        Some(view::details(&trace, trace.spans.get(&span)?))
    };
    draw(pool, sending, move |_| Ok(found().unwrap_or_default())).await
}

/// Responds with a value that may take memory until it is a text.
async fn draw(
    pool: QueryPool,
    sending: Sending,
    make: impl FnOnce(&Deadline) -> Result<Value, QueryError> + Send + 'static,
) -> Drawn {
    let text = pool.run_alone(move |deadline| {
        let mut text = Text::new(&sending);
        text.json(&make(deadline)?)?;
        Ok(text)
    });
    Ok(text.await?.into_response())
}

/// 200 also where a trace is unknown: it may arrive later, and the other one is drawn meanwhile.
async fn compare(
    State(store): State<Arc<Store>>,
    Extension(pool): Extension<QueryPool>,
    Extension(sending): Extension<Sending>,
    Path((a, b)): Path<(String, String)>,
) -> Drawn {
    let text = pool.run_alone(move |_| {
        let (find, mut text) = (|text: &str| Compared::find(&store, text), Text::new(&sending));
        compare_view::comparison(find(&a), find(&b), &mut text)?;
        Ok(text)
    });
    Ok(text.await?.into_response())
}

async fn map_of_all(
    State(store): State<Arc<Store>>,
    Extension(pool): Extension<QueryPool>,
    Extension(sending): Extension<Sending>,
) -> Drawn {
    let drawn = move |deadline: &Deadline| {
        let (mut map, mut seen) = (ServiceMap::default(), HashSet::new());
        for trace in NewestFirst::new(&store, u64::MAX, Services::default()) {
            deadline.check_now()?;
            if seen.insert(trace.id) {
                map.add(&trace, deadline)?;
            }
        }
        Ok(map.json())
    };
    draw(pool, sending, drawn).await
}

async fn map_of_one(
    State(store): State<Arc<Store>>,
    Extension(pool): Extension<QueryPool>,
    Extension(sending): Extension<Sending>,
    Path(id): Path<String>,
) -> Drawn {
    let id = TraceId::from_hex(&id)?;
    let drawn = move |deadline: &Deadline| {
        let mut map = ServiceMap::default();
        store.get(id).map_or(Ok(()), |trace| map.add(&trace, deadline))?;
        Ok(map.json())
    };
    draw(pool, sending, drawn).await
}

/// The spans of a trace and their log lines in OTLP's JSON, as a file.
async fn download(
    State(store): State<Arc<Store>>,
    Path(id): Path<String>,
    sending: Extension<Sending>,
) -> Result<Response, QueryError> {
    let id = TraceId::from_hex(&id).map_err(QueryError::Invalid)?;
    let Some(trace) = store.get(id) else {
        return Ok((axum::http::StatusCode::NOT_FOUND, "no trace with this id is in memory").into_response());
    };
    let response = query::send(sending, trace, "application/json", |trace, out| Ok(trace_json::otlp(trace, out)?))?;
    let name = format!("attachment; filename=\"trace-{id}.json\"");
    Ok(([(CONTENT_DISPOSITION, name)], response).into_response())
}
