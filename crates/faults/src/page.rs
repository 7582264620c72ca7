//! `/faults`: the switches of one service, for a browser on the same machine. It works without script.
//!
//! A page of another site can send a browser here: a name that leads to a loopback address has a foreign `Host` (DNS
//! rebinding), and a form on another page has a foreign `Origin`. Both are refused.

use std::net::SocketAddr;
use std::sync::Arc;

use askama::Template;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Form, Request, State};
use axum::middleware::{Next, from_fn};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::get;
use axum::{Extension, Router};
use http::uri::Authority;
use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;

use crate::parse::Active;
use crate::switches::Switches;
use crate::table::{Fault, FaultInfo, TABLE};

/// A form has a tenth of it.
const MAX_BODY: usize = 4096;

type Links = Arc<[(&'static str, String)]>;

impl Switches {
    /// The page of switches of a service that listens there, with links to the pages of `others`. Without `FAULTS=on`, or
    /// where not only this machine reaches the service, there is none.
    pub fn page(&self, listening: SocketAddr, others: &[(&'static str, String)]) -> Router {
        if !self.has_page() {
            return Router::new();
        }
        if !listening.ip().is_loopback() {
            let why = "the page of switches is there only where HOST is a loopback address";
            tracing::warn!(name: "setting.ignored", setting = "FAULTS", why, "Setting has no effect");
            return Router::new();
        }
        Router::new()
            .route("/faults", get(show).post(switch))
            .layer((from_fn(only_this_machine), DefaultBodyLimit::max(MAX_BODY), Extension(Links::from(others))))
            .with_state(self.clone())
    }
}

/// Refuses what does not come from this machine, from a page of this service or from a program.
async fn only_this_machine(request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    if peer.is_some_and(|ConnectInfo(peer)| peer.ip().is_loopback()) && is_local(request.headers()) {
        return next.run(request).await;
    }
    (StatusCode::FORBIDDEN, "403: the switches are for this machine, under a loopback name, and for no other site\n")
        .into_response()
}

fn is_local(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next().and_then(|host| host.to_str().ok()), hosts.next()) else { return false };
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let own = format!("http://{host}");
    !host.contains('@') && is_loopback(authority.host()) && origins.all(|origin| origin.as_bytes() == own.as_bytes())
}

/// Whether browsers take `host` for this machine without asking a name server (RFC 6761, section 6.3).
fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    let address = host.parse::<std::net::IpAddr>();
    host == "localhost" || host.ends_with(".localhost") || address.is_ok_and(|address| address.is_loopback())
}

async fn show(State(switches): State<Switches>, Extension(others): Extension<Links>) -> Response {
    rendered(&switches, &others, None)
}

/// What a form sends.
#[derive(Debug, Deserialize)]
struct Switching {
    fault: String,
    switch: Position,
    #[serde(default)]
    value: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Position {
    On,
    Off,
}

async fn switch(
    State(switches): State<Switches>,
    Extension(others): Extension<Links>,
    Form(Switching { fault, switch, value }): Form<Switching>,
) -> Response {
    let of_service = |fault: &Fault| fault.info().service == switches.service();
    let Some(fault) = Fault::from_name(&fault).filter(of_service) else {
        return refused(&switches, &others, "This service has no such fault");
    };
    if switches.is_sealed() {
        return refused(&switches, &others, "What is on is sealed");
    }
    let active = match switch {
        Position::Off => None,
        Position::On => {
            let name = fault.info().name;
            let text = if value.is_empty() { name.to_owned() } else { format!("{name}={value}") };
            match text.parse::<Active>() {
                Ok(active) => Some(active),
                Err(error) => return refused(&switches, &others, &error),
            }
        }
    };
    switches.switch(fault, active);
    Redirect::to("/faults").into_response()
}

fn refused(switches: &Switches, others: &Links, error: &str) -> Response {
    (StatusCode::UNPROCESSABLE_ENTITY, rendered(switches, others, Some(error))).into_response()
}

/// `templates/faults.html`.
#[derive(Template)]
#[template(path = "faults.html")]
struct Page<'a> {
    service: &'a str,
    sealed: bool,
    rows: Vec<Row>,
    others: &'a [(&'static str, String)],
    error: Option<&'a str>,
}

struct Row {
    info: &'static FaultInfo,
    /// None where it is off.
    value: Option<String>,
}

fn rendered(switches: &Switches, others: &Links, error: Option<&str>) -> Response {
    let own = TABLE.iter().filter(|info| info.service == switches.service());
    let rows = own.map(|info| Row { info, value: switches.active(info.fault).map(|active| active.value()) }).collect();
    let page = Page { service: switches.service(), sealed: switches.is_sealed(), rows, others, error };
    match page.render() {
        // With `no-referrer`, which other pages have, a browser sends `Origin: null` with the form.
        Ok(html) => ([(header::REFERRER_POLICY, "same-origin")], Html(html)).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
