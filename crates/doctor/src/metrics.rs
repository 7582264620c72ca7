//! What the services count, before and after.

use std::collections::BTreeMap;

use crate::batch::{DIE, TIMES};
use crate::check::Checked;
use crate::http::HttpClient;
use crate::report::Failure;
use crate::targets::Targets;

/// Every sample of `/metrics`, by name and labels as they stand there; of frontend, dice-roller and die-service.
#[derive(Debug, Default)]
pub(crate) struct Counters([BTreeMap<String, f64>; 3]);

/// Spans of the batch, of each service.
const SPANS: [usize; 3] = [2, 2 + TIMES, 1];

impl Counters {
    /// # Errors
    /// When a service does not respond.
    pub(crate) fn read(http: &HttpClient, targets: &Targets) -> Result<Self, Failure> {
        let mut counters = Self::default();
        for (service, samples) in targets.services().into_iter().zip(&mut counters.0) {
            *samples = http.get(service, "metrics", &[])?.success()?.lines().filter_map(sample).collect();
        }
        Ok(counters)
    }

    /// What `sample` of the service at `index` is; one that is not there has not moved yet.
    fn get(&self, index: usize, sample: &str) -> f64 {
        self.0[index].get(sample).copied().unwrap_or(0.0)
    }

    /// Whether frontend has got the list of dice, with `die` in it: it counts any other as unknown.
    pub(crate) fn frontend_knows(&self, die: &str) -> bool {
        self.0[0].contains_key(&format!(r#"frontend_requests_total{{die_type="{die}",status="received"}}"#))
    }

    /// What each sample of the batch must have reached at least, as PromQL that finds it, with its service's index.
    pub(crate) fn after_batch(&self) -> Vec<(usize, String, f64)> {
        let mut moves = batch_moves();
        moves.iter_mut().for_each(|(index, sample, value)| *value += self.get(*index, sample));
        moves
    }
}

/// `name{labels} value`; none for a comment.
fn sample(line: &str) -> Option<(String, f64)> {
    let (name, value) = line.rsplit_once(' ').filter(|_| !line.starts_with('#'))?;
    Some((name.to_owned(), value.parse().ok()?))
}

/// The index of the service, the sample, and how much the batch moves it.
fn batch_moves() -> Vec<(usize, String, f64)> {
    let times = TIMES as f64;
    let mut moves = Vec::new();
    for (index, handler) in [(0, "/roll-async"), (1, "/roll-async"), (2, "/dice")] {
        let labels = format!(r#"handler="{handler}",method="GET""#);
        moves.push((index, format!(r#"http_requests_total{{{labels},status="2xx"}}"#), 1.0));
        moves.push((index, format!("http_request_duration_seconds_count{{{labels}}}"), 1.0));
    }
    moves.extend([
        (0, format!(r#"frontend_requests_total{{die_type="{DIE}",status="received"}}"#), 1.0),
        (0, format!(r#"frontend_requests_total{{die_type="{DIE}",status="success"}}"#), 1.0),
        (0, format!(r#"backend_requests_total{{die_type="{DIE}",status_code="200"}}"#), 1.0),
        (0, format!(r#"backend_request_duration_seconds_count{{die_type="{DIE}"}}"#), 1.0),
        (0, format!(r#"async_roll_requests_total{{batch_size="{TIMES}"}}"#), 1.0),
        (1, r#"roll_duration_seconds_count{mode="async"}"#.to_owned(), times),
        (1, format!(r#"die_service_requests_total{{identifier="{DIE}",status="success"}}"#), 1.0),
        (1, "die_service_request_duration_seconds_count".to_owned(), 1.0),
        (1, format!(r#"async_rolls_total{{die_type="{DIE}",result="success"}}"#), times),
        (1, "async_roll_batch_size_count".to_owned(), 1.0),
        (1, "async_roll_batch_size_sum".to_owned(), times),
        (1, "async_roll_duration_seconds_count".to_owned(), 1.0),
        (2, format!(r#"die_specifications_requested_total{{identifier="{DIE}"}}"#), 1.0),
    ]);
    moves
}

/// Whether time or chance, not the number of requests, decides how much a sample moves.
fn varies(sample: &str) -> bool {
    ["_bucket", "_seconds_sum", "process_", "telemetry_"].iter().any(|part| sample.contains(part))
}

/// Whether every counter of the batch moved by at least what was sent; with `exclusive` by exactly that, and no other.
pub(crate) fn moved(http: &HttpClient, targets: &Targets, before: &Counters, exclusive: bool) -> Checked<()> {
    let (after, moves) = (Counters::read(http, targets)?, batch_moves());
    for (index, service) in targets.services().into_iter().enumerate() {
        let by = |sample: &str| after.get(index, sample) - before.get(index, sample);
        let found = |sample, expected| format!("{}: {sample} moved by {}, not by {expected}", service.name, by(sample));
        let own = || moves.iter().filter(|(of, ..)| *of == index);
        if let Some((_, sample, expected)) = own().find(|(_, sample, expected)| by(sample) < *expected) {
            return Err(Failure::new(
                found(sample, *expected),
                format!("the batch did not go through the {} at {}", service.name, service.origin()),
                "let FRONTEND_URL, DICE_ROLLER_URL and DIE_SERVICE_URL name one system, and one process each",
            ));
        }
        let expected = |sample: &String| own().find(|(_, name, _)| name == sample).map_or(0.0, |(.., by)| *by);
        let more = |sample: &&String| !varies(sample) && by(sample) != expected(sample);
        if let Some(sample) = after.0[index].keys().find(more).filter(|_| exclusive) {
            let cause = "somebody else uses the system";
            return Err(Failure::new(found(sample, expected(sample)), cause, "stop them, or leave --exclusive out"));
        }
    }
    let how = if exclusive { "exactly" } else { "at least" };
    Ok(((), format!("{} counters of three services, by {how} what was sent", moves.len())))
}

/// Whether every service has exported its spans of the batch, and lost none.
pub(crate) fn exported(http: &HttpClient, targets: &Targets, before: &Counters) -> Checked<()> {
    const NOWHERE: &str = "nothing takes spans at its OTEL_EXPORTER_OTLP_ENDPOINT";
    let after = Counters::read(http, targets)?;
    for (index, service) in targets.services().into_iter().enumerate() {
        let by = |sample: &str| after.get(index, sample) - before.get(index, sample);
        for (reason, cause, remedy) in [
            (
                "export_failed",
                NOWHERE,
                "start the receiver there (port 4318); the exporter's log lines say what it met",
            ),
            ("queue_full", "spans come faster than they leave", "raise OTEL_BSP_MAX_QUEUE_SIZE"),
        ] {
            let lost = by(&format!(r#"telemetry_spans_dropped_total{{reason="{reason}"}}"#));
            if lost > 0.0 {
                let found = format!("{} lost {lost} spans ({reason})", service.name);
                return Err(Failure::new(found, cause, format!("{}: {remedy}", service.name)));
            }
        }
        let left = by("telemetry_spans_exported_total");
        if left < SPANS[index] as f64 {
            return Err(Failure::new(
                format!("{left} of {} spans have left {}", SPANS[index], service.name),
                format!(
                    "{NOWHERE} (an export is tried again for OTEL_EXPORTER_OTLP_TIMEOUT), OTEL_TRACES_EXPORTER is not \
                     otlp, or OTEL_BSP_SCHEDULE_DELAY is longer than --wait"
                ),
                format!("start the receiver, or look at these settings of {}", service.name),
            ));
        }
    }
    Ok(((), format!("{} spans of three services, none lost", SPANS.iter().sum::<usize>())))
}
