//! The trace of the batch, in Tempo or the viewer.

use serde_json::{Value, json};
use tempo_client::Trace;

use crate::batch::{DIE, Sent, TIMES};
use crate::check::Checked;
use crate::http::HttpClient;
use crate::report::Failure;
use crate::targets::Target;

/// Titles of the spans of a batch that log lines and links belong to.
pub(crate) const FRONTEND: &str = "GET /roll-async SERVER frontend";
pub(crate) const DICE_ROLLER: &str = "GET /roll-async SERVER dice-roller";
pub(crate) const DIE_SERVICE: &str = "GET /dice SERVER die-service";

/// The title of the span of one roll.
pub(crate) fn roll(index: usize) -> String {
    format!("async_roll_{index} INTERNAL dice-roller")
}

/// The spans of trace `id` that are there.
///
/// # Errors
/// When `backend` does not respond as Tempo does.
pub(crate) fn find(http: &HttpClient, backend: &Target, id: &str) -> Result<Trace, Failure> {
    let response = http.get(backend, &tempo_client::trace_path(id), &[])?;
    if response.status == 404 { Ok(Trace::default()) } else { response.json() }
}

/// The whole trace of the batch, as the contract has it.
pub(crate) fn complete(http: &HttpClient, backend: &Target, sent: &Sent) -> Checked<Trace> {
    let trace = find(http, backend, &sent.trace_id)?;
    let (expected, found) = (contract(), trace.tree());
    let found: Vec<_> = found.lines().map(str::to_owned).collect();
    if found != expected {
        let mut text = format!("{} of {} spans are there", found.len(), expected.len());
        for (what, these, those) in
            [("missing", &expected, &found), ("not expected, or in another place", &found, &expected)]
        {
            let titles: Vec<_> = these.iter().filter(|line| !those.contains(line)).map(|line| line.trim()).collect();
            if !titles.is_empty() {
                text += &format!("; {what}: {}", titles.join(", "));
            }
        }
        return Err(Failure::new(
            text,
            format!("spans were lost behind the services, or go to another backend than {}", backend.origin()),
            "look at the log lines of collector and backend; compare the services' OTEL_EXPORTER_OTLP_ENDPOINT with \
             TEMPO_URL",
        ));
    }
    check_values(&trace, sent).map_err(|found| {
        let cause = "the services are another version than this doctor, or something on the way changes spans";
        Failure::new(found, cause, "build all from the same sources; look at the collector's processors")
    })?;
    Ok((trace, format!("{} spans, the tree and the numbers of the response", expected.len())))
}

/// The tree of a batch, a line for each span, children indented and sorted by name.
fn contract() -> Vec<String> {
    let chain = [FRONTEND, "GET CLIENT frontend", DICE_ROLLER, "GET CLIENT dice-roller", DIE_SERVICE];
    let lines = chain.iter().enumerate().map(|(depth, title)| format!("{}{title}", "  ".repeat(depth)));
    lines.chain((0..TIMES).map(|index| format!("      {}", roll(index)))).collect()
}

/// Whether the spans have the values of the response.
fn check_values(trace: &Trace, sent: &Sent) -> Result<(), String> {
    let span = |title: &str| trace.span(title).ok_or_else(|| format!("there is no {title}"));
    if span(FRONTEND)?.parent_id != sent.parent_id {
        return Err(format!("the parent of {FRONTEND} is not the span that was sent, {}", sent.parent_id));
    }
    let mut values = vec![
        (DICE_ROLLER.to_owned(), "async.batch_size", json!(TIMES)),
        (DICE_ROLLER.to_owned(), "async.total_result", json!(sent.total)),
        (DICE_ROLLER.to_owned(), "die.type", json!(DIE)),
        (DIE_SERVICE.to_owned(), "die.identifier", json!(DIE)),
        (DIE_SERVICE.to_owned(), "die.found", json!(true)),
    ];
    for (index, face) in sent.rolls.iter().enumerate() {
        let own = [("async.roll_index", json!(index)), ("die.type", json!(DIE)), ("die.result", json!(face))];
        values.extend(
            own.into_iter().chain([("die.error", json!(false))]).map(|(name, value)| (roll(index), name, value)),
        );
    }
    for (title, name, expected) in values {
        let found = span(&title)?.attributes.get(name).unwrap_or(&Value::Null);
        if *found != expected {
            return Err(format!("{name} of {title} is {found}, not {expected}"));
        }
    }
    let faces = span(DICE_ROLLER)?.attributes.get("die.faces").and_then(Value::as_array);
    match sent.rolls.iter().find(|face| faces.is_none_or(|faces| !faces.contains(&json!(face)))) {
        Some(face) => Err(format!("a roll was {face}, which die.faces of {DICE_ROLLER} does not have")),
        None => Ok(()),
    }
}
