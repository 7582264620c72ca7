//! The log lines of the batch, in Loki.

use std::time::Duration;

use tempo_client::Trace;

use crate::batch::{Sent, TIMES};
use crate::check::Checked;
use crate::http::HttpClient;
use crate::report::Failure;
use crate::targets::Target;
use crate::trace;

/// Clocks of two machines, and the clock of a line and of its batch, may differ by so much.
const MARGIN: Duration = Duration::from_secs(300);

/// What each line of the batch must be: its service, its message, which roll, and the title of its span.
type Expected = (&'static str, &'static str, Option<usize>, String);

/// Whether Loki has the lines of the batch, with the ids of the spans in which they were written.
pub(crate) fn arrived(http: &HttpClient, loki: &Target, sent: &Sent, trace: Option<&Trace>) -> Checked<()> {
    let lines = lines(http, loki, sent)?;
    let expected = expected();
    let (mut missing, mut strangers) = (Vec::new(), Vec::new());
    for (service, message, roll, title) in &expected {
        let roll = roll.map(|index| index.to_string());
        let is_it = |line: &&Line| {
            line.service == *service && line.message == *message && (roll.is_none() || line.roll_index == roll)
        };
        match lines.iter().find(is_it) {
            None => missing.push(format!("'{message}' ({service})")),
            Some(line) => {
                let span = trace.and_then(|trace| trace.span(title));
                if span.is_some_and(|span| span.id != line.span_id) {
                    strangers
                        .push(format!("'{message}' ({service}) has span_id {}, not that of {title}", line.span_id));
                }
            }
        }
    }
    if !missing.is_empty() {
        missing.dedup();
        return Err(Failure {
            found: format!("of {} lines of the trace these have not arrived: {}", expected.len(), missing.join(", ")),
            cause:
                "OTEL_LOGS_EXPORTER is not otlp in that service, or the collector does not hand log records on to Loki"
                    .to_owned(),
            remedy:
                "set OTEL_LOGS_EXPORTER=otlp; look at telemetry_log_records_dropped_total, and at the log lines of \
                     collector and Loki"
                    .to_owned(),
        });
    }
    if !strangers.is_empty() {
        return Err(Failure {
            found: strangers.join("; "),
            cause: "lines and spans do not take their ids from the same context".to_owned(),
            remedy: "look at what changes ids on the way: the collector's processors, or a changed telemetry crate"
                .to_owned(),
        });
    }
    let ids =
        if trace.is_some() { "trace and span ids" } else { "trace id; span ids not compared, for want of the trace" };
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
    expected.extend((0..TIMES).map(|index| ("dice-roller", "Async roll completed", Some(index), trace::roll(index))));
    expected
}

/// A line, and the fields that count here.
struct Line {
    service: String,
    message: String,
    span_id: String,
    roll_index: Option<String>,
}

/// All lines with the trace's id. Loki adds a line's fields to the labels of its stream.
fn lines(http: &HttpClient, loki: &Target, sent: &Sent) -> Result<Vec<Line>, Failure> {
    let query = format!(r#"{{service_name=~"frontend|dice-roller|die-service"}} | trace_id="{}""#, sent.trace_id);
    let (start, end) = (sent.at.saturating_sub(MARGIN).as_nanos(), (sent.at + MARGIN).as_nanos());
    let query = [
        ("query", &*query),
        ("start", &start.to_string()),
        ("end", &end.to_string()),
        ("limit", "1000"),
        ("direction", "forward"),
    ];
    let response = http.json(loki, "loki/api/v1/query_range", &query)?;
    let mut lines = Vec::new();
    for stream in response["data"]["result"].as_array().into_iter().flatten() {
        let label = |name: &str| stream["stream"][name].as_str().map(str::to_owned);
        for value in stream["values"].as_array().into_iter().flatten() {
            lines.push(Line {
                service: label("service_name").unwrap_or_default(),
                message: value[1].as_str().unwrap_or_default().to_owned(),
                span_id: label("span_id").unwrap_or_default(),
                roll_index: label("roll_index"),
            });
        }
    }
    Ok(lines)
}
