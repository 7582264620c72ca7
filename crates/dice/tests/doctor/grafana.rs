//! A stand-in for Grafana: the data sources and the dashboard as provisioned, and requests forwarded to the backends.

use axum::http::Method;
use axum::response::Response;
use serde_json::{Value, json};

use test_support::http;

use crate::common::prometheus::read;
use crate::server::{self, Request, Server};

/// Breaks the response at a path: the path, and what changes its JSON; null becomes 404.
pub(crate) type Change = (&'static str, fn(&mut Value));

/// Where the data sources lead.
#[derive(Clone)]
pub(crate) struct Backends {
    pub(crate) prometheus: String,
    pub(crate) tempo: String,
    pub(crate) loki: String,
}

impl Backends {
    fn url(&self, uid: &str) -> &str {
        match uid {
            "prometheus" => &self.prometheus,
            "tempo" => &self.tempo,
            "loki" => &self.loki,
            other => panic!("nobody provisioned {other}"),
        }
    }
}

pub(crate) fn serve(backends: Backends, change: Option<Change>) -> Server {
    Server::start(move |request| reply(request, &backends, change))
}

fn reply(request: &Request, backends: &Backends, change: Option<Change>) -> Response {
    let path = request.uri.path().trim_start_matches("/api/");
    let (status, mut body) = match path.split('/').collect::<Vec<_>>()[..] {
        ["datasources", "uid", uid] => (200, source(uid)),
        ["datasources", "uid", uid, "health"] => health(backends, uid),
        ["datasources", "proxy", "uid", uid, ..] => {
            let rest = path.splitn(5, '/').last().unwrap();
            return proxy(request, backends.url(uid), rest);
        }
        ["dashboards", "uid", "stage4-dice-roller"] => {
            let dashboard: Value = serde_json::from_str(&read("grafana-dashboards/stage4-dice-roller.json")).unwrap();
            (200, json!({ "meta": {}, "dashboard": dashboard }))
        }
        ["ds", "query"] if request.method == Method::POST => query(request, backends),
        _ => (404, json!({ "message": format!("a stand-in for Grafana; knows no {path}") })),
    };
    if let Some((_, how)) = change.filter(|(at, _)| *at == path) {
        how(&mut body);
    }
    match &body {
        Value::Null => server::json(404, &json!({ "message": "not found, says the stand-in for Grafana" })),
        body if body["status"] == "ERROR" => server::json(400, body),
        body if body["statusCode"].is_u64() => server::json(body["statusCode"].as_u64().unwrap() as u16, body),
        body => server::json(status, body),
    }
}

/// A data source as it stands in the provisioning file, where `$` is written `$$`.
fn source(uid: &str) -> Value {
    let file = read("observability/grafana/provisioning/datasources/datasources.yaml").replace("$$", "$");
    let file: Value = serde_saphyr::from_str(&file).unwrap();
    file["datasources"].as_array().unwrap().iter().find(|source| source["uid"] == uid).cloned().unwrap_or_default()
}

fn health(backends: &Backends, uid: &str) -> (u16, Value) {
    let path = if uid == "prometheus" { "-/ready" } else { "ready" };
    match http::client().get(format!("{}/{path}", backends.url(uid))).send() {
        Ok(response) if response.status().is_success() => {
            (200, json!({ "status": "OK", "message": "says the stand-in" }))
        }
        other => (400, json!({ "status": "ERROR", "message": format!("{other:?}") })),
    }
}

/// The viewer knows no `select`, which adds columns to a search and changes nothing about what is found.
fn proxy(request: &Request, backend: &str, rest: &str) -> Response {
    let mut forwarded = http::client().get(format!("{backend}/{rest}"));
    for name in ["q", "limit", "start", "end"] {
        let value = request.parameter(name);
        if !value.is_empty() {
            let value = value.split("| select").next().unwrap();
            forwarded = forwarded.query(&[(name, value)]);
        }
    }
    let Ok(response) = forwarded.send() else {
        return server::json(502, &json!({ "message": "Bad Gateway, says the stand-in for Grafana" }));
    };
    let (status, text) = (response.status().as_u16(), response.text().unwrap());
    server::json(status, &serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

/// `/api/ds/query`: runs the query at the backend, and puts the result into frames, a list of columns each.
fn query(request: &Request, backends: &Backends) -> (u16, Value) {
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!((&body["from"], &body["to"]), (&json!("now-1h"), &json!("now")));
    let query = &body["queries"][0];
    let expression = query["expr"].as_str().unwrap().replace("$__rate_interval", "10s").replace("$__range", "3600s");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let (start, end) = (now - 60, now + 1);
    let uid = query["datasource"]["uid"].as_str().unwrap_or_default();
    let result = match uid {
        "prometheus" => {
            let (path, period) = match query["instant"] == true {
                true => ("api/v1/query", vec![]),
                false => {
                    assert_eq!(query["range"], true);
                    ("api/v1/query_range", vec![("start", start), ("end", end), ("step", 1)])
                }
            };
            let request = http::client().get(format!("{}/{path}", backends.prometheus)).query(&period);
            http::send(request.query(&[("query", expression)])).json()
        }
        "loki" => {
            let period = [("start", start * 1_000_000_000), ("end", end * 1_000_000_000)];
            let request = http::client().get(format!("{}/loki/api/v1/query_range", backends.loki)).query(&period);
            http::send(request.query(&[("query", expression)])).json()
        }
        other => json!({ "error": format!("the stand-in for Grafana has no '{other}'") }),
    };
    if result["status"] != "success" {
        return (400, json!({ "results": { "A": { "error": result["error"], "status": 400 } } }));
    }
    let frames: Vec<Value> = result["data"]["result"].as_array().unwrap().iter().map(frame).collect();
    (200, json!({ "results": { "A": { "status": 200, "frames": frames } } }))
}

/// Time and value, or labels, time and line. JSON has no NaN, so Grafana writes null.
fn frame(series: &Value) -> Value {
    let samples = [series["values"].as_array().cloned().unwrap_or_default(), vec![series["value"].clone()]].concat();
    let samples: Vec<_> = samples.into_iter().filter(|sample| !sample.is_null()).collect();
    let column = |index: usize| samples.iter().map(|sample| sample[index].clone()).collect::<Vec<_>>();
    let values = match series["stream"].is_object() {
        true => json!([vec![&series["stream"]; samples.len()], column(0), column(1)]),
        false => {
            let number =
                |value: &Value| value.as_str().and_then(|text| text.parse::<f64>().ok()).filter(|v| v.is_finite());
            json!([column(0), column(1).iter().map(number).collect::<Vec<_>>()])
        }
    };
    json!({ "schema": {}, "data": { "values": values } })
}
