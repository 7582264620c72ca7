//! The links between signals that Grafana offers: each is followed, as a click would.

use serde_json::{Value, json};
use tempo_client::Trace;

use crate::batch::Sent;
use crate::check::Checked;
use crate::grafana::{self, Sources, proxied, series};
use crate::http::{HttpClient, list, text};
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
    let link = |name, setting, json| Link { http, grafana, name, setting, json };
    let logs = link("trace → logs", "tempo's tracesToLogsV2", &sources.tempo["tracesToLogsV2"]);
    let span_id = trace.span(trace::DICE_ROLLER).map_or("", |span| &span.id);
    let expression = text(&logs.json["query"])
        .replace("${__tags}", &logs.tags())
        .replace("${__span.traceId}", &sent.trace_id)
        .replace("${__span.spanId}", span_id);
    let source = json!({ "type": "loki", "uid": logs.uid()? });
    logs.has_data(&[json!({ "datasource": source, "expr": expression, "queryType": "range", "maxLines": 100 })])?;

    let metrics = link("trace → metrics", "tempo's tracesToMetrics", &sources.tempo["tracesToMetrics"]);
    let (uid, tags) = (metrics.uid()?, metrics.tags());
    // A query about failures has no data while nothing fails, so data for one of them is enough.
    let queries =
        list(&metrics.json["queries"]).map(|query| series(uid, &text(&query["query"]).replace("$__tags", &tags)));
    metrics.has_data(&queries.collect::<Vec<_>>())?;

    let map = link("service map", "tempo's serviceMap", &sources.tempo["serviceMap"]);
    for (client, server) in [("frontend", "dice-roller"), ("dice-roller", "die-service")] {
        let expression = format!(r#"traces_service_graph_request_total{{client="{client}",server="{server}"}}"#);
        map.has_data(&[series(map.uid()?, &expression)])?;
    }

    let find = |links: &'_ Value| {
        list(links).find(|link| link["matcherRegex"] == "trace_id" || link["name"] == "trace_id").cloned()
    };
    let to_trace = find(&sources.loki["derivedFields"]).unwrap_or_default();
    link("log → trace", "loki's derivedFields", &to_trace).opens(&sent.trace_id)?;
    let to_trace = find(&sources.prometheus["exemplarTraceIdDestinations"]).unwrap_or_default();
    link("exemplar → trace", "prometheus' exemplarTraceIdDestinations", &to_trace).opens(&sent.trace_id)?;
    Ok(((), "trace → logs, trace → metrics, service map, log → trace, exemplar → trace".to_owned()))
}

/// A link as it is provisioned.
struct Link<'a> {
    http: &'a HttpClient,
    grafana: &'a Target,
    name: &'static str,
    setting: &'static str,
    json: &'a Value,
}

impl Link<'_> {
    /// The data source that it leads to.
    fn uid(&self) -> Result<&Value, Failure> {
        let uid = &self.json["datasourceUid"];
        if uid.is_string() { Ok(uid) } else { Err(self.broken("is not there")) }
    }

    /// `service_name="dice-roller"`: the tags that it takes over from the span, under the names that it gives them.
    fn tags(&self) -> String {
        let tags = list(&self.json["tags"]).filter(|tag| tag["key"] == "service.name");
        tags.map(|tag| format!(r#"{}="dice-roller""#, text(&tag["value"]))).collect::<Vec<_>>().join(", ")
    }

    /// Whether one of `queries` has data, and none of them fails.
    fn has_data(&self, queries: &[Value]) -> Result<(), Failure> {
        let with_data = queries.iter().map(|query| grafana::has_data(self.http, self.grafana, query));
        if with_data.collect::<Result<Vec<_>, _>>()?.contains(&true) {
            return Ok(());
        }
        let expressions: Vec<_> = queries.iter().map(|query| text(&query["expr"])).collect();
        Err(self.broken(&format!("leads to nothing: no data for {}", expressions.join(" or "))))
    }

    /// Whether the trace can be read through it.
    fn opens(&self, trace_id: &str) -> Result<(), Failure> {
        let path = proxied(text(self.uid()?), &tempo_client::trace_path(trace_id));
        match self.http.get(self.grafana, &path, &[])?.status {
            200 => Ok(()),
            status => Err(self.broken(&format!("leads to the trace's address, which responds with {status}"))),
        }
    }

    fn broken(&self, what: &str) -> Failure {
        let Self { name, setting, .. } = self;
        Failure::new(
            format!("the link {name} {what}"),
            format!("{setting} is not what is provisioned, or what it leads to has other names for the same things"),
            format!("compare {setting} with observability/grafana/provisioning/datasources/datasources.yaml"),
        )
    }
}
