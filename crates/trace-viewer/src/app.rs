//! Routes and layers of the page and query port, put together.

use std::sync::Arc;

use axum::Router;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use tower_http::set_header::SetResponseHeaderLayer;

use crate::store::Store;
use crate::{page, query};

/// Names and attributes come from outside, so nothing but the viewer's own files may run or be loaded.
const POLICY: &str = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Everything that the page and query port answers.
pub(crate) fn app(store: Arc<Store>) -> Router {
    query::routes()
        .merge(page::routes())
        .layer(header(CONTENT_SECURITY_POLICY, POLICY))
        // A refusal repeats what was asked; it is text, and no browser should guess otherwise.
        .layer(header(X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(header(X_FRAME_OPTIONS, "DENY"))
        // A link followed from here tells nobody which trace was looked at.
        .layer(header(REFERRER_POLICY, "no-referrer"))
        // The files change with the program, and a browser that mixed two versions would show nonsense.
        .layer(header(CACHE_CONTROL, "no-cache"))
        .with_state(store)
}

fn header(name: HeaderName, value: &'static str) -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::overriding(name, HeaderValue::from_static(value))
}
