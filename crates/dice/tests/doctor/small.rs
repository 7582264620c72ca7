//! Two small stand-ins: the collector's health check, and the metrics that Tempo makes of spans.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::response::IntoResponse as _;
use serde_json::json;

use test_support::http;

use crate::server::{self, Server};

/// Responds as the collector's extension `health_check`.
pub(crate) fn collector(healthy: bool) -> Server {
    Server::start(move |_| match healthy {
        true => server::json(200, &json!({ "status": "Server available", "stand-in": "for the collector" })),
        false => server::json(503, &json!({ "status": "Server not available", "stand-in": "for the collector" })),
    })
}

/// Stands for a part that is paused: the system takes connections for it, and nothing responds.
pub(crate) fn paused() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

/// Which exemplars there are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exemplars {
    /// Of the newest trace in the viewer.
    Newest,
    /// Of a trace that nobody has, another one at each scrape: Prometheus keeps none twice.
    Unknown,
    None,
}

/// Span metrics and service graph, as Tempo has them, with an exemplar. They are scraped here, where Tempo sends them.
/// The counts are those of the scrapes: nothing here looks at a number.
pub(crate) fn span_metrics(viewer: &str, exemplars: Exemplars) -> Server {
    let (viewer, scrapes) = (viewer.to_owned(), Arc::new(AtomicU64::new(0)));
    Server::start(move |_| {
        let count = scrapes.fetch_add(1, Ordering::Relaxed);
        let exemplar = match exemplars {
            Exemplars::Newest => newest_trace(&viewer),
            Exemplars::Unknown => Some(format!("{:032x}", count + 1)),
            Exemplars::None => None,
        };
        let exemplar = exemplar.map_or(String::new(), |id| format!(r##" # {{trace_id="{id}"}} 0.5"##));
        let span = r#"service="dice-roller",span_name="GET /roll-async",span_kind="SPAN_KIND_SERVER",status_code="STATUS_CODE_UNSET""#;
        let text = format!(
            "# HELP traces_spanmetrics_latency A stand-in for Tempo's metrics generator\n\
             # TYPE traces_spanmetrics_latency histogram\n\
             traces_spanmetrics_latency_bucket{{{span},le=\"1.0\"}} {count}{exemplar}\n\
             traces_spanmetrics_latency_bucket{{{span},le=\"+Inf\"}} {count}\n\
             traces_spanmetrics_latency_sum{{{span}}} {count}\n\
             traces_spanmetrics_latency_count{{{span}}} {count}\n\
             # TYPE traces_spanmetrics_calls counter\n\
             traces_spanmetrics_calls_total{{{span}}} {count}\n\
             # TYPE traces_service_graph_request counter\n\
             traces_service_graph_request_total{{client=\"frontend\",server=\"dice-roller\"}} {count}\n\
             traces_service_graph_request_total{{client=\"dice-roller\",server=\"die-service\"}} {count}\n\
             # EOF\n"
        );
        ([("content-type", "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response()
    })
}

fn newest_trace(viewer: &str) -> Option<String> {
    let found = http::get(format!("{viewer}/{}?limit=1", tempo_client::SEARCH_PATH)).text();
    tempo_client::parse_search(found.as_bytes()).unwrap().into_iter().next()
}
