//! What the page loads: embedded in the program, cached for good, and found anew when a build changes it.

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header;

const CSS: &str = include_str!("../assets/app.css");
const SCRIPT: &str = include_str!("../assets/app.js");
const ICON: &str = include_str!("../assets/favicon.svg");

/// Stands in every asset's address (`?v=…`), so that a browser may keep it for as long as it likes.
pub(crate) const VERSION: u64 = fnv(ICON, fnv(SCRIPT, fnv(CSS, 0xcbf2_9ce4_8422_2325)));

/// The FNV-1a hash of `text`, going on from `hash`: a `const fn`, so that it costs nothing at start.
const fn fnv(text: &str, mut hash: u64) -> u64 {
    let bytes = text.as_bytes();
    let mut i = 0;
    while i < bytes.len() {
        hash = (hash ^ bytes[i] as u64).wrapping_mul(0x100_0000_01b3);
        i += 1;
    }
    hash
}

/// The routes of the assets. Browsers request `/favicon.ico` of their own accord, on pages of other types too.
pub(crate) fn routes() -> Router {
    Router::new()
        .route("/assets/app.css", get(async || asset("text/css; charset=utf-8", CSS)))
        .route("/assets/app.js", get(async || asset("text/javascript; charset=utf-8", SCRIPT)))
        .route("/assets/favicon.svg", get(async || asset("image/svg+xml", ICON)))
        .route("/favicon.ico", get(async || asset("image/svg+xml", ICON)))
}

fn asset(content_type: &'static str, body: &'static str) -> Response {
    let headers =
        [(header::CONTENT_TYPE, content_type), (header::CACHE_CONTROL, "public, max-age=31536000, immutable")];
    (headers, body).into_response()
}
