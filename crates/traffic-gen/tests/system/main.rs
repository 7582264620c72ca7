//! Both programs as processes, against the real services and the trace viewer as processes.
//!
//! A service's telemetry belongs to its process, so this test starts itself again, once a service, with the service's
//! name as the first argument; hence a `main` of its own. Everything listens on a free port and stops with the test.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // as `clippy.toml` has it for tests under the usual harness

mod processes;
mod stub;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};
use tempo_client::Trace;
use test_support::{Finished, NOWHERE, Process, Signal, eventually, http};

use processes::{System, async_performance, generate_traffic};
use stub::StallingFrontend;

/// How one of the two programs is started.
type Start = fn(&[&str], &[(&str, &str)]) -> Process;

/// A name, and what it does with a directory of its own.
type Test = (&'static str, fn(&Path));

fn main() -> ExitCode {
    if let Some(role) = std::env::args().nth(1).filter(|role| processes::ROLES.contains(&&**role)) {
        return processes::serve(&role);
    }
    let tests: [Test; 10] = [
        ("request_is_root_span_with_its_call_below", request_is_root_span_with_its_call_below),
        ("backend_has_the_spans_of_the_manifest", backend_has_the_spans_of_the_manifest),
        ("verify_lists_lost_spans", verify_lists_lost_spans),
        ("requests_without_response_are_not_exact", requests_without_response_are_not_exact),
        ("same_seed_makes_same_requests", same_seed_makes_same_requests),
        ("stall_counts_for_all_requests_planned_meanwhile", stall_counts_for_all_requests_planned_meanwhile),
        ("ctrl_c_writes_the_summary", ctrl_c_writes_the_summary),
        ("invalid_settings_are_reported", invalid_settings_are_reported),
        ("performance_report_is_consistent", performance_report_is_consistent),
        ("failed_dice_are_left_out_of_the_averages", failed_dice_are_left_out_of_the_averages),
    ];
    let only = std::env::args().nth(1).filter(|arg| !arg.starts_with('-')).unwrap_or_default();
    for (name, test) in tests.into_iter().filter(|(name, _)| name.contains(&only)) {
        let directory = temporary_directory(name);
        test(&directory);
        std::fs::remove_dir_all(&directory).unwrap();
        println!("test {name} ... ok");
    }
    ExitCode::SUCCESS
}

fn temporary_directory(name: &str) -> PathBuf {
    let directory = std::env::temp_dir().join(format!("traffic-gen-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    directory
}

/// A run of users without think time, in JSON; returns its log lines and, last, its summary.
fn traffic(system: &System, flags: &[&str]) -> (Vec<Value>, Value) {
    let run = system.traffic(flags).finish();
    assert!(run.status.success(), "{}", run.stderr);
    let mut lines: Vec<Value> = run.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let summary = lines.pop().unwrap()["summary"].take();
    (lines, summary)
}

fn verify(system: &System, manifest: &str, wait: &str) -> (bool, Value) {
    let flags = ["verify", "--json", "--manifest", manifest, "--tempo-url", &system.viewer, "--wait", wait];
    let run = generate_traffic(&flags, &[]).finish();
    (run.status.success(), serde_json::from_str(&run.stdout).unwrap())
}

/// The spans of a trace that have arrived.
fn trace(system: &System, trace_id: &str) -> Option<Trace> {
    let response = http::get(format!("{}/{}", system.viewer, tempo_client::trace_path(trace_id)));
    (response.status == 200).then(|| serde_json::from_slice(&response.body).unwrap())
}

fn request_is_root_span_with_its_call_below(_: &Path) {
    let system = System::start(&[]);
    let root = |flags: &[&str]| {
        let flags =
            [&["--num-users=1", "--max-rolls-per-user=1", "--dice=fair", "--max-async-rolls=1"], flags].concat();
        let (lines, _) = traffic(&system, &flags);
        let line = lines.iter().find(|line| line["message"].as_str().unwrap().contains(" result: ")).unwrap();
        // Its root, frontend's server span, and what is below.
        let trace = eventually("a whole trace", || {
            trace(&system, line["trace_id"].as_str().unwrap()).filter(|trace| trace.spans.len() >= 7)
        });
        let span = |start: &str| trace.spans.iter().find(|span| span.name.starts_with(start)).unwrap();
        assert_eq!(span("GET /roll").kind, "SERVER", "the services continue the trace");
        let root = span("simulated_user").clone();
        assert_eq!((&*root.kind, &*root.parent_id), ("INTERNAL", ""), "{root:?}");
        (line["message"].as_str().unwrap().rsplit(' ').next().unwrap().parse::<i64>().unwrap(), root)
    };
    let common = |batch: bool| {
        json!({
            "die.type": "fair", "request.number": 1, "request.status": "success", "user.id": "1",
            "async.enabled": batch,
        })
    };

    let (total, span) = root(&["--async-probability=1"]);
    let mut expected = common(true);
    (expected["async.batch_size"], expected["async.total_result"]) = (1.into(), total.into());
    assert_eq!((&*span.name, json!(span.attributes)), ("simulated_user_async_request", expected));

    let (value, span) = root(&["--async-probability=0"]);
    let mut expected = common(false);
    expected["roll.value"] = value.into();
    assert_eq!((&*span.name, json!(span.attributes)), ("simulated_user_sync_request", expected));
}

fn manifest_in(directory: &Path) -> String {
    directory.join("manifest.jsonl").to_string_lossy().into_owned()
}

fn backend_has_the_spans_of_the_manifest(directory: &Path) {
    let system = System::start(&[]);
    let manifest = manifest_in(directory);
    let flags = ["--seed=1", "--num-users=8", "--async-probability=0.5", "--manifest", &manifest];
    let (lines, summary) = traffic(&system, &flags);
    let kinds: Vec<_> = summary["errors"].as_object().unwrap().keys().collect();
    assert_eq!(kinds, ["404 Not Found", "500 Internal Server Error"], "the seed covers both: {summary}");
    assert!(summary["sync"]["p99"].as_f64() >= summary["sync"]["p50"].as_f64());

    let (lossless, report) = verify(&system, &manifest, "20");
    assert!(lossless, "{report}");
    assert_eq!(report["traces"], summary["requests"]);
    for nothing in ["traces_not_exact", "traces_missing", "spans_lost", "spans_unexpected", "errors_lost"] {
        assert_eq!(report[nothing], 0, "{nothing} in {report}");
    }
    // The log lines of a request carry its trace's id.
    let ids: HashSet<_> = lines.iter().filter_map(|line| line["trace_id"].as_str()).collect();
    assert_eq!(ids.len() as u64, summary["requests"].as_u64().unwrap());
}

fn verify_lists_lost_spans(directory: &Path) {
    let system = System::start(&[("frontend", "OTEL_TRACES_EXPORTER", "none")]);
    let manifest = manifest_in(directory);
    let flags = ["--num-users=1", "--max-rolls-per-user=1", "--dice=fair", "--manifest", &manifest];
    let (lines, _) = traffic(&system, &[&flags[..], &["--async-probability=0"]].concat());
    let id = lines.iter().find_map(|line| line["trace_id"].as_str()).unwrap();
    eventually("the spans of the others", || (trace(&system, id)?.spans.len() == 5).then_some(()));
    let (lossless, report) = verify(&system, &manifest, "0");
    assert!(!lossless);
    let numbers = |name: &str| report[name].as_u64().unwrap();
    assert_eq!((numbers("spans_expected"), numbers("spans_lost"), numbers("traces_missing")), (7, 2, 0), "{report}");
    let edges: Vec<_> = report["edges_lost"].as_object().unwrap().keys().collect();
    assert_eq!(
        edges,
        [
            "frontend GET /roll → frontend GET",
            "frontend GET → dice-roller GET /roll",
            "traffic-generator-stage4 GET → frontend GET /roll",
        ]
    );
}

fn requests_without_response_are_not_exact(directory: &Path) {
    // Seeds, because a short batch may by chance be done before the generator gives it up.
    let system = System::start(&[("dice-roller", "ROLL_DELAY_MAX_MS", "60000"), ("dice-roller", "ROLL_SEED", "1")]);
    let manifest = manifest_in(directory);
    let flags = ["--num-users=3", "--max-rolls-per-user=1", "--dice=fair", "--request-timeout-ms=200"];
    let (_, summary) = traffic(&system, &[&flags[..], &["--manifest", &manifest]].concat());
    // The time that is left goes along with the request, so frontend's 504 may be a hair faster than the user's timer.
    let errors = |kind: &str| summary["errors"][kind].as_u64().unwrap_or(0);
    assert_eq!(errors("timeout") + errors("504 Gateway Timeout"), 3, "{summary}");
    let (lossless, report) = verify(&system, &manifest, "10");
    assert!(lossless, "what must be there at least is there: {report}");
    assert_eq!(report["traces_not_exact"], 3);
    assert!(report["spans_expected"].as_u64().unwrap() >= 6, "{report}");

    // Ctrl-C waits a while for responses, not as long as a user would.
    let flags = ["--num-users=3", "--seed=5", "--dice=fair", "--async-probability=1", "--manifest", &manifest];
    let run = system.traffic(&flags);
    run.wait_for(|line| line.contains("User 3 making"));
    run.signal(Signal::SIGINT);
    let run = run.finish();
    let summary: Value = serde_json::from_str(run.stdout.lines().last().unwrap()).unwrap();
    assert_eq!(summary["summary"]["errors"], json!({ "stopped": 3 }));
    let (lossless, report) = verify(&system, &manifest, "10");
    assert!(lossless && report["traces_not_exact"] == 3, "{report}");
}

fn same_seed_makes_same_requests(_: &Path) {
    let system = System::start(&[]);
    let requests = |seed: &str| {
        let (lines, _) = traffic(&system, &["--num-users=5", "--max-rolls-per-user=6", "--seed", seed]);
        let made =
            lines.into_iter().filter(|line| line["message"].as_str().is_some_and(|text| text.contains(" making ")));
        let mut made: Vec<String> = made
            .map(|line| {
                format!("{} {} {} {}", line["message"], line["request_number"], line["die_type"], line["times"])
            })
            .collect();
        made.sort();
        made
    };
    let first = requests("7");
    assert!(first.len() >= 5);
    assert_eq!(first, requests("7"));
    assert_ne!(first, requests("8"));
}

/// Twenty requests are planned over a second, one at a time, and the first response takes that second: the request
/// planned at 500 ms has waited for half of it.
fn stall_counts_for_all_requests_planned_meanwhile(_: &Path) {
    let frontend = StallingFrontend::start(Duration::from_secs(1));
    let flags = ["--rate=20", "--duration=1", "--max-in-flight=1", "--async-probability=0", "--log-format=json"];
    let nowhere = [("OTEL_TRACES_EXPORTER", "none"), ("FRONTEND_URL", &*frontend.url)];
    let run = generate_traffic(&flags, &nowhere).finish();
    assert!(run.status.success() && run.stdout.contains("Falling behind"), "{} {}", run.stdout, run.stderr);
    let last: Value = serde_json::from_str(run.stdout.lines().last().unwrap()).unwrap();
    let summary = &last["summary"];
    assert_eq!((&summary["requests"], &summary["sync"]["count"]), (&20.into(), &20.into()), "none is left out");
    // At least half a second, because the stall ends no earlier, and less than the longest: that of the first request, or
    // of the last one where a busy machine is slow to send them.
    let latency = |name: &str| summary["sync"][name].as_f64().unwrap();
    assert!(latency("p50") >= 0.4 && latency("p50") < latency("max"), "{summary}");
    assert!(summary["late_starts"].as_u64().unwrap() >= 15, "{summary}");
}

fn ctrl_c_writes_the_summary(directory: &Path) {
    let system = System::start(&[]);
    let manifest = manifest_in(directory);
    let run = system.traffic(&["--rate=40", "--manifest", &manifest, "--log-format=pretty"]);
    run.wait_for(|line| line.contains("roll result"));
    run.signal(Signal::SIGINT);
    let run = run.finish();
    assert!(run.status.success(), "{}", run.stderr);
    assert!(run.stdout.contains("Stopping") && run.stdout.contains("\nSummary (seed "), "{}", run.stdout);
    assert!(run.stderr.is_empty(), "no progress is drawn where nobody looks: {}", run.stderr);
    let (lossless, report) = verify(&system, &manifest, "20");
    assert!(lossless && report["traces"].as_u64().unwrap() > 0, "{report}");
}

fn invalid_settings_are_reported(directory: &Path) {
    let nowhere = ("FRONTEND_URL", NOWHERE);
    let said = |start: Start, flags: &[&str]| {
        let run = start(flags, &[nowhere, ("OTEL_TRACES_EXPORTER", "none")]).finish();
        assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
        (run.status.code(), run.stderr)
    };
    let (code, text) = said(generate_traffic, &[]);
    assert!(code == Some(1) && text.contains("127.0.0.1:1") && text.contains("cargo run"), "{text}");
    for (flag, setting) in [
        ("--num-users=0", "NUM_USERS"),
        ("--async-probability=1.5", "ASYNC_PROBABILITY"),
        ("--think-time-ms=9-1", "THINK_TIME_MS"),
        ("--rate=0", "RATE"),
        ("--seed=x", "SEED"),
        ("--rust-log=a=b=c", "RUST_LOG"),
        ("--frontend-url=nowhere", "FRONTEND_URL"),
    ] {
        let (code, text) = said(generate_traffic, &[flag]);
        assert!(code == Some(2) && text.contains(setting), "{text}");
    }
    let unwritable = directory.join("missing").join("manifest");
    let frontend = format!("--frontend-url={}", StallingFrontend::start(Duration::ZERO).url);
    let manifest = format!("--manifest={}", unwritable.display());
    let (code, text) = said(generate_traffic, &["--otel-traces-exporter=otlp", &frontend, &manifest]);
    assert!(code == Some(1) && text.contains("MANIFEST"), "{text}");

    let (code, text) = said(async_performance, &[&format!("--dice-roller-url={NOWHERE}")]);
    assert!(code == Some(1) && text.contains("cargo run"), "{text}");
    let (code, text) = said(async_performance, &["--rolls=0"]);
    assert!(code == Some(2) && text.contains("ROLLS"), "{text}");
}

fn performance(system: &System, flags: &[&str]) -> Finished {
    let urls = [("DICE_ROLLER_URL", &*system.dice_roller), ("TEMPO_URL", &*system.viewer)];
    async_performance(flags, &urls).finish()
}

fn performance_report_is_consistent(_: &Path) {
    let system = System::start(&[("dice-roller", "ROLL_DELAY_MAX_MS", "200")]);
    let run = performance(&system, &["--json", "--iterations=2", "--rolls=8"]);
    assert!(run.status.success() && run.stderr.is_empty(), "{}", run.stderr);
    let report: Value = serde_json::from_str(&run.stdout).unwrap();
    let number = |path: &str| report.pointer(path).and_then(Value::as_f64).unwrap_or_else(|| panic!("{path} {report}"));
    assert!((number("/speedup") - number("/sequential/mean") / number("/async/mean")).abs() < 1e-9);
    assert!(number("/speedup") > 1.5, "eight rolls at once are faster: {report}");
    assert_eq!(number("/theory/speedup"), 4.5);
    for index in 0..2 {
        let of = |name: &str| number(&format!("/iterations/{index}/{name}"));
        // Compared with eight single rolls of the same iteration, because a busy machine delays both.
        assert!(of("overhead") > 0.0 && of("slowest_roll") < of("sequential"), "{report}");
        assert!((of("slowest_roll") + of("overhead") - of("async")).abs() < 1e-9);
    }
    let bars = report["timeline"]["bars"].as_array().unwrap();
    assert_eq!(bars.len(), 9, "the die's data and eight rolls");

    let run = performance(&system, &["--iterations=1", "--rolls=8"]);
    for part in ["x faster than sequential", "4.50x", "async_roll_7    │", "longer than its slowest roll"] {
        assert!(run.stdout.contains(part), "{part} is not in {}", run.stdout);
    }
    let nowhere = performance(&system, &["--iterations=1", "--rolls=2", &format!("--tempo-url={NOWHERE}")]);
    assert!(nowhere.status.success() && nowhere.stdout.contains("No timeline"), "{}", nowhere.stdout);
}

fn failed_dice_are_left_out_of_the_averages(_: &Path) {
    let system = System::start(&[]);
    // One roll alone and a batch of one: three of four iterations meet a failed die.
    let run = performance(&system, &["--json", "--die=extreme", "--rolls=1", "--iterations=60"]);
    let report: Value = serde_json::from_str(&run.stdout).unwrap();
    let (measured, left_out) = (report["iterations"].as_array().unwrap(), report["left_out"].as_array().unwrap());
    assert!(!measured.is_empty() && !left_out.is_empty() && measured.len() + left_out.len() == 60, "{report}");
    assert!(left_out.iter().all(|reason| reason.as_str().unwrap().contains("failed")), "{report}");
    let sum: f64 = measured.iter().map(|one| one["async"].as_f64().unwrap()).sum();
    assert!((report["async"]["mean"].as_f64().unwrap() - sum / measured.len() as f64).abs() < 1e-9);

    let run = performance(&system, &["--die=extreme", "--rolls=20", "--iterations=1"]);
    assert_eq!(run.status.code(), Some(1));
    assert!(run.stderr.contains("no iteration is without a failed die"), "{}", run.stderr);
}
