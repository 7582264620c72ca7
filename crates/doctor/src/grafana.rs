//! Grafana's data sources, and queries through them.

use serde_json::{Value, json};

use crate::check::Checked;
use crate::http::{HttpClient, list, text};
use crate::report::Failure;
use crate::targets::{Target, Targets};

/// What is set for each data source: its `jsonData`, where the links stand.
#[derive(Debug)]
pub(crate) struct Sources {
    pub(crate) prometheus: Value,
    pub(crate) tempo: Value,
    pub(crate) loki: Value,
}

/// Whether Grafana has the data sources, and each of them reaches its backend.
pub(crate) fn sources(http: &HttpClient, targets: &Targets) -> Checked<Sources> {
    let mut by_proxy = Vec::new();
    let mut source = |uid, backend, ready| {
        let (source, health) = source(http, &targets.grafana, uid, backend, ready)?;
        if health == Health::Reached {
            by_proxy.push(uid);
        }
        Ok::<_, Failure>(source)
    };
    let sources = Sources {
        prometheus: source("prometheus", &targets.prometheus, "-/ready")?,
        tempo: source("tempo", &targets.tempo, "ready")?,
        loki: source("loki", &targets.loki, "ready")?,
    };
    let how = match by_proxy.is_empty() {
        true => "there, and healthy".to_owned(),
        false => {
            format!("there; healthy, or reached where this Grafana cannot ask for health ({})", by_proxy.join(", "))
        }
    };
    Ok((sources, format!("prometheus, tempo, loki: {how}")))
}

/// How well a data source is.
#[derive(Debug, PartialEq, Eq)]
enum Health {
    /// It says so itself.
    Ok,
    /// It cannot say (Tempo's up to Grafana 12), and its backend responds through Grafana.
    Reached,
}

/// `uid` is also the type; `ready` is a path of the backend.
fn source(
    http: &HttpClient,
    grafana: &Target,
    uid: &str,
    backend: &Target,
    ready: &str,
) -> Result<(Value, Health), Failure> {
    let path = format!("api/datasources/uid/{uid}");
    let response = http.get(grafana, &path, &[])?;
    if response.status == 404 {
        return Err(grafana.blamed(Failure::new(
            format!("Grafana has no data source with uid {uid}"),
            "Grafana runs without observability/grafana/provisioning, or could not read it",
            "mount that directory at /etc/grafana/provisioning, start Grafana again (`docker compose up -d --force-recreate \
             grafana`), and look at its log lines from the start",
        )));
    }
    let source: Value = response.json()?;
    let health = http.get(grafana, &format!("{path}/health"), &[])?;
    let body: Value = serde_json::from_str(&health.text).unwrap_or_default();
    let message = body["message"].as_str().map_or_else(|| health.beginning(), str::to_owned);
    let said = message.to_lowercase();
    // Grafana 13 has an id for each error; versions before have the text alone.
    let not_loaded = matches!(text(&body["messageId"]), "plugin.notRegistered" | "plugin.unavailable")
        || ["plugin not registered", "plugin not found", "plugin unavailable", "unable to find datasource plugin"]
            .iter()
            .any(|text| said.contains(text));
    if body["status"] == "OK" {
        return Ok((source["jsonData"].clone(), Health::Ok));
    }
    if not_loaded {
        return Err(grafana.blamed(Failure::new(
            format!("Grafana has not loaded the plugin of its data source {uid}: {message}"),
            "since version 13 it is a process of its own, which Grafana's updater unloads at start when it does not reach the \
             internet, or the root is read-only; or that process ended",
            "set GF_PLUGINS_PREINSTALL_DISABLED to true and GF_PLUGINS_PREINSTALL_AUTO_UPDATE to false, as in docker-compose.yml; \
             then `docker compose up -d --force-recreate grafana`",
        )));
    }
    let url = source["url"].as_str().unwrap_or("its backend");
    let not_reached = |found: String| {
        Err(backend.blamed(Failure::new(
            found,
            format!("{} does not run, or from where Grafana runs it is not at {url}", backend.name),
            format!(
                "start it: `{}`; or correct the url in observability/grafana/provisioning/datasources/datasources.yaml",
                backend.start()
            ),
        )))
    };
    // For a backend that it cannot reach, a data source responds with 400 and its status.
    if body["status"].is_string() {
        return not_reached(format!("Grafana's data source {uid} is not healthy: {message}"));
    }
    if health.status != 404 {
        health.success()?;
    }
    // There is no health check for this data source, so its backend is asked through Grafana.
    let proxied = http.get(grafana, &proxied(uid, ready), &[])?;
    match proxied.status {
        200..300 => Ok((source["jsonData"].clone(), Health::Reached)),
        status => not_reached(format!(
            "through Grafana's data source {uid}, which has no health check, /{ready} of its backend responds with {status}: {}",
            proxied.beginning()
        )),
    }
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
