//! Each row of the table of faults: with the fault its statements hold, without it they do not. The same system is healthy,
//! then has the fault, then is healthy again.

use std::path::PathBuf;

use serde_json::Value;
use test_support::{eventually, http};
use trace_check::{Kind, Trace};

use crate::common::System;

/// A system that is told by a file which faults are on.
pub(crate) struct Switched {
    pub(crate) system: System,
    file: PathBuf,
}

impl Switched {
    /// With no fault on, and rolls of the same lengths in each run.
    pub(crate) fn start(name: &str, environment: &[(&str, &str)]) -> Self {
        let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("faults-{name}-{}", std::process::id()));
        std::fs::write(&file, "").unwrap();
        let own =
            [("FAULTS_FILE", file.to_str().unwrap()), ("ROLL_DELAY_MAX_MS", "300"), ("OTEL_BSP_SCHEDULE_DELAY", "50")];
        Self { system: System::start(&[&own[..], environment].concat()), file }
    }

    /// Writes the file, and waits until a service says that it has switched.
    pub(crate) fn write(&self, content: &str, message: &str) {
        let before = self.system.log_of(message).len();
        self.put(content);
        eventually(message, || (self.system.log_of(message).len() > before).then_some(()));
    }

    /// Writes the file.
    pub(crate) fn put(&self, content: &str) {
        std::fs::write(&self.file, content).unwrap();
    }

    /// The trace of a request to frontend, once it has so many spans.
    fn trace(&self, path: &str, spans: usize) -> Trace {
        self.system.trace(&self.system.get(path).trace_id(), spans).into()
    }
}

impl Drop for Switched {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.file);
    }
}

/// `run` makes a request and its trace, told whether the fault is on; `signature` holds with the fault only.
fn shows(
    fault: &str,
    environment: &[(&str, &str)],
    run: impl Fn(&Switched, bool) -> Trace,
    signature: impl Fn(&Trace),
) {
    let switched = Switched::start(fault, environment);
    let healthy = |when: &str| {
        let held = run(&switched, false).check(&signature).is_ok();
        assert!(!held, "{fault}: {when} the signature is there as well");
    };
    healthy("before");
    switched.write(fault, "Fault switched on");
    run(&switched, true).check(&signature).unwrap_or_else(|report| panic!("{fault}: {report}"));
    switched.write("", "Fault switched off");
    healthy("afterwards");
}

/// Rolls whose lengths do not change from run to run; the shortest takes a tenth of the longest or more.
const BATCH: &str = "/roll-async?die=fair&times=5&seed=3";

/// Dice that always fail, beside the fair one.
fn failing_dice(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("dice-{name}-{}.json", std::process::id()));
    let dice = r#"{"fair": {"faces": [1, 2], "error_rate": 0}, "broken": {"faces": [1, 2], "error_rate": 1}}"#;
    std::fs::write(&path, dice).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn lock_across_await_makes_rolls_run_one_after_another() {
    shows(
        "lock-across-await",
        &[],
        |run, _| run.trace(BATCH, 10),
        |trace| {
            let batch =
                trace.span("GET /roll-async").service("dice-roller").exactly_once().attribute("async.concurrency", 5);
            batch.children("async_roll_*").count(5).one_after_another();
        },
    );
}

/// A request to dice-roller that has nothing to do with a batch, sent while that batch is rolled: both traces together.
fn batch_and_another_request(run: &Switched, _: bool) -> Trace {
    let message = "Async roll batch started";
    let (before, dice_roller) = (run.system.log_of(message).len(), run.system.ports.dice_roller());
    let (batch, other) = std::thread::scope(|scope| {
        let batch = scope.spawn(|| run.system.get(BATCH).trace_id());
        eventually(message, || (run.system.log_of(message).len() > before).then_some(()));
        let ids = http::get(format!("{dice_roller}/")).header("traceresponse").unwrap().to_owned();
        (batch.join().unwrap(), ids[3..35].to_owned())
    });
    let mut both = run.system.trace(&batch, 10);
    both.spans.extend(run.system.trace(&other, 1).spans);
    both.into()
}

#[test]
fn blocking_sleep_makes_rolls_run_one_after_another_and_other_requests_wait() {
    let longer = [("ROLL_DELAY_MAX_MS", "1500")]; // time enough for the other request
    shows("blocking-sleep", &longer, batch_and_another_request, |trace| {
        let rolls = trace.span("async_roll_*").count(5).one_after_another();
        trace.span("GET /").service("dice-roller").exactly_once().after(&rolls);
    });
    // A lock holds up the rolls only.
    let switched = Switched::start("lock", &longer);
    switched.write("lock-across-await", "Fault switched on");
    let trace = batch_and_another_request(&switched, true);
    let rolls = trace.span("async_roll_*").count(5).one_after_another();
    assert!(trace.check(|trace| drop(trace.span("GET /").service("dice-roller").after(&rolls))).is_err());
}

