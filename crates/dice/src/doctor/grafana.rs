//! Grafana's data sources, and questions asked through them.

use serde_json::{Value, json};

use super::exam::Look;
use super::places::Place;
use super::probe::Probe;
use super::report::Fault;

/// The data sources that are provisioned: uid, which is also the type.
const SOURCES: [&str; 3] = ["prometheus", "tempo", "loki"];

/// What is set for each data source: its `jsonData`, where the links stand.
#[derive(Debug)]
pub(crate) struct Sources {
    pub(crate) prometheus: Value,
    pub(crate) tempo: Value,
    pub(crate) loki: Value,
}

/// Whether Grafana has the data sources, and each of them reaches its backend.
pub(crate) fn sources(probe: &Probe, grafana: &Place) -> Look<Sources> {
    let [prometheus, tempo, loki] = SOURCES.map(|uid| source(probe, grafana, uid));
    let sources = Sources { prometheus: prometheus?, tempo: tempo?, loki: loki? };
    Ok((sources, format!("{}: there, and healthy", SOURCES.join(", "))))
}

fn source(probe: &Probe, grafana: &Place, uid: &str) -> Result<Value, Fault> {
    let path = format!("api/datasources/uid/{uid}");
    let answer = probe.get(grafana, &path, &[])?;
    if answer.status == 404 {
        return Err(Fault {
            found: format!("Grafana has no data source with uid {uid}"),
            cause: "Grafana runs without observability/grafana/provisioning, or could not read it".to_owned(),
            remedy: "mount that directory at /etc/grafana/provisioning, and look at Grafana's log lines from its start"
                .to_owned(),
        });
    }
    let source = answer.json(grafana, &path)?;
    // A backend that is not reached is answered with 400 and the same form of JSON.
    let health = probe.get(grafana, &format!("{path}/health"), &[])?;
    let told: Value = serde_json::from_str(&health.text).unwrap_or_default();
    if told["status"] != "OK" {
        let message = told["message"].as_str().map_or_else(|| health.beginning(), str::to_owned);
        return Err(Fault {
            found: format!("Grafana's data source {uid} is not healthy: {message}"),
            cause: format!(
                "from where Grafana runs, {} is not reached",
                source["url"].as_str().unwrap_or("its backend")
            ),
            remedy: "start that backend, or put the url right in \
                     observability/grafana/provisioning/datasources/datasources.yaml"
                .to_owned(),
        });
    }
    Ok(source["jsonData"].clone())
}

/// What Grafana asks of a data source for a panel or a link, over the last hour: whether the answer has data. `query` is
/// an object.
///
/// # Errors
/// When the question is answered with an error.
pub(crate) fn query(probe: &Probe, grafana: &Place, query: &Value) -> Result<bool, Fault> {
    let mut query = query.clone();
    query["refId"] = json!("A");
    // The step of a panel some hundred pixels wide; Grafana takes $__rate_interval from it.
    query["intervalMs"] = json!(5000);
    query["maxDataPoints"] = json!(720);
    let body = json!({ "queries": [query], "from": "now-1h", "to": "now" });
    let answer = probe.post(grafana, "api/ds/query", &body)?;
    let told: Value = serde_json::from_str(&answer.text).unwrap_or_default();
    if let Some(error) = told["results"]["A"]["error"].as_str() {
        let question = query["expr"].as_str().unwrap_or_default();
        return Err(Fault {
            found: format!("the question {question} is answered with an error: {error}"),
            cause: "it is not understood there, or the backend is in trouble".to_owned(),
            remedy: "ask the same in Grafana's Explore, and put the question right".to_owned(),
        });
    }
    let told = answer.json(grafana, "api/ds/query")?;
    let frames = told["results"]["A"]["frames"].as_array().into_iter().flatten();
    Ok(frames.into_iter().any(has_value))
}

/// A frame is a list of columns. The first is time, or labels, and alone no data; no number is null.
fn has_value(frame: &Value) -> bool {
    let columns = frame["data"]["values"].as_array().into_iter().flatten().skip(1);
    columns.flat_map(|column| column.as_array().into_iter().flatten()).any(|value| !value.is_null())
}

/// Grafana hands a question on to the backend of data source `uid`, as its own pages do.
pub(crate) fn proxied(uid: &str, path: &str) -> String {
    format!("api/datasources/proxy/uid/{uid}/{path}")
}
