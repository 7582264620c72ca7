//! What Prometheus has of it: targets, series, exemplars.

use serde_json::Value;

use crate::batch::Sent;
use crate::check::Checked;
use crate::http::{HttpClient, list, text};
use crate::metrics::Counters;
use crate::report::Failure;
use crate::targets::{Target, Targets};
use crate::trace;

/// What Tempo makes of spans; its exemplars are traces.
const SPAN_METRIC: &str = "traces_spanmetrics_latency_bucket";

/// The job of `service` in Prometheus' configuration.
fn job(service: &Target) -> String {
    format!("{}-stage4", service.name)
}

/// Whether Prometheus reaches each service.
pub(crate) fn targets(http: &HttpClient, targets: &Targets) -> Checked<()> {
    let response = http.json(&targets.prometheus, "api/v1/targets", &[("state", "active")])?;
    for job in targets.services().map(job) {
        let of_job = || list(&response["data"]["activeTargets"]).filter(|target| target["labels"]["job"] == *job);
        if of_job().next().is_none() {
            return Err(Failure::new(
                format!("Prometheus has no target of job {job}"),
                "it runs with another configuration than observability/prometheus.yml",
                format!("add a job {job} that scrapes the service, and reload Prometheus"),
            ));
        }
        if let Some(down) = of_job().find(|target| target["health"] != "up") {
            let [url, health, error] = ["scrapeUrl", "health", "lastError"].map(|field| text(&down[field]));
            return Err(Failure::new(
                format!("{job} at {url} is {health}: {error}"),
                "from where Prometheus runs, the service is not reached at that address",
                "correct the target in Prometheus' configuration, or wait for the first scrape",
            ));
        }
    }
    Ok(((), "all three jobs are up".to_owned()))
}

/// Whether Prometheus holds what the services counted after the batch.
pub(crate) fn series(http: &HttpClient, targets: &Targets, before: &Counters) -> Checked<()> {
    let expected = before.after_batch();
    for (index, sample, at_least) in &expected {
        let service = targets.services()[*index];
        let labels = format!(r#"job="{}""#, job(service));
        // A sample as it stands in /metrics is a selector already.
        let selector = match sample.strip_suffix('}') {
            Some(open) => format!("{open},{labels}}}"),
            None => format!("{sample}{{{labels}}}"),
        };
        let response = http.json(&targets.prometheus, "api/v1/query", &[("query", &format!("sum({selector})"))])?;
        let value = text(&response["data"]["result"][0]["value"][1]).parse::<f64>().ok();
        if value.is_none_or(|value| value < *at_least) {
            let is = value.map_or("does not exist".to_owned(), |value| format!("is {value}"));
            return Err(Failure::new(
                format!("{selector} {is}, and {} itself says {at_least}", service.name),
                "Prometheus has not scraped since the batch, or scrapes another process",
                "compare scrape_interval with --wait, and the job's target with the service's address",
            ));
        }
    }
    Ok(((), format!("{} series have what the services counted", expected.len())))
}

/// Whether there should be exemplars: Tempo makes them, the trace viewer does not.
pub(crate) fn expects_exemplars(http: &HttpClient, targets: &Targets) -> bool {
    let build = http.json(&targets.tempo, "api/status/buildinfo", &[]).unwrap_or_default();
    let series = || http.json(&targets.prometheus, "api/v1/query", &[("query", SPAN_METRIC)]).unwrap_or_default();
    !text(&build["revision"]).starts_with("trace-viewer") || series()["data"]["result"][0].is_object()
}

/// Whether the newest exemplar since the batch leads to a trace.
pub(crate) fn exemplar(http: &HttpClient, targets: &Targets, sent: &Sent) -> Checked<()> {
    let (start, end) = (sent.at.as_secs(), sent.at.as_secs() + 3600);
    let query = [("query", SPAN_METRIC), ("start", &start.to_string()), ("end", &end.to_string())];
    let response = http.json(&targets.prometheus, "api/v1/query_exemplars", &query)?;
    let exemplars = list(&response["data"]).flat_map(|series| list(&series["exemplars"]));
    let time = |exemplar: &Value| exemplar["timestamp"].as_f64().unwrap_or_default();
    let newest = exemplars.max_by(|a, b| time(a).total_cmp(&time(b)));
    let Some(id) = newest.and_then(|exemplar| exemplar["labels"]["trace_id"].as_str()) else {
        return Err(Failure::new(
            format!("{SPAN_METRIC} has no exemplar with a trace_id since the batch"),
            "Tempo does not send exemplars (send_exemplars, trace_id_label_name), or Prometheus does not keep them",
            "start Prometheus with --enable-feature=exemplar-storage and --web.enable-remote-write-receiver; compare \
             Tempo's configuration with observability/tempo.yaml",
        ));
    };
    let spans = trace::find(http, &targets.tempo, id)?.spans.len();
    if spans == 0 {
        return Err(Failure::new(
            format!("the exemplar's trace {id} is not in the trace backend"),
            "the exemplar comes from another Tempo, or the trace has been dropped",
            "let TEMPO_URL name the Tempo that writes to this Prometheus",
        ));
    }
    Ok(((), format!("trace {id} opens, with {spans} spans")))
}
