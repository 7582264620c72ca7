//! The dashboard, and every query of its panels.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::check::Checked;
use crate::grafana::{self, Sources, proxied};
use crate::http::HttpClient;
use crate::report::Failure;
use crate::targets::{Target, Targets};

/// Its uid and title.
const DASHBOARD: (&str, &str) = ("stage4-dice-roller", "Dice Roller - Stage 4 (Async Rolling)");

/// Requests that keep every panel moving: a rate needs traffic between two scrapes, and some panels show failures only,
/// which this die is for.
const TRAFFIC: [&str; 3] = ["roll?die=fair", "roll-async?die=fair&times=3", "roll-async?die=extreme&times=5"];

/// A query of a panel, as Grafana takes it.
#[derive(Debug)]
struct PanelQuery {
    panel: String,
    query: Value,
}

/// The dashboard's queries, and which of them had no data yet.
#[derive(Debug)]
pub(crate) struct Panels {
    open: Vec<PanelQuery>,
    all: usize,
    sources: Sources,
}

/// The dashboard as Grafana has it.
pub(crate) fn find(http: &HttpClient, grafana: &Target) -> Checked<Value> {
    let (uid, title) = DASHBOARD;
    let dashboard = http.json(grafana, &format!("api/dashboards/uid/{uid}"), &[])?["dashboard"].clone();
    if dashboard["title"] != title || queries(&dashboard).is_empty() {
        return Err(Failure {
            found: format!(
                "the dashboard {uid} is called {}, and not '{title}', or has no queries",
                dashboard["title"]
            ),
            cause: "another dashboard has this uid".to_owned(),
            remedy: "provision grafana-dashboards/ as it is".to_owned(),
        });
    }
    Ok((dashboard, format!("'{title}'")))
}

fn queries(dashboard: &Value) -> Vec<PanelQuery> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    // A row that is folded up holds its panels.
    let panels =
        list(&dashboard["panels"]).into_iter().flat_map(|panel| [list(&panel["panels"]), vec![panel]].concat());
    let mut queries = Vec::new();
    for panel in panels {
        for mut query in list(&panel["targets"]).into_iter().filter(Value::is_object) {
            if query["datasource"].is_null() {
                query["datasource"] = panel["datasource"].clone();
            }
            if query["instant"] != true {
                query["range"] = json!(true);
            }
            queries.push(PanelQuery { panel: panel["title"].as_str().unwrap_or_default().to_owned(), query });
        }
    }
    queries
}

impl Panels {
    pub(crate) fn new(dashboard: Value, sources: Sources) -> Self {
        let open = queries(&dashboard);
        Self { all: open.len(), open, sources }
    }

    /// Makes some traffic, and repeats the queries that had no data so far.
    pub(crate) fn check(&mut self, http: &HttpClient, targets: &Targets) -> Checked<()> {
        for path in TRAFFIC {
            // What becomes of these is for the panels to show.
            let _ = http.get(&targets.frontend, path, &[]);
        }
        let mut still_open = Vec::new();
        for query in std::mem::take(&mut self.open) {
            match self.has_data(http, &targets.grafana, &query.query) {
                Ok(true) => (),
                Ok(false) => still_open.push((query, None)),
                Err(failure) => still_open.push((query, Some(failure))),
            }
        }
        let mut names: Vec<_> = still_open.iter().map(|(query, _)| format!("'{}'", query.panel)).collect();
        names.dedup();
        let mut error = None;
        for (query, failure) in still_open {
            error = error
                .or(failure
                    .map(|failure| Failure { found: format!("'{}': {}", query.panel, failure.found), ..failure }));
            self.open.push(query);
        }
        match (error, self.open.len()) {
            (None, 0) => Ok(((), format!("{} queries, all with data", self.all))),
            (Some(failure), _) => Err(failure),
            (None, open) => Err(Failure {
                found: format!("{open} of {} queries have no data: {}", self.all, names.join(", ")),
                cause: "series or labels are called otherwise there, or the data is late".to_owned(),
                remedy: "try a longer --wait; then open the panel in Grafana and compare its query with SIGNALS.md"
                    .to_owned(),
            }),
        }
    }

    /// Whether a query has data. Two kinds are put together by Grafana's pages, so they are put together here too.
    fn has_data(&self, http: &HttpClient, grafana: &Target, query: &Value) -> Result<bool, Failure> {
        let uid = query["datasource"]["uid"].as_str().unwrap_or_default();
        match (query["datasource"]["type"].as_str(), query["queryType"].as_str()) {
            (Some("tempo"), Some("serviceMap")) => {
                let of_map = &self.sources.tempo["serviceMap"]["datasourceUid"];
                let series = json!({
                    "datasource": { "type": "prometheus", "uid": of_map },
                    "expr": "traces_service_graph_request_total", "range": true,
                });
                grafana::has_data(http, grafana, &series)
            }
            (Some("tempo"), _) => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
                let (start, end) = (now.saturating_sub(3600).to_string(), now.to_string());
                let traceql = query["query"].as_str().unwrap_or_default();
                let search = [("q", traceql), ("limit", "20"), ("start", &start), ("end", &end)];
                let path = proxied(uid, tempo_client::SEARCH_PATH);
                let response = http.get(grafana, &path, &search)?;
                Ok(!response.read(grafana, &path, tempo_client::parse_search)?.is_empty())
            }
            _ => grafana::has_data(http, grafana, query),
        }
    }
}
