//! The links between signals that Grafana offers: each is followed, as a click would.

use serde_json::{Value, json};
use tempo_client::Trace;

use crate::batch::Sent;
use crate::check::Checked;
use crate::grafana::{self, Sources, proxied};
use crate::http::HttpClient;
use crate::report::Failure;
use crate::targets::Target;
use crate::trace;

/// Follows every link from the batch's trace, lines and metrics.
pub(crate) fn resolve(
    http: &HttpClient,
    grafana: &Target,
    sources: &Sources,
    trace: &Trace,
    sent: &Sent,
) -> Checked<()> {
    let follow = Follow { http, grafana, trace_id: &sent.trace_id };
    follow.trace_to_logs(&sources.tempo["tracesToLogsV2"], trace)?;
    follow.trace_to_metrics(&sources.tempo["tracesToMetrics"])?;
    follow.service_map(&sources.tempo["serviceMap"])?;
    let by_trace_id = |link: &&Value| link["matcherRegex"] == "trace_id" || link["name"] == "trace_id";
    let find = |links: &Value| links.as_array().into_iter().flatten().find(by_trace_id).cloned().unwrap_or_default();
    follow.to_trace("log → trace", "loki's derivedFields", &find(&sources.loki["derivedFields"]))?;
    let destinations = &sources.prometheus["exemplarTraceIdDestinations"];
    follow.to_trace("exemplar → trace", "prometheus' exemplarTraceIdDestinations", &find(destinations))?;
    Ok(((), "trace → logs, trace → metrics, service map, log → trace, exemplar → trace".to_owned()))
}

struct Follow<'a> {
    http: &'a HttpClient,
    grafana: &'a Target,
    trace_id: &'a str,
}

impl Follow<'_> {
    fn trace_to_logs(&self, link: &Value, trace: &Trace) -> Result<(), Failure> {
        let (name, setting) = ("trace → logs", "tempo's tracesToLogsV2");
        let uid = uid(name, setting, link)?;
        let expression = text(&link["query"]);
        let span_id = trace.span(trace::DICE_ROLLER).map_or("", |span| &span.id);
        let expression = expression
            .replace("${__tags}", &tags(link))
            .replace("${__span.traceId}", self.trace_id)
            .replace("${__span.spanId}", span_id);
        let query = json!({
            "datasource": { "type": "loki", "uid": uid }, "expr": expression, "queryType": "range", "maxLines": 100,
        });
        self.has_data(name, setting, &[query])
    }

    /// A query about failures has no data while nothing fails, so data for one of the link's queries is enough.
    fn trace_to_metrics(&self, link: &Value) -> Result<(), Failure> {
        let (name, setting) = ("trace → metrics", "tempo's tracesToMetrics");
        let uid = uid(name, setting, link)?;
        let queries: Vec<_> = link["queries"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|query| text(&query["query"]).replace("$__tags", &tags(link)))
            .map(|expression| json!({ "datasource": { "type": "prometheus", "uid": uid }, "expr": expression, "range": true }))
            .collect();
        self.has_data(name, setting, &queries)
    }

    fn service_map(&self, link: &Value) -> Result<(), Failure> {
        let (name, setting) = ("service map", "tempo's serviceMap");
        let uid = uid(name, setting, link)?;
        for (client, server) in [("frontend", "dice-roller"), ("dice-roller", "die-service")] {
            let expression = format!(r#"traces_service_graph_request_total{{client="{client}",server="{server}"}}"#);
            let query =
                json!({ "datasource": { "type": "prometheus", "uid": uid }, "expr": expression, "range": true });
            self.has_data(name, setting, &[query])?;
        }
        Ok(())
    }

    fn to_trace(&self, name: &str, setting: &str, link: &Value) -> Result<(), Failure> {
        let path = proxied(uid(name, setting, link)?, &tempo_client::trace_path(self.trace_id));
        match self.http.get(self.grafana, &path, &[])?.status {
            200 => Ok(()),
            status => Err(broken(name, setting, &format!("leads to the trace's address, which answers {status}"))),
        }
    }

    /// Whether one of `queries` has data, and none of them fails.
    fn has_data(&self, name: &str, setting: &str, queries: &[Value]) -> Result<(), Failure> {
        let with_data: Result<Vec<bool>, Failure> =
            queries.iter().map(|query| grafana::has_data(self.http, self.grafana, query)).collect();
        if with_data?.contains(&true) {
            return Ok(());
        }
        let expressions: Vec<_> = queries.iter().map(|query| text(&query["expr"])).collect();
        Err(broken(name, setting, &format!("leads to nothing: no data for {}", expressions.join(" or "))))
    }
}

/// The data source that a link leads to.
fn uid<'a>(name: &str, setting: &str, link: &'a Value) -> Result<&'a str, Failure> {
    link["datasourceUid"].as_str().ok_or_else(|| broken(name, setting, "is not there"))
}

/// `service_name="dice-roller"`: the tags that a link takes over from the span, under the names that it gives them.
fn tags(link: &Value) -> String {
    let tags = link["tags"].as_array().into_iter().flatten().filter(|tag| tag["key"] == "service.name");
    tags.map(|tag| format!(r#"{}="dice-roller""#, text(&tag["value"]))).collect::<Vec<_>>().join(", ")
}

fn broken(name: &str, setting: &str, what: &str) -> Failure {
    Failure {
        found: format!("the link {name} {what}"),
        cause: format!("{setting} is not what is provisioned, or what it leads to has other names for the same things"),
        remedy: format!("compare {setting} with observability/grafana/provisioning/datasources/datasources.yaml"),
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
