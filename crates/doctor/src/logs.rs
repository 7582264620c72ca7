//! The log lines of the batch, in Loki.

use std::time::Duration;

use serde_json::Value;
use tempo_client::Trace;

use crate::batch::{Sent, TIMES};
use crate::check::Checked;
use crate::http::{HttpClient, list, text};
use crate::report::Failure;
use crate::targets::Target;
use crate::trace;

/// Clocks of two machines, and the clock of a line and of its batch, may differ by so much.
const MARGIN: Duration = Duration::from_secs(300);

/// What each line of the batch must be: its service, its message, which roll, and the title of its span.
type Expected = (&'static str, &'static str, Option<String>, String);

/// Whether Loki has the lines of the batch, with the ids of the spans in which they were written.
pub(crate) fn arrived(http: &HttpClient, loki: &Target, sent: &Sent, trace: Option<&Trace>) -> Checked<()> {
    let (streams, expected) = (streams(http, loki, sent)?, expected());
    let (mut missing, mut strangers) = (Vec::new(), Vec::new());
    for (service, message, roll, title) in &expected {
        let is_it = |stream: &&Value| {
            let labels = &stream["stream"];
            labels["service_name"] == *service
                && roll.as_ref().is_none_or(|roll| labels["roll_index"] == **roll)
                && list(&stream["values"]).any(|line| line[1] == *message)
        };
        let Some(stream) = list(&streams).find(is_it) else {
            missing.push(format!("'{message}' ({service})"));
            continue;
        };
        let span_id = text(&stream["stream"]["span_id"]);
        if trace.and_then(|trace| trace.span(title)).is_some_and(|span| span.id != span_id) {
            strangers.push(format!("'{message}' ({service}) has span_id {span_id}, not that of {title}"));
        }
    }
    if !missing.is_empty() {
        missing.dedup();
        return Err(Failure::new(
            format!("of {} lines of the trace these have not arrived: {}", expected.len(), missing.join(", ")),
            "OTEL_LOGS_EXPORTER is not otlp in that service, or the collector does not hand log records on to Loki",
            "set it; look at telemetry_log_records_dropped_total, and at the log lines of collector and Loki",
        ));
    }
    if !strangers.is_empty() {
        return Err(Failure::new(
            strangers.join("; "),
            "lines and spans do not take their ids from the same context",
            "look at what changes ids on the way: the collector's processors, or a changed telemetry crate",
        ));
    }
    let ids = if trace.is_some() { "trace and span ids" } else { "trace id; span ids not compared, without the trace" };
    Ok(((), format!("{} lines of three services, with the same {ids}", expected.len())))
}

fn expected() -> Vec<Expected> {
    let mut expected = vec![
        ("frontend", "Frontend roll request received", None, trace::FRONTEND.to_owned()),
        ("frontend", "Backend response received", None, trace::FRONTEND.to_owned()),
        ("dice-roller", "Async roll batch started", None, trace::DICE_ROLLER.to_owned()),
        ("dice-roller", "Async roll batch completed", None, trace::DICE_ROLLER.to_owned()),
        ("die-service", "Die specification requested", None, trace::DIE_SERVICE.to_owned()),
    ];
    let roll = |index: usize| ("dice-roller", "Async roll completed", Some(index.to_string()), trace::roll(index));
    expected.extend((0..TIMES).map(roll));
    expected
}

/// The streams of all lines with the trace's id. Loki adds a line's fields to the labels of its stream.
fn streams(http: &HttpClient, loki: &Target, sent: &Sent) -> Result<Value, Failure> {
    let query = format!(r#"{{service_name=~"frontend|dice-roller|die-service"}} | trace_id="{}""#, sent.trace_id);
    let (start, end) = (sent.at.saturating_sub(MARGIN).as_nanos(), (sent.at + MARGIN).as_nanos());
    let (start, end) = (start.to_string(), end.to_string());
    let query = [("query", &*query), ("start", &start), ("end", &end), ("limit", "1000"), ("direction", "forward")];
    Ok(http.json(loki, "loki/api/v1/query_range", &query)?["data"]["result"].take())
}
