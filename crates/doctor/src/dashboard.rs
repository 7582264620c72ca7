//! The dashboard, and every query of its panels.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::check::Checked;
use crate::grafana::{self, Sources, proxied};
use crate::http::{HttpClient, list, text};
use crate::report::Failure;
use crate::targets::{Target, Targets};

/// Its uid and title.
const DASHBOARD: (&str, &str) = ("stage4-dice-roller", "Dice Roller - Stage 4 (Async Rolling)");

/// Requests that keep every panel moving: a rate needs traffic between two scrapes, and some panels show failures only,
/// which this die is for.
const TRAFFIC: [&str; 3] = ["roll?die=fair", "roll-async?die=fair&times=3", "roll-async?die=extreme&times=5"];

/// A query of a panel, as Grafana takes it.
#[derive(Debug, Clone)]
pub(crate) struct PanelQuery {
    panel: String,
    query: Value,
}

/// The queries of the dashboard that Grafana has.
pub(crate) fn find(http: &HttpClient, grafana: &Target, sources: &Sources) -> Checked<Vec<PanelQuery>> {
    let (uid, title) = DASHBOARD;
    let dashboard = http.json(grafana, &format!("api/dashboards/uid/{uid}"), &[])?["dashboard"].take();
    let queries = queries(&dashboard, sources);
    if dashboard["title"] != title || queries.is_empty() {
        return Err(Failure::new(
            format!("the dashboard {uid} is called {}, and not '{title}', or has no queries", dashboard["title"]),
            "another dashboard has this uid",
            "provision grafana-dashboards/ as it is",
        ));
    }
    Ok((queries, format!("'{title}'")))
}

fn queries(dashboard: &Value, sources: &Sources) -> Vec<PanelQuery> {
    let mut queries = Vec::new();
    // A row that is folded up holds its panels.
    for panel in list(&dashboard["panels"]).flat_map(|panel| list(&panel["panels"]).chain([panel])) {
        for query in list(&panel["targets"]).filter(|query| query.is_object()) {
            let mut query = query.clone();
            if query["datasource"].is_null() {
                query["datasource"] = panel["datasource"].clone();
            }
            // A query that ends so returns only what happened, and nothing while nothing did.
            let expression = text(&query["expr"]);
            if let Some(whole) = [" > 0", " > 0.5"].iter().find_map(|above| expression.strip_suffix(above)) {
                query["expr"] = json!(whole);
            }
            if query["instant"] != true {
                query["range"] = json!(true);
            }
            // Grafana's own page draws it from this series.
            if query["queryType"] == "serviceMap" {
                query = grafana::series(
                    &sources.tempo["serviceMap"]["datasourceUid"],
                    "traces_service_graph_request_total",
                );
            }
            queries.push(PanelQuery { panel: text(&panel["title"]).to_owned(), query });
        }
    }
    queries
}

/// Makes some traffic, and runs the `open` queries of `all`: those that had no data so far.
pub(crate) fn have_data(
    http: &HttpClient,
    targets: &Targets,
    all: &[PanelQuery],
    open: &mut Vec<PanelQuery>,
) -> Checked<()> {
    for path in TRAFFIC {
        // What becomes of these is for the panels to show.
        let _ = http.get(&targets.frontend, path, &[]);
    }
    let mut error = None;
    open.retain(|PanelQuery { panel, query }| match has_data(http, &targets.grafana, query) {
        Ok(has) => !has,
        Err(mut failure) => {
            failure.found = format!("'{panel}': {}", failure.found);
            error.get_or_insert(failure);
            true
        }
    });
    if let Some(failure) = error {
        return Err(failure);
    }
    if open.is_empty() {
        return Ok(((), format!("{} queries, all with data", all.len())));
    }
    let mut names: Vec<_> = open.iter().map(|query| format!("'{}'", query.panel)).collect();
    names.dedup();
    Err(Failure::new(
        format!("{} of {} queries have no data: {}", open.len(), all.len(), names.join(", ")),
        "series or labels are called otherwise there, or the data is late",
        "try a longer --wait; then open the panel in Grafana and compare its query with SIGNALS.md",
    ))
}

/// Whether a query has data. Grafana's pages put a search of traces together, so it is put together here too.
fn has_data(http: &HttpClient, grafana: &Target, query: &Value) -> Result<bool, Failure> {
    if query["datasource"]["type"] != "tempo" {
        return grafana::has_data(http, grafana, query);
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (start, end) = (now.saturating_sub(3600).to_string(), now.to_string());
    let search = [("q", text(&query["query"])), ("limit", "20"), ("start", &start), ("end", &end)];
    let path = proxied(text(&query["datasource"]["uid"]), tempo_client::SEARCH_PATH);
    Ok(!http.get(grafana, &path, &search)?.read(tempo_client::parse_search)?.is_empty())
}
