//! The faults of die-service (`FAULTS`), which show in a trace and not in the code of a handler. Without `FAULTS` and
//! `FAULTS_FILE` nothing of this file is called.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ::faults::{Active, Fault, Switches};
use axum::Router;
use axum::extract::{Query, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use service::Service;
use telemetry::Hooks;

use crate::app::{AppState, routes};

/// The faults of the export.
pub(crate) fn hooks(switches: &Switches) -> Hooks {
    let switches = switches.clone();
    let span = move |mut span: telemetry::SpanData, _| {
        if let Some(milliseconds) = switches.number(Fault::ClockSkew) {
            let behind = Duration::from_millis(milliseconds);
            let set_back = |time: &mut SystemTime| *time = time.checked_sub(behind).unwrap_or(*time);
            set_back(&mut span.start_time);
            set_back(&mut span.end_time);
            span.events.events.iter_mut().for_each(|event| set_back(&mut event.timestamp));
        }
        Some(span)
    };
    Hooks { span: Some(Arc::new(span)), ..Hooks::default() }
}

/// The whole service, with the faults in front of its handlers and the page of switches beside them.
pub(crate) fn app(state: AppState, service: &Service, switches: Switches, listening: SocketAddr) -> Router {
    switches.start();
    let page = switches.page(listening, &[]);
    service.router(routes(state.into()).layer(from_fn_with_state(switches, slow_die)), page)
}

/// The part of the query that says which die.
#[derive(serde::Deserialize)]
struct Named {
    identifier: String,
}

/// `slow-die`: the specification of a die comes late.
async fn slow_die(State(switches): State<Switches>, request: Request, next: Next) -> Response {
    if let Some(Active { number: Some(milliseconds), die, .. }) = switches.active(Fault::SlowDie)
        && let Ok(Query(Named { identifier })) = Query::try_from_uri(request.uri())
        && die.is_none_or(|die| die == identifier)
    {
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
    }
    next.run(request).await
}
