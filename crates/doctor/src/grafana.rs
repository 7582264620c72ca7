//! Grafana's data sources, and queries through them.

use serde_json::{Value, json};

use crate::check::Checked;
use crate::http::{HttpClient, list, text};
use crate::report::Failure;
use crate::targets::Target;

/// What is set for each data source: its `jsonData`, where the links stand.
#[derive(Debug)]
pub(crate) struct Sources {
    pub(crate) prometheus: Value,
    pub(crate) tempo: Value,
    pub(crate) loki: Value,
}

/// Whether Grafana has the data sources, and each of them reaches its backend.
pub(crate) fn sources(http: &HttpClient, grafana: &Target) -> Checked<Sources> {
    let source = |uid| source(http, grafana, uid);
    let sources = Sources { prometheus: source("prometheus")?, tempo: source("tempo")?, loki: source("loki")? };
    Ok((sources, "prometheus, tempo, loki: there, and healthy".to_owned()))
}

/// `uid` is also the type.
fn source(http: &HttpClient, grafana: &Target, uid: &str) -> Result<Value, Failure> {
    let path = format!("api/datasources/uid/{uid}");
    let response = http.get(grafana, &path, &[])?;
    if response.status == 404 {
        return Err(Failure::new(
            format!("Grafana has no data source with uid {uid}"),
            "Grafana runs without observability/grafana/provisioning, or could not read it",
            "mount that directory at /etc/grafana/provisioning, and look at Grafana's log lines from its start",
        ));
    }
    let source: Value = response.json()?;
    // For a backend that it cannot reach, Grafana responds with 400 and the same form of JSON.
    let health = http.get(grafana, &format!("{path}/health"), &[])?;
    let body: Value = serde_json::from_str(&health.text).unwrap_or_default();
    if body["status"] != "OK" {
        let message = body["message"].as_str().map_or_else(|| health.beginning(), str::to_owned);
        return Err(Failure::new(
            format!("Grafana's data source {uid} is not healthy: {message}"),
            format!("from where Grafana runs, {} is not reached", source["url"].as_str().unwrap_or("its backend")),
            "start that backend, or correct the url in observability/grafana/provisioning/datasources/datasources.yaml",
        ));
    }
    Ok(source["jsonData"].clone())
}

/// A query of a series in the Prometheus of that uid.
pub(crate) fn series(uid: &Value, expression: &str) -> Value {
    json!({ "datasource": { "type": "prometheus", "uid": uid }, "expr": expression, "range": true })
}

/// Runs a query of a panel or a link as Grafana does, over the last hour: whether the response has data. `query` is an
/// object.
///
/// # Errors
/// When the response is an error.
pub(crate) fn has_data(http: &HttpClient, grafana: &Target, query: &Value) -> Result<bool, Failure> {
    let mut query = query.clone();
    query["refId"] = json!("A");
    // The step of a panel some hundred pixels wide; Grafana takes $__rate_interval from it.
    query["intervalMs"] = json!(5000);
    query["maxDataPoints"] = json!(720);
    let body = json!({ "queries": [query], "from": "now-1h", "to": "now" });
    let response = http.post(grafana, "api/ds/query", &body)?;
    let body: Value = serde_json::from_str(&response.text).unwrap_or_default();
    if let Some(error) = body["results"]["A"]["error"].as_str() {
        return Err(Failure::new(
            format!("the query {} fails: {error}", text(&query["expr"])),
            "the backend cannot parse it, or is in trouble",
            "run the same query in Grafana's Explore, and correct it",
        ));
    }
    let body: Value = response.json()?;
    Ok(list(&body["results"]["A"]["frames"]).any(has_value))
}

/// A frame is a list of columns. The first is time, or labels, and alone no data; no number is null.
fn has_value(frame: &Value) -> bool {
    list(&frame["data"]["values"]).skip(1).flat_map(list).any(|value| !value.is_null())
}

/// The path by which Grafana forwards a request to the backend of data source `uid`, as its own pages do.
pub(crate) fn proxied(uid: &str, path: &str) -> String {
    format!("api/datasources/proxy/uid/{uid}/{path}")
}
