//! The pages, static files embedded in the binary, and the JSON that they draw, which `view` makes.

use std::sync::Arc;

use axum::extract::{Path, Query as Parameters, State};
use axum::http::header::CONTENT_TYPE;
use axum::routing::{MethodRouter, get};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::ids::{SpanId, TraceId};
use crate::store::Store;
use crate::view;

/// Traces in the list; `/api/search` finds older ones.
const LISTED: usize = 100;

const INDEX: &str = concat!(include_str!("../assets/head.html"), include_str!("../assets/index.html"));
const TRACE: &str = concat!(include_str!("../assets/head.html"), include_str!("../assets/trace.html"));
const HTML: &str = "text/html; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";

/// The pages, their assets, and the JSON that they draw.
pub(crate) fn routes() -> Router<Arc<Store>> {
    Router::new()
        .route("/", file(HTML, INDEX))
        .route("/trace/{id}", file(HTML, TRACE))
        .route("/assets/style.css", file("text/css; charset=utf-8", include_str!("../assets/style.css")))
        .route("/assets/common.js", file(JS, include_str!("../assets/common.js")))
        .route("/assets/list.js", file(JS, include_str!("../assets/list.js")))
        .route("/assets/trace.js", file(JS, include_str!("../assets/trace.js")))
        .route("/assets/waterfall.js", file(JS, include_str!("../assets/waterfall.js")))
        .route("/assets/details.js", file(JS, include_str!("../assets/details.js")))
        .route("/assets/icon.svg", file("image/svg+xml", include_str!("../assets/icon.svg")))
        .route("/view/traces", get(list))
        .route("/view/traces/{id}", get(waterfall))
        .route("/view/traces/{id}/spans/{span}", get(details))
}

fn file(content_type: &'static str, text: &'static str) -> MethodRouter<Arc<Store>> {
    get(([(CONTENT_TYPE, content_type)], text))
}

/// The response has only what changed since.
#[derive(Deserialize)]
struct Since {
    /// The revision of the page's last response.
    #[serde(default)]
    since: u64,
}

async fn list(State(store): State<Arc<Store>>, Parameters(Since { since }): Parameters<Since>) -> Json<Value> {
    let level = store.level();
    let latest = store.latest(LISTED);
    let changed = latest.iter().filter(|trace| trace.revision > since).map(|trace| view::summary(trace));
    Json(json!({
        "created": store.created.to_string(),
        "revision": level.revision,
        "traces": changed.collect::<Value>(),
        "kept": {"traces": level.traces, "spans": level.spans, "evicted": level.evicted},
    }))
}

/// 200 also for an unknown trace, as the page polls: its spans may arrive later than its reader.
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
