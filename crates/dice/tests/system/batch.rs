//! The parameters of a batch, and how its trace shows them: fewer rolls at once, and rolls that fail.

use serde_json::{Value, json};
use tempo_client::{Span, StatusCode, Trace};

use test_support::Response;

use crate::common::System;

use crate::common::backend::One;

/// A batch of ten through frontend, and its trace, from a system that has stopped.
fn batch(more: &str) -> (Response, Trace) {
    let mut system = System::start(&[("ROLL_SEED", "1"), ("ROLL_DELAY_MAX_MS", "300")]);
    let response = system.get(&format!("/roll-async?times=10&{more}"));
    assert_eq!(response.status, 200, "{}", response.text());
    let id = response.trace_id();
    system.stop();
    let trace = system.trace(&id, 15);
    assert_eq!(trace.spans.len(), 15);
    (response, trace)
}

/// The spans of the rolls, by their index.
fn rolls(trace: &Trace) -> Vec<&Span> {
    (0..10).map(|index| trace.one(&format!("async_roll_{index}"), "INTERNAL", "dice-roller")).collect()
}

#[test]
fn concurrency_of_one_runs_rolls_one_after_another() {
    let (_, trace) = batch("die=fair&concurrency=1");
    let trace = trace_check::Trace::from(trace);
    trace.span("async_roll_*").count(10).one_after_another().begin_in_sequence_of("async.roll_index");
    trace.span("GET /roll-async").service("dice-roller").attribute("async.concurrency", 1);
}

#[test]
fn concurrency_of_five_keeps_five_rolls_running() {
    let (_, trace) = batch("die=fair&concurrency=5");
    let rolls = rolls(&trace);
    trace_check::Trace::from(trace.clone()).span("async_roll_*").count(10).peak_concurrency(5);
    let first_end = rolls[..5].iter().map(|roll| roll.end).min().unwrap();
    assert!(rolls[..5].iter().all(|roll| roll.start < first_end), "the first wave begins together");
    assert!(rolls[5..].iter().all(|roll| roll.start >= first_end), "the second begins as the first ends");
}

#[test]
fn best_effort_returns_successful_rolls_and_parent_has_their_order() {
    let (response, trace) = batch("die=extreme&strategy=best-effort");
    let (rolls, body) = (rolls(&trace), response.json());
    trace_check::Trace::from(trace.clone()).span("async_roll_*").count(10).all_overlap();
    let failed: Vec<_> = (0..10).filter(|index| rolls[*index].status.code == StatusCode::Error).collect();
    assert!((1..10).contains(&failed.len()), "this seed shows nothing: {failed:?}");
    let error = "Die 'extreme' failed!";
    assert_eq!(body["failed"], failed.iter().map(|index| json!({"index": index, "error": error})).collect::<Value>());
    let faces = rolls.iter().map(|roll| roll.attributes.get("die.result").cloned().unwrap_or_default());
    assert_eq!(body["rolls"], faces.clone().collect::<Value>());
    assert_eq!(body["total"], faces.filter_map(|face| face.as_i64()).sum::<i64>());
    assert_eq!(body["count"], 10);

    let request = trace.one("GET /roll-async", "SERVER", "dice-roller");
    assert_eq!((request.status.code, &request.attributes["async.total_result"]), (StatusCode::Unset, &body["total"]));
    let mut by_end: Vec<_> = (0..10).collect();
    by_end.sort_by_key(|index| rolls[*index].end);
    let completed = request.events.iter().filter(|event| event.name == "roll completed");
    assert_eq!(completed.map(|event| event.attributes["async.roll_index"].clone()).collect::<Vec<_>>(), by_end);
}