/// Four requests at once: between the first and the last call that die-service receives, in nanoseconds.
fn spread_of_four_calls(run: &Switched) -> (Trace, u64) {
    let ids: Vec<_> = std::thread::scope(|scope| {
        let requests: Vec<_> = (0..4).map(|_| scope.spawn(|| run.system.get("/roll?die=fair").trace_id())).collect();
        requests.into_iter().map(|request| request.join().unwrap()).collect()
    });
    let mut all = run.system.trace(&ids[0], 5);
    all.spans.extend(ids[1..].iter().flat_map(|id| run.system.trace(id, 5).spans));
    let trace = Trace::from(all);
    let starts: Vec<u64> = trace.span("GET /dice").count(4).spans().map(|span| span.start).collect();
    let spread = starts[3] - starts[0];
    (trace, spread)
}

#[test]
fn small_pool_makes_calls_to_die_service_queue_behind_each_other() {
    let switched = Switched::start("pool", &[("ROLL_DELAY_MAX_MS", "0")]);
    let (_, before) = spread_of_four_calls(&switched);
    switched.write("small-pool=500", "Fault switched on");
    let (trace, spread) = spread_of_four_calls(&switched);
    trace.span("GET /dice").one_after_another();
    // Each waits inside its CLIENT span, while its SERVER span is as short as ever.
    trace.span("GET").service("dice-roller").count(4).peak_concurrency(2..).each_has("GET /dice", 1);
    switched.write("", "Fault switched off");
    let (_, after) = spread_of_four_calls(&switched);
    assert!(spread > 2 * before.max(after), "{spread} ns, and without the fault {before} and {after}");
}

#[test]
fn one_call_per_roll_fetches_the_specification_for_each() {
    let run = |run: &Switched, on: bool| run.trace(BATCH, if on { 18 } else { 10 });
    shows("one-call-per-roll", &[], run, |trace| {
        trace.span("GET /dice").count(5);
        trace.span("async_roll_*").count(5).all_overlap().each_has("GET", 1);
    });
}

#[test]
fn slow_die_waits_below_die_service_and_other_dice_do_not() {
    shows(
        "slow-die=fair:900",
        &[],
        |run, _| run.trace(BATCH, 10),
        |trace| {
            let root = trace.span("GET /roll-async").service("frontend");
            trace.span("GET /dice").service("die-service").takes(0.5.., &root.longest());
            trace.span("async_roll_*").count(5).all_overlap();
        },
    );
    let risky = |run: &Switched, _: bool| run.trace("/roll-async?die=risky&times=5&seed=3&strategy=best-effort", 10);
    let switched = Switched::start("slow-risky", &[]);
    switched.write("slow-die=fair:900", "Fault switched on");
    let trace = risky(&switched, true);
    let root = trace.span("GET /roll-async").service("frontend");
    trace.span("GET /dice").takes(..0.5, &root.longest());
}

#[test]
fn lost_context_makes_two_traces() {
    let run = |run: &Switched, on: bool| {
        let own = run.system.get(BATCH).trace_id();
        if !on {
            return run.system.trace(&own, 10).into();
        }
        let started = run.system.log_of("Async roll batch started");
        let other = started.last().unwrap()["trace_id"].as_str().unwrap().to_owned();
        assert_ne!(other, own);
        let mut both = run.system.trace(&own, 2);
        assert_eq!(both.spans.len(), 2);
        both.spans.extend(run.system.trace(&other, 8).spans);
        both.into()
    };
    shows("lost-context", &[], run, |trace| {
        trace.span("GET /roll-async").service("dice-roller").exactly_once().root().children("async_roll_*").count(5);
        trace.span("GET").service("frontend").exactly_once().each_has("*", 0);
    });
}

/// The traces of all lines with that message that came after the first `skipped`, together.
fn traces_of(run: &Switched, message: &str, skipped: usize, of_a_trace: usize) -> Vec<tempo_client::Span> {
    let lines = run.system.log_of(message);
    let id = |line: &Value| line["trace_id"].as_str().unwrap().to_owned();
    lines[skipped..].iter().flat_map(|line| run.system.trace(&id(line), of_a_trace).spans).collect()
}

#[test]
fn detached_rolls_have_no_parent() {
    let run = |run: &Switched, on: bool| {
        let before = run.system.log_of("Async roll completed").len();
        let own = run.system.get(BATCH).trace_id();
        if !on {
            return run.system.trace(&own, 10).into();
        }
        eventually("all rolls", || (run.system.log_of("Async roll completed").len() == before + 5).then_some(()));
        let mut all = run.system.trace(&own, 5);
        all.spans.extend(traces_of(run, "Async roll completed", before, 1));
        all.into()
    };
    shows("detached-rolls", &[], run, |trace| {
        trace.span("async_roll_*").count(5).all_overlap().root();
        trace.span("GET /roll-async").service("dice-roller").exactly_once().each_has("async_roll_*", 0);
    });
}

