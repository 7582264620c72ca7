//! The links between signals that Grafana offers: each is followed, as a click would.

use serde_json::{Value, json};

use super::batch::Sent;
use super::exam::Look;
use super::grafana::{Sources, proxied, query};
use super::places::Place;
use super::probe::Probe;
use super::report::Fault;
use super::trace::{self, Trace};

/// Follows every link from the batch's trace, lines and metrics.
pub(crate) fn resolve(probe: &Probe, grafana: &Place, sources: &Sources, trace: &Trace, sent: &Sent) -> Look<()> {
    let follow = Follow { probe, grafana, trace_id: &sent.trace_id };
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
    probe: &'a Probe,
    grafana: &'a Place,
    trace_id: &'a str,
}

impl Follow<'_> {
    fn trace_to_logs(&self, link: &Value, trace: &Trace) -> Result<(), Fault> {
        let (name, place) = ("trace → logs", "tempo's tracesToLogsV2");
        let uid = uid(name, place, link)?;
        let expression = text(&link["query"]);
        let span_id = trace.span(trace::DICE_ROLLER).map_or("", |span| &span.id);
        let expression = expression
            .replace("${__tags}", &tags(link))
            .replace("${__span.traceId}", self.trace_id)
            .replace("${__span.spanId}", span_id);
        let question = json!({
            "datasource": { "type": "loki", "uid": uid }, "expr": expression, "queryType": "range", "maxLines": 100,
        });
        self.has_data(name, place, &[question])
    }

    /// The questions of this link; one about failures has no data while nothing fails, so one answer is enough.
    fn trace_to_metrics(&self, link: &Value) -> Result<(), Fault> {
        let (name, place) = ("trace → metrics", "tempo's tracesToMetrics");
        let uid = uid(name, place, link)?;
        let questions: Vec<_> = link["queries"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|question| text(&question["query"]).replace("$__tags", &tags(link)))
            .map(|expression| json!({ "datasource": { "type": "prometheus", "uid": uid }, "expr": expression, "range": true }))
            .collect();
        self.has_data(name, place, &questions)
    }

    fn service_map(&self, link: &Value) -> Result<(), Fault> {
        let (name, place) = ("service map", "tempo's serviceMap");
        let uid = uid(name, place, link)?;
        for (client, server) in [("frontend", "dice-roller"), ("dice-roller", "die-service")] {
            let expression = format!(r#"traces_service_graph_request_total{{client="{client}",server="{server}"}}"#);
            let question =
                json!({ "datasource": { "type": "prometheus", "uid": uid }, "expr": expression, "range": true });
            self.has_data(name, place, &[question])?;
        }
        Ok(())
    }

    fn to_trace(&self, name: &str, place: &str, link: &Value) -> Result<(), Fault> {
        let path = proxied(uid(name, place, link)?, &format!("api/traces/{}", self.trace_id));
        match self.probe.get(self.grafana, &path, &[])?.status {
            200 => Ok(()),
            status => Err(dead(name, place, &format!("leads to the trace's address, which answers {status}"))),
        }
    }

    /// Whether one of `questions` is answered with data, and all of them without an error.
    fn has_data(&self, name: &str, place: &str, questions: &[Value]) -> Result<(), Fault> {
        let answers: Result<Vec<bool>, Fault> =
            questions.iter().map(|question| query(self.probe, self.grafana, question)).collect();
        if answers?.contains(&true) {
            return Ok(());
        }
        let asked: Vec<_> = questions.iter().map(|question| text(&question["expr"])).collect();
        Err(dead(name, place, &format!("leads to nothing: no data for {}", asked.join(" or "))))
    }
}

/// The data source that a link leads to.
fn uid<'a>(name: &str, place: &str, link: &'a Value) -> Result<&'a str, Fault> {
    link["datasourceUid"].as_str().ok_or_else(|| dead(name, place, "is not there"))
}

/// `service_name="dice-roller"`: the tags that a link takes over from the span, under the names that it gives them.
fn tags(link: &Value) -> String {
    let tags = link["tags"].as_array().into_iter().flatten().filter(|tag| tag["key"] == "service.name");
    tags.map(|tag| format!(r#"{}="dice-roller""#, text(&tag["value"]))).collect::<Vec<_>>().join(", ")
}

fn dead(name: &str, place: &str, what: &str) -> Fault {
    Fault {
        found: format!("the link {name} {what}"),
        cause: format!("{place} is not what is provisioned, or what it leads to has other names for the same things"),
        remedy: format!("compare {place} with observability/grafana/provisioning/datasources/datasources.yaml"),
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
