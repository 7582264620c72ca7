//! Routes and layers of the page and query port.

use std::sync::Arc;

use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use axum::{Extension, Router};
use tower_http::set_header::SetResponseHeaderLayer;

use crate::query::QueryPool;
use crate::sending::{self, Sending};
use crate::store::Store;
use crate::{mcp, page, query};

/// Names and attributes come from outside: a browser loads and runs only the viewer's own files.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// The page and query port.
pub(crate) fn app(store: Arc<Store>, pool: QueryPool) -> Router {
    let sending = Sending::new();
    let routes = query::routes()
        .merge(page::routes())
        .merge(mcp::routes(store.clone(), pool.clone()).with_state(()))
        .layer(Extension(pool))
        .layer(Extension(sending.clone()))
        .layer(header(CONTENT_SECURITY_POLICY, POLICY))
        // Error messages quote the request; a browser must not take them for HTML.
        .layer(header(X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(header(X_FRAME_OPTIONS, "DENY"))
        // Pages that are linked here do not learn the trace id.
        .layer(header(REFERRER_POLICY, "no-referrer"))
        // A browser must not mix the files of two versions of the program.
        .layer(header(CACHE_CONTROL, "no-cache"))
        .with_state(store);
    sending::bounded(routes, sending)
}

fn header(name: HeaderName, value: &'static str) -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::overriding(name, HeaderValue::from_static(value))
}
