//! The batch that is sent, and its response.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::check::Checked;
use crate::http::{HttpClient, Response, list};
use crate::metrics::Counters;
use crate::report::Failure;
use crate::targets::{Target, Targets, Trouble};

/// Rolls of the batch.
pub(crate) const TIMES: usize = 5;

/// The die of the batch: the one that never fails.
pub(crate) const DIE: &str = "fair";

/// Longer than frontend's own limit for a batch, so that its own error arrives.
const LIMIT: Duration = Duration::from_secs(35);

/// A batch that succeeded.
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
    /// The `trace_id` in the response's body.
    body_trace_id: Option<String>,
}

/// Sends a batch, with a trace context of its own.
pub(crate) fn send(http: &HttpClient, targets: &Targets) -> Checked<Sent> {
    let before = Counters::read(http, targets)?;
    if !before.frontend_knows(DIE) {
        return Err(Failure::new(
            format!("frontend does not know the die '{DIE}'"),
            "it has not got the list of dice, or die-service has no such die",
            "compare frontend's DIE_SERVICE_URL with where die-service is; look at its file DIE_SPECIFICATIONS",
        ));
    }
    let (trace_id, parent_id) = (format!("{:032x}", rand::random::<u128>()), format!("{:016x}", rand::random::<u64>()));
    let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let started = Instant::now();
    let traceparent = format!("00-{trace_id}-{parent_id}-01");
    let response = http.get_with(&targets.frontend, &format!("roll-async?die={DIE}&times={TIMES}"), |request| {
        request.header("traceparent", traceparent).timeout(LIMIT)
    })?;
    if response.status != 200 {
        return Err(refused(&targets.frontend, &response));
    }
    let body: Value = response.json()?;
    let rolls: Vec<i64> = list(&body["rolls"]).filter_map(Value::as_i64).collect();
    let total = rolls.iter().sum();
    if rolls.len() != TIMES || body["count"] != TIMES || body["total"] != total {
        return Err(Failure::new(
            format!("the response to {TIMES} rolls makes no sense: {}", response.beginning()),
            "frontend or dice-roller is another version",
            "build and start all three services from the same sources",
        ));
    }
    let found = format!("{rolls:?} = {total} in {:.2} s, trace {trace_id}", started.elapsed().as_secs_f64());
    let body_trace_id = body["trace_id"].as_str().map(str::to_owned);
    let traceresponse = response.traceresponse;
    Ok((Sent { trace_id, parent_id, before, at, rolls, total, traceresponse, body_trace_id }, found))
}

fn refused(frontend: &Target, response: &Response<'_>) -> Failure {
    let problem: Value = serde_json::from_str(&response.text).unwrap_or_default();
    let detail = problem["detail"].as_str().map_or_else(|| response.beginning(), str::to_owned);
    let found = format!("frontend responds with {} to the batch: {}", response.status, detail.trim_end_matches('.'));
    let (cause, remedy) = match response.status {
        404 => (
            "dice-roller uses another die-service than frontend does",
            "compare DIE_SERVICE_URL of frontend and of dice-roller",
        ),
        422 => ("MAX_ASYNC_ROLLS is smaller than this batch", "raise it in frontend and dice-roller"),
        429 => ("a limit of the services is reached", "raise RATE_LIMIT_PER_SECOND, or wait until there is less to do"),
        500 => ("the die fails sometimes", "give it an error_rate of 0 in the file that DIE_SPECIFICATIONS names"),
        503 => (
            "one service has another address for its upstream than the doctor, or its circuit breaker is open",
            "compare DICE_ROLLER_URL of frontend and DIE_SERVICE_URL of dice-roller with where those are",
        ),
        504 => ("a service behind is too slow", "look at its processor time, and at ROLL_DELAY_MAX_MS"),
        _ => return frontend.failure(Trouble::Wrong, found),
    };
    Failure::new(found, cause, remedy)
}

impl Sent {
    /// Whether frontend continued the trace that it was handed.
    pub(crate) fn kept_its_trace(&self) -> Checked<()> {
        let Some(header) = &self.traceresponse else {
            return Err(Failure::new(
                "the response has no header traceresponse",
                "frontend makes no spans (OTEL_SDK_DISABLED), or a proxy before it drops the header",
                "unset OTEL_SDK_DISABLED; name frontend itself with FRONTEND_URL",
            ));
        };
        let fields: Vec<&str> = header.split('-').collect();
        if fields.get(1) != Some(&&*self.trace_id) || self.body_trace_id.as_deref() != Some(&*self.trace_id) {
            let in_body = self.body_trace_id.as_deref().unwrap_or("none");
            return Err(Failure::new(
                format!("sent trace {}, got back {header} and, in the body, {in_body}", self.trace_id),
                "frontend does not read traceparent (OTEL_PROPAGATORS), or a proxy before it drops it",
                "leave OTEL_PROPAGATORS at its default; name frontend itself with FRONTEND_URL",
            ));
        }
        let flags = fields.last().and_then(|flags| u8::from_str_radix(flags, 16).ok());
        if flags.is_none_or(|flags| flags & 1 == 0) {
            return Err(Failure::new(
                format!("the trace is not sampled: {header}"),
                "OTEL_TRACES_SAMPLER of frontend leaves traces out",
                "set it to parentbased_always_on, the default",
            ));
        }
        Ok(((), "traceresponse and body have the trace that was sent".to_owned()))
    }
}
