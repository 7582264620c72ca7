//! The dashboard, and every question that its panels ask.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::exam::Look;
use super::grafana::{Sources, proxied, query};
use super::places::{Place, Places};
use super::probe::Probe;
use super::report::Fault;

/// Its uid and title.
const DASHBOARD: (&str, &str) = ("stage4-dice-roller", "Dice Roller - Stage 4 (Async Rolling)");

/// Requests that keep every panel moving: a rate needs traffic between two scrapes, and some panels show failures only,
/// which this die is for.
const TRAFFIC: [&str; 3] = ["roll?die=fair", "roll-async?die=fair&times=3", "roll-async?die=extreme&times=5"];

/// A question of a panel.
#[derive(Debug)]
struct Question {
    panel: String,
    query: Value,
}

/// The dashboard's questions that were not answered with data yet.
#[derive(Debug)]
pub(crate) struct Panels {
    open: Vec<Question>,
    all: usize,
    sources: Sources,
}

/// The dashboard as Grafana has it.
pub(crate) fn find(probe: &Probe, grafana: &Place) -> Look<Value> {
    let (uid, title) = DASHBOARD;
    let dashboard = probe.json(grafana, &format!("api/dashboards/uid/{uid}"), &[])?["dashboard"].clone();
    if dashboard["title"] != title || questions(&dashboard).is_empty() {
        return Err(Fault {
            found: format!("the dashboard {uid} is called {}, and not '{title}', or asks nothing", dashboard["title"]),
            cause: "another dashboard has this uid".to_owned(),
            remedy: "provision grafana-dashboards/ as it is".to_owned(),
        });
    }
    Ok((dashboard, format!("'{title}'")))
}

fn questions(dashboard: &Value) -> Vec<Question> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    // A row that is folded up holds its panels.
    let panels =
        list(&dashboard["panels"]).into_iter().flat_map(|panel| [list(&panel["panels"]), vec![panel]].concat());
    let mut questions = Vec::new();
    for panel in panels {
        for mut query in list(&panel["targets"]).into_iter().filter(Value::is_object) {
            if query["datasource"].is_null() {
                query["datasource"] = panel["datasource"].clone();
            }
            if query["instant"] != true {
                query["range"] = json!(true);
            }
            questions.push(Question { panel: panel["title"].as_str().unwrap_or_default().to_owned(), query });
        }
    }
    questions
}

impl Panels {
    pub(crate) fn new(dashboard: Value, sources: Sources) -> Self {
        let open = questions(&dashboard);
        Self { all: open.len(), open, sources }
    }

    /// Makes some traffic, and asks again what had no data so far.
    pub(crate) fn ask(&mut self, probe: &Probe, places: &Places) -> Look<()> {
        for path in TRAFFIC {
            // What becomes of these is for the panels to show.
            let _ = probe.get(&places.frontend, path, &[]);
        }
        let mut still_open = Vec::new();
        for question in std::mem::take(&mut self.open) {
            match self.answered(probe, &places.grafana, &question.query) {
                Ok(true) => (),
                Ok(false) => still_open.push((question, None)),
                Err(fault) => still_open.push((question, Some(fault))),
            }
        }
        let mut names: Vec<_> = still_open.iter().map(|(question, _)| format!("'{}'", question.panel)).collect();
        names.dedup();
        let mut error = None;
        for (question, fault) in still_open {
            error =
                error.or(fault.map(|fault| Fault { found: format!("'{}': {}", question.panel, fault.found), ..fault }));
            self.open.push(question);
        }
        match (error, self.open.len()) {
            (None, 0) => Ok(((), format!("{} questions, all answered with data", self.all))),
            (Some(fault), _) => Err(fault),
            (None, open) => Err(Fault {
                found: format!("{open} of {} questions have no data: {}", self.all, names.join(", ")),
                cause: "series or labels are called otherwise there, or the data is late".to_owned(),
                remedy: "try a longer --wait; then open the panel in Grafana and compare its question with SIGNALS.md"
                    .to_owned(),
            }),
        }
    }

    /// Whether a question has data. Two kinds Grafana's pages put together themselves.
    fn answered(&self, probe: &Probe, grafana: &Place, question: &Value) -> Result<bool, Fault> {
        let uid = question["datasource"]["uid"].as_str().unwrap_or_default();
        match (question["datasource"]["type"].as_str(), question["queryType"].as_str()) {
            (Some("tempo"), Some("serviceMap")) => {
                let of_map = &self.sources.tempo["serviceMap"]["datasourceUid"];
                let series = json!({
                    "datasource": { "type": "prometheus", "uid": of_map },
                    "expr": "traces_service_graph_request_total", "range": true,
                });
                query(probe, grafana, &series)
            }
            (Some("tempo"), _) => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
                let (start, end) = (now.saturating_sub(3600).to_string(), now.to_string());
                let traceql = question["query"].as_str().unwrap_or_default();
                let search = [("q", traceql), ("limit", "20"), ("start", &start), ("end", &end)];
                let found = probe.json(grafana, &proxied(uid, "api/search"), &search)?;
                Ok(found["traces"].as_array().is_some_and(|traces| !traces.is_empty()))
            }
            _ => query(probe, grafana, question),
        }
    }
}
