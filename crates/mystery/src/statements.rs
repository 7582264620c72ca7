//! What holds in a healthy trace: a statement for each mechanism, which it breaks. A statement about spans that a trace
//! does not have holds.
//!
//! None has a bound in absolute time: durations are compared with those of other spans of the same trace.

use serde_json::Value;
use trace_check::{Details, Kind, Selection, Trace};

const ROLLER: &str = "dice-roller";
const ROLLS: &str = "async_roll_*";

/// The selection, unless it is empty.
fn some<'t>(selection: Selection<'t>) -> Option<Selection<'t>> {
    let any = selection.spans().next().is_some();
    any.then_some(selection)
}

/// The SERVER spans of batches in dice-roller.
fn batches(trace: &Trace) -> Selection<'_> {
    trace.span("GET /roll-async").service(ROLLER).kind(Kind::Server)
}

/// The calls of dice-roller to die-service.
fn calls(trace: &Trace) -> Selection<'_> {
    trace.span("GET").service(ROLLER).kind(Kind::Client)
}

/// What every healthy trace has. Not the statements that compare durations alone: one long span is no fault.
pub(crate) fn structure(trace: &Trace) {
    nothing_is_missing(trace);
    calls_continue(trace);
    calls_begin_first(trace);
    rolls_have_parents(trace);
    rolls_end_in_time(trace);
    rolls_run_together(trace);
    one_call_per_batch(trace);
    no_repeated_calls(trace);
    failures_are_reported(trace);
}

/// The rolls of a batch run together, unless the request says otherwise.
pub(crate) fn rolls_run_together(trace: &Trace) {
    for_each_batch(trace, |batch, size, details| {
        let asked_for = details.attributes.get("async.concurrency") == Some(&1.into());
        if let Some(rolls) = some(batch.children(ROLLS)).filter(|_| size > 1 && !asked_for) {
            rolls.peak_concurrency(2..);
        }
    });
}

/// What is rolled is a face of the die.
pub(crate) fn failures_are_reported(trace: &Trace) {
    let all = || (0..trace.tree().spans.len()).map(|i| &trace.details(i).attributes);
    let faces = all().find_map(|attributes| attributes.get("die.faces").and_then(Value::as_array));
    let results = all().filter_map(|attributes| attributes.get("die.result"));
    let impossible = results.filter(|result| faces.is_some_and(|faces| !faces.contains(result)));
    if let Some(result) = impossible.min_by_key(|result| result.as_i64()) {
        trace.span("*").service(ROLLER).with("die.result", result.clone()).absent();
    }
}

/// A call to die-service takes little longer than what die-service does: little is a multiple, because the way there
/// and back takes longer than looking up a die.
pub(crate) fn calls_do_not_wait(trace: &Trace) {
    if let (Some(served), Some(calls)) = (some(trace.span("GET /dice").service("die-service")), some(calls(trace))) {
        served.takes(0.1.., &calls.longest());
    }
}

/// One call brings the specification of a batch's die.
pub(crate) fn one_call_per_batch(trace: &Trace) {
    if some(batches(trace)).is_some() {
        batches(trace).descendants("GET").service(ROLLER).kind(Kind::Client).count(..=1);
    }
}

/// What die-service does is a part of what the call takes, most of which is the way there and back.
pub(crate) fn die_service_is_fast(trace: &Trace) {
    if let (Some(served), Some(calls)) = (some(trace.span("GET /dice").service("die-service")), some(calls(trace))) {
        served.takes(..0.8, &calls.longest());
    }
}

/// What a service calls is below the call.
pub(crate) fn calls_continue(trace: &Trace) {
    if let Some(calls) = some(trace.span("GET").service("frontend").kind(Kind::Client)) {
        calls.each_has("GET /*", 1);
    }
    if let Some(served) = some(trace.span("GET /roll*").service(ROLLER).kind(Kind::Server)) {
        served.parent("GET");
    }
}

/// A roll is below the batch that it belongs to.
pub(crate) fn rolls_have_parents(trace: &Trace) {
    if let Some(rolls) = some(trace.span(ROLLS)) {
        rolls.parent("GET /roll-async");
    }
    batches_have_rolls(trace);
}

/// A batch ends after its rolls.
pub(crate) fn rolls_end_in_time(trace: &Trace) {
    if let Some(rolls) = some(trace.span(ROLLS)) {
        rolls.ends_inside_parent();
    }
}

/// A request is one call.
pub(crate) fn no_repeated_calls(trace: &Trace) {
    if let Some(served) = some(trace.span("GET /roll*").service("frontend").kind(Kind::Server)) {
        served.each_has("GET", ..=1);
    }
}

/// A service that is called begins after the call.
pub(crate) fn calls_begin_first(trace: &Trace) {
    if let Some(served) = some(trace.span("GET *").kind(Kind::Server)) {
        served.begins_inside_parent();
    }
}

/// All parents are there, and all rolls.
pub(crate) fn nothing_is_missing(trace: &Trace) {
    trace.whole().no_open_spans();
    batches_have_rolls(trace);
}

/// As many as the batch says.
fn batches_have_rolls(trace: &Trace) {
    for_each_batch(trace, |batch, size, _| drop(batch.each_has(ROLLS, size)));
}

/// Each batch whose die is known, with its size. There is one in a trace.
fn for_each_batch(trace: &Trace, state: impl Fn(Selection<'_>, usize, &Details)) {
    for (i, span) in trace.tree().spans.iter().enumerate() {
        let details = trace.details(i);
        let size = details.attributes.get("async.batch_size").and_then(Value::as_u64);
        let is_batch = span.service == ROLLER && span.kind == Kind::Server;
        if let (Some(size), true) = (size, is_batch && details.attributes.contains_key("die.faces")) {
            state(batches(trace).with("async.batch_size", size), size as usize, details);
        }
    }
}
