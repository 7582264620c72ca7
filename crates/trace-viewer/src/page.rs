//! The pages and what they ask for. They are static files, embedded in the binary; `view` makes the JSON they draw.

use std::sync::Arc;

use axum::extract::{Path, Query as Parameters, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::ids::{SpanId, TraceId};
use crate::store::Store;
use crate::view;

/// Traces in the list; who looks for an older one uses `/api/search`.
const LISTED: usize = 100;

/// The pages, their assets, and the JSON that they draw.
pub(crate) fn routes() -> Router<Arc<Store>> {
    Router::new()
        .route("/", get(|| html(include_str!("../assets/index.html"))))
        .route("/trace/{id}", get(|| html(include_str!("../assets/trace.html"))))
        .route("/assets/style.css", get(|| css(include_str!("../assets/style.css"))))
        .route("/assets/common.js", get(|| js(include_str!("../assets/common.js"))))
        .route("/assets/list.js", get(|| js(include_str!("../assets/list.js"))))
        .route("/assets/trace.js", get(|| js(include_str!("../assets/trace.js"))))
        .route("/assets/waterfall.js", get(|| js(include_str!("../assets/waterfall.js"))))
        .route("/assets/details.js", get(|| js(include_str!("../assets/details.js"))))
        .route("/assets/icon.svg", get(|| svg(include_str!("../assets/icon.svg"))))
        .route("/view/traces", get(list))
        .route("/view/traces/{id}", get(waterfall))
        .route("/view/traces/{id}/spans/{span}", get(details))
}

async fn html(text: &'static str) -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/html; charset=utf-8")], text)
}

async fn css(text: &'static str) -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/css; charset=utf-8")], text)
}

async fn js(text: &'static str) -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/javascript; charset=utf-8")], text)
}

async fn svg(text: &'static str) -> impl IntoResponse {
    ([(CONTENT_TYPE, "image/svg+xml")], text)
}

/// What a page knows already.
#[derive(Deserialize)]
struct Since {
    /// The revision that the last answer named.
    #[serde(default)]
    since: u64,
}

/// The listed traces that changed. Without a viewer it costs nothing, and with one a look at the newest hundred.
async fn list(State(store): State<Arc<Store>>, Parameters(Since { since }): Parameters<Since>) -> Json<Value> {
    let level = store.level();
    let latest = store.latest(LISTED);
    let changed = latest.iter().filter(|trace| trace.revision > since).map(|trace| view::summary(trace));
    Json(json!({
        "made": store.made.to_string(),
        "revision": level.revision,
        "traces": changed.collect::<Value>(),
        "kept": {"traces": level.traces, "spans": level.spans, "evicted": level.evicted},
    }))
}

/// A trace as a waterfall. One that is not known (yet) is an answer too: who follows a link may be faster than the spans.
async fn waterfall(
    State(store): State<Arc<Store>>,
    Path(id): Path<String>,
    Parameters(Since { since }): Parameters<Since>,
) -> Json<Value> {
    let found = TraceId::from_hex(&id).map(|id| store.get(id));
    Json(match found {
        Err(reason) => json!({"known": false, "reason": reason}),
        Ok(None) => json!({"known": false}),
        Ok(Some(trace)) => view::waterfall(&trace, since),
    })
}

async fn details(State(store): State<Arc<Store>>, Path((id, span)): Path<(String, String)>) -> Json<Value> {
    let trace = TraceId::from_hex(&id).ok().and_then(|id| store.get(id));
    let span = SpanId::from_hex(&span);
    let found = trace.zip(span).and_then(|(trace, span)| Some(view::details(&trace, trace.spans.get(&span)?)));
    Json(found.unwrap_or_default())
}
