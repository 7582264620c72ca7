//! What the services count, before and after.

use std::collections::BTreeMap;

use crate::batch::{DIE, TIMES};
use crate::check::Checked;
use crate::http::HttpClient;
use crate::report::Failure;
use crate::targets::Targets;

/// Every sample of `/metrics`, by name and labels as they stand there; of frontend, dice-roller and die-service.
#[derive(Debug)]
pub(crate) struct Counters([BTreeMap<String, f64>; 3]);

/// Spans of the batch, of each service.
const SPANS: [usize; 3] = [2, 2 + TIMES, 1];

impl Counters {
    /// # Errors
    /// When a service does not respond.
    pub(crate) fn read(http: &HttpClient, targets: &Targets) -> Result<Self, Failure> {
        let [frontend, dice_roller, die_service] = targets.services().map(|service| {
            let response = http.get(service, "metrics", &[])?;
            if response.status != 200 {
                return Err(service.failure(format!("{} answers {} to /metrics", service.name, response.status)));
            }
            Ok(response.text.lines().filter_map(sample).collect())
        });
        Ok(Self([frontend?, dice_roller?, die_service?]))
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
        let of = |(index, moves): (usize, Vec<(String, usize)>)| {
            moves.into_iter().map(move |(sample, by)| (index, sample, by))
        };
        let all = batch_moves().into_iter().enumerate().flat_map(of);
        all.map(|(index, sample, by)| (index, sample.clone(), self.get(index, &sample) + by as f64)).collect()
    }
}

/// `name{labels} value`; none for a comment.
fn sample(line: &str) -> Option<(String, f64)> {
    let (name, value) = line.rsplit_once(' ').filter(|_| !line.starts_with('#'))?;
    Some((name.to_owned(), value.parse().ok()?))
}

/// How much the batch moves each sample; of frontend, dice-roller and die-service.
fn batch_moves() -> [Vec<(String, usize)>; 3] {
    let http = |handler: &str| {
        [
            (format!(r#"http_requests_total{{handler="{handler}",method="GET",status="2xx"}}"#), 1),
            (format!(r#"http_request_duration_seconds_count{{handler="{handler}",method="GET"}}"#), 1),
        ]
    };
    let frontend = [
        (format!(r#"frontend_requests_total{{die_type="{DIE}",status="received"}}"#), 1),
        (format!(r#"frontend_requests_total{{die_type="{DIE}",status="success"}}"#), 1),
        (format!(r#"backend_requests_total{{die_type="{DIE}",status_code="200"}}"#), 1),
        (format!(r#"backend_request_duration_seconds_count{{die_type="{DIE}"}}"#), 1),
        (format!(r#"async_roll_requests_total{{batch_size="{TIMES}"}}"#), 1),
    ];
    let dice_roller = [
        (r#"roll_duration_seconds_count{mode="async"}"#.to_owned(), TIMES),
        (format!(r#"die_service_requests_total{{identifier="{DIE}",status="success"}}"#), 1),
        ("die_service_request_duration_seconds_count".to_owned(), 1),
        (format!(r#"async_rolls_total{{die_type="{DIE}",result="success"}}"#), TIMES),
        ("async_roll_batch_size_count".to_owned(), 1),
        ("async_roll_batch_size_sum".to_owned(), TIMES),
        ("async_roll_duration_seconds_count".to_owned(), 1),
    ];
    let die_service = [(format!(r#"die_specifications_requested_total{{identifier="{DIE}"}}"#), 1)];
    [
        http("/roll-async").into_iter().chain(frontend).collect(),
        http("/roll-async").into_iter().chain(dice_roller).collect(),
        http("/dice").into_iter().chain(die_service).collect(),
    ]
}

/// Whether time or chance, not the number of requests, decides how much a sample moves.
fn varies(sample: &str) -> bool {
    sample.contains("_bucket")
        || sample.contains("_seconds_sum")
        || sample.starts_with("process_")
        || sample.starts_with("telemetry_")
}

/// Whether every counter of the batch moved by at least what was sent; with `exclusive` by exactly that, and no other.
pub(crate) fn moved(http: &HttpClient, targets: &Targets, before: &Counters, exclusive: bool) -> Checked<()> {
    let after = Counters::read(http, targets)?;
    let moves = batch_moves();
    for (index, service) in targets.services().into_iter().enumerate() {
        let by = |sample: &str| after.get(index, sample) - before.get(index, sample);
        for (sample, expected) in &moves[index] {
            if by(sample) < *expected as f64 {
                return Err(Failure {
                    found: format!("{}: {sample} moved by {}, not by {expected}", service.name, by(sample)),
                    cause: format!("the batch did not go through the {} at {}", service.name, service.origin()),
                    remedy:
                        "let FRONTEND_URL, DICE_ROLLER_URL and DIE_SERVICE_URL name one system, and one process each"
                            .to_owned(),
                });
            }
        }
        let foreseen = |sample: &str| moves[index].iter().find(|(name, _)| name == sample).map_or(0, |(_, by)| *by);
        let more = |sample: &&String| !varies(sample) && by(sample) != foreseen(sample) as f64;
        if let Some(sample) = after.0[index].keys().find(more).filter(|_| exclusive) {
            return Err(Failure {
                found: format!("{}: {sample} moved by {}, not by {}", service.name, by(sample), foreseen(sample)),
                cause: "somebody else uses the system".to_owned(),
                remedy: "stop them, or leave --exclusive out".to_owned(),
            });
        }
    }
    let (count, how) = (moves.iter().map(Vec::len).sum::<usize>(), if exclusive { "exactly" } else { "at least" });
    Ok(((), format!("{count} counters of three services, by {how} what was sent")))
}

/// Whether every service got its spans of the batch off its hands.
pub(crate) fn exported(http: &HttpClient, targets: &Targets, before: &Counters) -> Checked<()> {
    let after = Counters::read(http, targets)?;
    for (index, service) in targets.services().into_iter().enumerate() {
        let by = |sample: &str| after.get(index, sample) - before.get(index, sample);
        for (reason, cause, remedy) in [
            (
                "export_failed",
                "nothing takes spans at its OTEL_EXPORTER_OTLP_ENDPOINT",
                "let that name the collector or the trace viewer (port 4318), and start it; its log lines say what the \
                 exporter met",
            ),
            ("queue_full", "spans come faster than they leave", "raise OTEL_BSP_MAX_QUEUE_SIZE"),
        ] {
            let lost = by(&format!(r#"telemetry_spans_dropped_total{{reason="{reason}"}}"#));
            if lost > 0.0 {
                return Err(Failure {
                    found: format!("{} lost {lost} spans ({reason})", service.name),
                    cause: cause.to_owned(),
                    remedy: format!("{}: {remedy}", service.name),
                });
            }
        }
        let left = by("telemetry_spans_exported_total");
        if left < SPANS[index] as f64 {
            return Err(Failure {
                found: format!("{left} of {} spans have left {}", SPANS[index], service.name),
                cause: "OTEL_TRACES_EXPORTER is not otlp there, or OTEL_BSP_SCHEDULE_DELAY is longer than --wait"
                    .to_owned(),
                remedy: format!("look at these two settings of {}", service.name),
            });
        }
    }
    Ok(((), format!("{} spans of three services, none lost", SPANS.iter().sum::<usize>())))
}