/// Whether a roll ended after the request that it belongs to.
fn outlives_parent(trace: &Trace) -> bool {
    let rolls = trace.span("GET /roll-async").service("dice-roller").exactly_once().children("async_roll_*").count(5);
    rolls.all_overlap();
    trace.check(|trace| drop(trace.span("async_roll_*").ends_inside_parent())).is_err()
}

#[test]
fn early_answer_ends_before_its_rolls() {
    let switched = Switched::start("early", &[]);
    assert!(!outlives_parent(&switched.trace(BATCH, 10)), "before");
    switched.write("early-answer", "Fault switched on");
    assert!(outlives_parent(&switched.trace(BATCH, 10)));
    switched.write("", "Fault switched off");
    assert!(!outlives_parent(&switched.trace(BATCH, 10)), "afterwards");
}

#[test]
fn retry_storm_sends_a_failing_request_again_and_again() {
    let dice = failing_dice("storm");
    let path = "/roll-async?die=broken&times=2&seed=3";
    let run = |run: &Switched, on: bool| run.trace(path, if on { 37 } else { 7 });
    shows("retry-storm=6", &[("DIE_SPECIFICATIONS", &dice)], run, |trace| {
        let root = trace.span("GET /roll-async").service("frontend").exactly_once();
        root.children("GET").kind(Kind::Client).count(6).one_after_another().failed();
    });
    std::fs::remove_file(dice).unwrap();
}

#[test]
fn hidden_error_answers_200_with_a_number_that_no_die_has() {
    let dice = failing_dice("hidden");
    let run = |run: &Switched, on: bool| {
        let response = run.system.get("/roll-async?die=broken&times=3&seed=3");
        assert_eq!(response.status, if on { 200 } else { 500 }, "{}", response.text());
        let single = run.system.get("/roll?die=broken");
        assert_eq!(single.status, response.status, "{}", single.text());
        let mut both = run.system.trace(&response.trace_id(), 8);
        both.spans.extend(run.system.trace(&single.trace_id(), 5).spans);
        both.into()
    };
    shows("hidden-error", &[("DIE_SPECIFICATIONS", &dice)], run, |trace| {
        trace.whole().no_errors();
        trace.span("async_roll_*").count(3).all_overlap().attribute("die.result", -1).attribute("die.error", false);
        trace.span("GET /roll-async").service("dice-roller").attribute("async.total_result", -3);
        trace.span("GET /roll").service("dice-roller").attribute("die.result", -1).attribute("die.error", false);
    });
    std::fs::remove_file(dice).unwrap();
}

/// Whether the request of die-service began before the one that it belongs to.
fn begins_before_caller(trace: &Trace) -> bool {
    trace.check(|trace| drop(trace.span("GET /dice").exactly_once().begins_inside_parent())).is_err()
}

#[test]
fn clock_skew_makes_die_service_begin_before_its_caller() {
    for processor in ["batch", "direct"] {
        let switched = Switched::start("skew", &[("SPAN_PROCESSOR", processor)]);
        assert!(!begins_before_caller(&switched.trace(BATCH, 10)), "{processor}, before");
        switched.write("clock-skew", "Fault switched on");
        let skewed = switched.trace(BATCH, 10);
        assert!(begins_before_caller(&skewed), "{processor}");
        skewed.span("async_roll_*").count(5).all_overlap().begins_inside_parent();
        switched.write("", "Fault switched off");
        assert!(!begins_before_caller(&switched.trace(BATCH, 10)), "{processor}, afterwards");
    }
}

/// The spans of dice-roller that were dropped, and those that were dropped or exported.
fn dropped_and_all(run: &Switched) -> (f64, f64) {
    let metrics = http::metrics(&run.system.ports.dice_roller());
    let dropped = metrics["telemetry_spans_dropped_total{reason=\"queue_full\"}"];
    (dropped, dropped + metrics["telemetry_spans_exported_total"])
}

#[test]
fn dropped_spans_leave_holes_that_a_counter_counts() {
    for processor in ["batch", "direct"] {
        let environment =
            [("SPAN_PROCESSOR", processor), ("ROLL_DELAY_MAX_MS", "0"), ("OTEL_BSP_SCHEDULE_DELAY", "500")];
        let switched = Switched::start("dropped", &environment);
        let run = |on: bool| {
            let (dropped, all) = dropped_and_all(&switched);
            let id = switched.system.get("/roll-async?die=fair&times=20").trace_id();
            let now = eventually("22 spans", || Some(dropped_and_all(&switched)).filter(|(_, now)| *now == all + 22.0));
            let missing = (now.0 - dropped) as usize;
            let trace = switched.system.trace(&id, 25 - missing);
            assert_eq!((trace.spans.len(), missing > 0), (25 - missing, on), "{processor}");
            let holes = Trace::from(trace).check(|trace| drop(trace.span("async_roll_*").count(20))).is_err();
            assert_eq!(holes, on, "{processor}");
        };
        run(false);
        switched.write("dropped-spans=8", "Fault switched on");
        run(true);
        switched.write("", "Fault switched off");
        run(false);
    }
}
