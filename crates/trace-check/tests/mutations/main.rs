//! Each way to break a fan-out is caught by the statement that names it, and valid ones raise no false alarm.

mod fanout;
mod run;

use std::sync::atomic::{AtomicBool, Ordering};

use fanout::{Batch, ROLLS};
use run::{request, trace_of};
use trace_check::{Trace, Type};

/// What holds for a batch of ten rolls of which roll 7 fails.
fn statements(trace: &Trace) {
    let fetch = trace.span("GET").exactly_once().parent("GET /roll-async");
    let rolls = trace.span("async_roll_*").count(ROLLS as usize).parent("GET /roll-async").after(&fetch);
    let rolls = rolls.begins_inside_parent().ends_inside_parent();
    let rolls = rolls.all_overlap().peak_concurrency(10..).waves(1);
    let rolls = rolls.distinct("async.roll_index").attribute_type("async.roll_index", Type::Integer);
    let rolls = rolls.events("rolled", 1);
    trace.span("GET /roll-async").exactly_once().root();
    rolls.with("die.error", true).count(1).failed();
    trace.whole().no_open_spans().one_root().errors_are_explained().errors_reach_root();
}

/// The names of the statements that do not hold.
fn caught(trace: &Trace) -> Vec<&'static str> {
    trace.check(statements).err().map(|report| report.statements()).unwrap_or_default()
}

/// One test for each mutation: its name, the fan-out, the statements that catch it before any other does.
macro_rules! mutations {
    ($($name:ident: $batch:expr => $($statement:ident),+;)*) => {
        $(#[test]
        fn $name() {
            let trace = trace_of(request($batch));
            let caught = caught(&trace);
            assert!(caught.starts_with(&[$(stringify!($statement)),+]), "{caught:?}");
        })*
    };
}

mutations! {
    rolls_awaited_in_a_loop: Batch::of(fanout::sequential) => all_overlap, peak_concurrency, waves;
    rolls_that_block_the_thread: Batch::of(fanout::blocking_sleep) => all_overlap, peak_concurrency, waves;
    mutex_held_across_await: Batch::of(fanout::mutex_across_await) => all_overlap, peak_concurrency, waves;
    only_three_rolls_at_once: Batch::of(fanout::at_most_three) => all_overlap, peak_concurrency;
    rolls_in_waves_of_five: Batch::of(fanout::waves_of_five) => all_overlap, peak_concurrency, waves;
    spawn_without_instrument: Batch::of(fanout::spawned_without_parent) => parent, one_root;
    roll_spans_that_are_roots: Batch::of(fanout::detached) => parent, one_root;
    rolls_linked_instead_of_parented: Batch::of(fanout::linked) => parent, one_root;
    rolls_below_a_span_between: Batch::of(fanout::grandchildren) => parent;
    guard_held_across_await: Batch::of(fanout::guard_across_await) => parent;
    rolls_with_two_spans_each: Batch::of(fanout::double_spans) => count, parent, distinct, events, errors_reach_root;
    one_roll_missing: Batch::of(fanout::one_missing) => count;
    span_for_the_batch_only: Batch::of(fanout::no_roll_spans) => count;
    roll_span_ended_before_its_work: Batch::of(fanout::early_end) => all_overlap, peak_concurrency, waves, events;
    index_as_text: Batch::of(fanout::index_as_text) => attribute_type;
    all_rolls_with_the_same_index: Batch::of(fanout::same_index) => distinct;
    failed_roll_without_status: Batch::of(fanout::no_status) => failed;
    failed_roll_without_description: Batch::of(fanout::no_description) => errors_are_explained;
    spans_made_in_map_before_the_fetch: Batch::of(fanout::made_in_map) => after;
    response_before_the_rolls_end: Batch::of(fanout::early_response) => ends_inside_parent;
    failed_roll_hidden_by_the_batch: Batch { hides_error: true, ..Batch::of(fanout::join_all) } => errors_reach_root;
    batch_span_never_ended: Batch { never_ends: true, ..Batch::of(fanout::join_all) }
        => parent, exactly_once, no_open_spans, one_root;
    die_fetched_for_each_roll: Batch { fetches: ROLLS, ..Batch::of(fanout::join_all) } => exactly_once;
}

#[test]
fn clock_of_another_machine_300_ms_behind() {
    let spans = run::spans_of(request(Batch::of(fanout::join_all))).into_iter().map(|mut span| {
        if span.name == "async_roll_3" {
            span.start_time -= std::time::Duration::from_millis(300);
            span.end_time -= std::time::Duration::from_millis(300);
        }
        span
    });
    let caught = caught(&Trace::from_memory("dice-roller", spans));
    assert_eq!(caught, ["after", "begins_inside_parent", "all_overlap", "peak_concurrency", "waves"]);
}

#[test]
fn message_of_failure_has_the_statement_and_the_bars() {
    let report = trace_of(request(Batch::of(fanout::at_most_three))).check(statements).unwrap_err();
    let text = report.failures[1].to_string();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(
        lines[..3],
        [r#"span("async_roll_*").peak_concurrency(10..)"#, "  expected: 10.. at the same time", "  found:    3"]
    );
    assert!(lines[3].starts_with("  GET /roll-async │") && lines[3].contains('!'), "{text}");
    assert!(lines[4].starts_with(">   async_roll_") && lines.len() == 14, "{text}");
}

#[test]
fn valid_runs_beside_busy_loops_give_no_false_alarm() {
    const RUNS: usize = 100;
    let done = &AtomicBool::new(false);
    let run = |n: usize| match n % 3 {
        0 => trace_of(request(Batch::of(fanout::join_all))),
        1 => trace_of(request(Batch::of(fanout::join_set))),
        _ => trace_of(request(Batch::of(fanout::futures_unordered))),
    };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(move || while !done.load(Ordering::Relaxed) {});
        }
        let runs = (0..4).map(|part| {
            scope.spawn(move || (part..RUNS).step_by(4).map(|n| run(n).check(statements)).collect::<Vec<_>>())
        });
        let runs: Vec<_> = runs.collect();
        let results: Vec<_> = runs.into_iter().flat_map(|run| run.join().unwrap_or_default()).collect();
        done.store(true, Ordering::Relaxed);
        let alarms: Vec<_> =
            results.iter().filter_map(|result| result.as_ref().err()).map(ToString::to_string).collect();
        assert_eq!((results.len(), alarms.concat()), (RUNS, String::new()));
    });
}
