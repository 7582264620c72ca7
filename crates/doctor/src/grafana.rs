//! Grafana's data sources, and queries through them.

use serde_json::{Value, json};

use crate::check::Checked;
use crate::http::HttpClient;
use crate::report::Failure;
use crate::targets::Target;

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
pub(crate) fn sources(http: &HttpClient, grafana: &Target) -> Checked<Sources> {
    let [prometheus, tempo, loki] = SOURCES.map(|uid| source(http, grafana, uid));
    let sources = Sources { prometheus: prometheus?, tempo: tempo?, loki: loki? };
    Ok((sources, format!("{}: there, and healthy", SOURCES.join(", "))))
}

fn source(http: &HttpClient, grafana: &Target, uid: &str) -> Result<Value, Failure> {
    let path = format!("api/datasources/uid/{uid}");
    let response = http.get(grafana, &path, &[])?;
    if response.status == 404 {
        return Err(Failure {
            found: format!("Grafana has no data source with uid {uid}"),
            cause: "Grafana runs without observability/grafana/provisioning, or could not read it".to_owned(),
            remedy: "mount that directory at /etc/grafana/provisioning, and look at Grafana's log lines from its start"
                .to_owned(),
        });
    }
    let source = response.json(grafana, &path)?;
    // For a backend that it cannot reach, Grafana responds with 400 and the same form of JSON.
    let health = http.get(grafana, &format!("{path}/health"), &[])?;
    let body: Value = serde_json::from_str(&health.text).unwrap_or_default();
    if body["status"] != "OK" {
        let message = body["message"].as_str().map_or_else(|| health.beginning(), str::to_owned);
        return Err(Failure {
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
        let expression = query["expr"].as_str().unwrap_or_default();
        return Err(Failure {
            found: format!("the query {expression} fails: {error}"),
            cause: "the backend cannot parse it, or is in trouble".to_owned(),
            remedy: "run the same query in Grafana's Explore, and correct it".to_owned(),
        });
    }
    let body = response.json(grafana, "api/ds/query")?;
    let frames = body["results"]["A"]["frames"].as_array().into_iter().flatten();
    Ok(frames.into_iter().any(has_value))
}

/// A frame is a list of columns. The first is time, or labels, and alone no data; no number is null.
fn has_value(frame: &Value) -> bool {
    let columns = frame["data"]["values"].as_array().into_iter().flatten().skip(1);
    columns.flat_map(|column| column.as_array().into_iter().flatten()).any(|value| !value.is_null())
}

/// The path by which Grafana forwards a request to the backend of data source `uid`, as its own pages do.
pub(crate) fn proxied(uid: &str, path: &str) -> String {
    format!("api/datasources/proxy/uid/{uid}/{path}")
}
