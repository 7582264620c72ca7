//! The faults of frontend (`FAULTS`), which show in a trace and not in the code of a handler. Without `FAULTS` and
//! `FAULTS_FILE` nothing of this file is called.

use std::net::SocketAddr;
use std::sync::Arc;

use ::faults::{Fault, Switches};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use http::Method;
use service::Service;
use telemetry::Hooks;

use crate::app::{AppState, routes};
use crate::assets;
use crate::config::Config;

/// The faults of the clients.
pub(crate) fn hooks(switches: &Switches) -> Hooks {
    let switches = switches.clone();
    Hooks {
        request: Some(Arc::new(move |mut request| {
            if switches.is_on(Fault::LostContext) {
                for header in ["traceparent", "tracestate", "baggage"] {
                    request.headers_mut().remove(header);
                }
            }
            Box::pin(std::future::ready(request))
        })),
        ..Hooks::default()
    }
}

/// The whole service, with the faults in front of its handlers and the page of switches beside them.
pub(crate) fn app(
    state: AppState,
    service: &Service,
    switches: Switches,
    listening: SocketAddr,
    config: &Config,
) -> Router {
    switches.start();
    let others = [("dice-roller", &config.dice_roller_url), ("die-service", &config.die_service_url)];
    let page = switches.page(listening, &others.map(|(name, url)| (name, format!("{url}faults"))));
    let state = AppState { has_faults_page: switches.has_page() && listening.ip().is_loopback(), ..state };
    service.router(routes(state.into()).layer(from_fn_with_state(switches, retry_storm)), assets::routes().merge(page))
}

/// `retry-storm`: what failed is tried again at once, although the other side may have too much to do already.
async fn retry_storm(State(switches): State<Switches>, request: Request, next: Next) -> Response {
    let rolls = request.method() == Method::GET && matches!(request.uri().path(), "/roll" | "/roll-async");
    let tries = switches.number(Fault::RetryStorm).filter(|_| rolls).unwrap_or(1);
    let (parts, _) = request.into_parts(); // a GET has no body
    let again = || next.clone().run(Request::from_parts(parts.clone(), Body::empty()));
    let mut response = again().await;
    for _ in 1..tries {
        if !response.status().is_server_error() {
            break;
        }
        response = again().await;
    }
    response
}
