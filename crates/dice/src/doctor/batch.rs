//! The batch that is sent, and its answer.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::exam::Look;
use super::metrics::Counters;
use super::places::{Place, Places};
use super::probe::{Answer, Probe};
use super::report::Fault;

/// Rolls of the batch.
pub(crate) const TIMES: usize = 5;

/// The die of the batch: the one that never fails.
pub(crate) const DIE: &str = "fair";

/// Longer than frontend's own limit for a batch, so that its words about that arrive.
const LIMIT: Duration = Duration::from_secs(35);

/// A batch that was answered.
#[derive(Debug)]
pub(crate) struct Sent {
    /// 32 hex digits.
    pub(crate) trace_id: String,
    /// 16 hex digits: what frontend's span must have as its parent.
    pub(crate) parent_id: String,
    /// What the services had counted before.
    pub(crate) before: Counters,
    /// Since 1970.
    pub(crate) at: Duration,
    /// The faces, in index order.
    pub(crate) rolls: Vec<i64>,
    /// Their sum.
    pub(crate) total: i64,
    traceresponse: Option<String>,
    /// The `trace_id` in the answer's body.
    told_trace_id: Option<String>,
}

/// Sends a batch, with a trace context of its own.
pub(crate) fn send(probe: &Probe, places: &Places) -> Look<Sent> {
    let before = Counters::read(probe, places)?;
    if !before.frontend_knows(DIE) {
        return Err(Fault {
            found: format!("frontend does not know the die '{DIE}'"),
            cause: "it has not got the list of dice, or die-service has no such die".to_owned(),
            remedy: "compare DIE_SERVICE_URL of frontend with where die-service is; look at the file that \
                     DIE_SPECIFICATIONS of die-service names"
                .to_owned(),
        });
    }
    let (trace_id, parent_id) = (format!("{:032x}", rand::random::<u128>()), format!("{:016x}", rand::random::<u64>()));
    let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let started = Instant::now();
    let path = format!("roll-async?die={DIE}&times={TIMES}");
    let traceparent = format!("00-{trace_id}-{parent_id}-01");
    let request = probe.request(&places.frontend, &path).header("traceparent", traceparent).timeout(LIMIT);
    let answer = probe.ask(&places.frontend, request)?;
    if answer.status != 200 {
        return Err(refused(&places.frontend, &answer));
    }
    let body = answer.json(&places.frontend, &path)?;
    let rolls: Vec<i64> = body["rolls"].as_array().into_iter().flatten().filter_map(Value::as_i64).collect();
    let total = rolls.iter().sum();
    if rolls.len() != TIMES || body["count"] != TIMES || body["total"] != total {
        return Err(Fault {
            found: format!("the answer to {TIMES} rolls makes no sense: {}", answer.beginning()),
            cause: "what answers is another version of frontend or dice-roller".to_owned(),
            remedy: "build and start all three services from the same state of the sources".to_owned(),
        });
    }
    let words = format!("{rolls:?} = {total} in {:.2} s, trace {trace_id}", started.elapsed().as_secs_f64());
    let told_trace_id = body["trace_id"].as_str().map(str::to_owned);
    let traceresponse = answer.traceresponse;
    Ok((Sent { trace_id, parent_id, before, at, rolls, total, traceresponse, told_trace_id }, words))
}

fn refused(frontend: &Place, answer: &Answer) -> Fault {
    let problem: Value = serde_json::from_str(&answer.text).unwrap_or_default();
    let detail = problem["detail"].as_str().map_or_else(|| answer.beginning(), str::to_owned);
    let (cause, remedy) = match answer.status {
        404 => (
            "dice-roller asks another die-service than frontend does",
            "compare DIE_SERVICE_URL of frontend and of dice-roller",
        ),
        422 => ("MAX_ASYNC_ROLLS is smaller than this batch", "raise it in frontend and dice-roller"),
        429 => ("a limit of the services is reached", "raise RATE_LIMIT_PER_SECOND, or wait until there is less to do"),
        500 => ("the die fails sometimes", "give it an error_rate of 0 in the file that DIE_SPECIFICATIONS names"),
        503 => (
            "one service has another address for its neighbour than this examination, or its circuit breaker is open",
            "compare DICE_ROLLER_URL of frontend and DIE_SERVICE_URL of dice-roller with where those are",
        ),
        504 => ("a service behind is too slow", "look at its processor time, and at ROLL_DELAY_MAX_MS"),
        _ => return frontend.fault(format!("frontend answers {} to the batch: {detail}", answer.status)),
    };
    Fault {
        found: format!("frontend answers {} to the batch: {}", answer.status, detail.trim_end_matches('.')),
        cause: cause.to_owned(),
        remedy: remedy.to_owned(),
    }
}

impl Sent {
    /// Whether frontend continued the trace that it was handed.
    pub(crate) fn kept_its_trace(&self) -> Look<()> {
        let Some(header) = &self.traceresponse else {
            return Err(Fault {
                found: "the answer has no header traceresponse".to_owned(),
                cause: "frontend makes no spans (OTEL_SDK_DISABLED), or a proxy before it drops the header".to_owned(),
                remedy: "unset OTEL_SDK_DISABLED; ask frontend directly with FRONTEND_URL".to_owned(),
            });
        };
        let fields: Vec<&str> = header.split('-').collect();
        if fields.get(1) != Some(&&*self.trace_id) || self.told_trace_id.as_deref() != Some(&*self.trace_id) {
            let told = self.told_trace_id.as_deref().unwrap_or("none");
            return Err(Fault {
                found: format!("sent trace {}, answered in {header} and, in the body, {told}", self.trace_id),
                cause: "frontend does not read traceparent (OTEL_PROPAGATORS), or a proxy before it drops it"
                    .to_owned(),
                remedy: "leave OTEL_PROPAGATORS at its default; ask frontend directly with FRONTEND_URL".to_owned(),
            });
        }
        let sampled =
            fields.last().and_then(|flags| u8::from_str_radix(flags, 16).ok()).is_some_and(|flags| flags & 1 == 1);
        if !sampled {
            return Err(Fault {
                found: format!("the trace is not sampled: {header}"),
                cause: "OTEL_TRACES_SAMPLER of frontend leaves traces out".to_owned(),
                remedy: "set it to parentbased_always_on, the default".to_owned(),
            });
        }
        Ok(((), "traceresponse and body have the trace that was sent".to_owned()))
    }
}
