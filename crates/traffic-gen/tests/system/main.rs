//! Both programs as processes, against the real services and the trace viewer as processes.
//!
//! A service's telemetry belongs to its process, so this test starts itself again, once a service, with the service's
//! name as the first argument; hence a `main` of its own. Everything listens on a free port and stops with the test.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // as `clippy.toml` has it for tests under the usual harness

mod processes;
mod stub;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde_json::Value;

use processes::{Program, System};
use stub::StallingFrontend;

/// A name, and what it does with a directory of its own.
type Test = (&'static str, fn(&Path));

fn main() -> ExitCode {
    if let Some(role) = std::env::args().nth(1).filter(|role| processes::ROLES.contains(&&**role)) {
        return processes::serve(&role);
    }
    let tests: [Test; 10] = [
        ("a_request_is_a_root_span_with_its_call_below", a_request_is_a_root_span_with_its_call_below),
        ("the_backend_holds_what_the_manifest_says", the_backend_holds_what_the_manifest_says),
        ("verify_finds_the_spans_of_a_service_that_does_not_export", verify_finds_lost_spans),
        ("requests_without_an_answer_are_marked", requests_without_an_answer_are_marked),
        ("the_same_seed_makes_the_same_requests", the_same_seed_makes_the_same_requests),
        ("a_stall_counts_for_all_who_came_meanwhile", a_stall_counts_for_all_who_came_meanwhile),
        ("ctrl_c_ends_with_the_summary", ctrl_c_ends_with_the_summary),
        ("what_cannot_work_is_said", what_cannot_work_is_said),
        ("the_performance_report_agrees_with_itself", the_performance_report_agrees_with_itself),
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
    let run = Program::traffic(system, flags).finish();
    assert!(run.status.success(), "{}", run.stderr);
    let mut lines: Vec<Value> = run.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let summary = lines.pop().unwrap()["summary"].take();
    (lines, summary)
}

fn verify(system: &System, manifest: &str, wait: &str) -> (bool, Value) {
    let flags = ["verify", "--json", "--manifest", manifest, "--tempo-url", &system.viewer, "--wait", wait];
    let run = Program::start(env!("CARGO_BIN_EXE_generate-traffic"), &flags, &[]).finish();
    (run.status.success(), serde_json::from_str(&run.stdout).unwrap())
}

/// The spans of a trace, by name, once its root and those of the frontend have arrived.
fn spans(system: &System, trace_id: &str) -> HashMap<String, Value> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let url = format!("{}/api/traces/{trace_id}", system.viewer);
    for _ in 0..400 {
        let answer = reqwest::blocking::get(&url).unwrap();
        let trace: Value = if answer.status() == 200 { answer.json().unwrap() } else { Value::Null };
        let batches = trace["batches"].as_array().into_iter().flatten();
        let scopes = batches.flat_map(|batch| batch["scopeSpans"].as_array().unwrap());
        let spans = scopes.flat_map(|scope| scope["spans"].as_array().unwrap()).cloned();
        let spans: HashMap<_, _> = spans.map(|span| (span["name"].as_str().unwrap().to_owned(), span)).collect();
        if ["simulated_user", "GET /roll"].iter().all(|start| spans.keys().any(|name| name.starts_with(start))) {
            return spans;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("trace {trace_id} did not arrive");
}

fn a_request_is_a_root_span_with_its_call_below(_: &Path) {
    let system = System::start(&[]);
    let root = |flags: &[&str]| {
        let flags =
            [&["--num-users=1", "--max-rolls-per-user=1", "--dice=fair", "--max-async-rolls=1"], flags].concat();
        let (lines, _) = traffic(&system, &flags);
        let line = lines.iter().find(|line| line["message"].as_str().unwrap().contains(" result: ")).unwrap();
        let root_id = line["span_id"].as_str().unwrap();
        let mut spans = spans(&system, line["trace_id"].as_str().unwrap());
        let route = spans.keys().find(|name| name.starts_with("GET /roll")).unwrap().clone();
        assert_eq!(spans[&route]["kind"], "SPAN_KIND_SERVER", "the trace goes on in the services");
        let name = spans.keys().find(|name| name.starts_with("simulated_user")).unwrap().clone();
        let root = spans.remove(&name).unwrap();
        assert_eq!((&root["kind"], &root["parentSpanId"]), (&"SPAN_KIND_INTERNAL".into(), &Value::Null), "{root_id}");
        let attributes = root["attributes"].as_array().unwrap().iter();
        let mut attributes: Vec<_> =
            attributes.map(|one| format!("{}={}", one["key"].as_str().unwrap(), one["value"])).collect();
        attributes.sort();
        (name, line["message"].as_str().unwrap().rsplit(' ').next().unwrap().to_owned(), attributes)
    };
    let common = |batch: &str| {
        vec![
            r#"die.type={"stringValue":"fair"}"#.to_owned(),
            r#"request.number={"intValue":"1"}"#.to_owned(),
            r#"request.status={"stringValue":"success"}"#.to_owned(),
            r#"user.id={"stringValue":"1"}"#.to_owned(),
            format!(r#"async.enabled={{"boolValue":{batch}}}"#),
        ]
    };
    let sorted = |mut expected: Vec<String>, more: &[String]| {
        expected.extend_from_slice(more);
        expected.sort();
        expected
    };
    let (name, total, attributes) = root(&["--async-probability=1"]);
    let result = format!(r#"async.total_result={{"intValue":"{total}"}}"#);
    let size = r#"async.batch_size={"intValue":"1"}"#.to_owned();
    assert_eq!((&*name, attributes), ("simulated_user_async_request", sorted(common("true"), &[size, result])));
    let (name, value, attributes) = root(&["--async-probability=0"]);
    let result = format!(r#"roll.value={{"intValue":"{value}"}}"#);
    assert_eq!((&*name, attributes), ("simulated_user_sync_request", sorted(common("false"), &[result])));
}

fn manifest_in(directory: &Path) -> String {
    directory.join("manifest.jsonl").to_string_lossy().into_owned()
}

fn the_backend_holds_what_the_manifest_says(directory: &Path) {
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

fn verify_finds_lost_spans(directory: &Path) {
    let system = System::start(&[("frontend", "OTEL_TRACES_EXPORTER", "none")]);
    let manifest = manifest_in(directory);
    let flags = ["--num-users=1", "--max-rolls-per-user=1", "--dice=fair", "--manifest", &manifest];
    traffic(&system, &[&flags[..], &["--async-probability=0"]].concat());
    let (lossless, report) = verify(&system, &manifest, "3");
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

fn requests_without_an_answer_are_marked(directory: &Path) {
    let system = System::start(&[("dice-roller", "ROLL_DELAY_MAX_MS", "60000")]);
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

    // Ctrl-C waits a while for answers, not as long as a user would.
    let flags = ["--num-users=3", "--dice=fair", "--async-probability=1", "--manifest", &manifest];
    let mut run = Program::traffic(&system, &flags);
    run.wait_for("User 3 making");
    run.interrupt();
    let run = run.finish();
    let summary: Value = serde_json::from_str(run.stdout.lines().last().unwrap()).unwrap();
    assert_eq!(summary["summary"]["errors"], serde_json::json!({ "stopped": 3 }));
    let (lossless, report) = verify(&system, &manifest, "10");
    assert!(lossless && report["traces_not_exact"] == 3, "{report}");
}

fn the_same_seed_makes_the_same_requests(_: &Path) {
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

/// Twenty requests are planned over a second, one at a time, and the first one's answer takes that second: the
/// request planned at 500 ms has waited for half of it.
fn a_stall_counts_for_all_who_came_meanwhile(_: &Path) {
    let frontend = StallingFrontend::start(Duration::from_secs(1));
    let flags = ["--rate=20", "--duration=1", "--max-in-flight=1", "--async-probability=0", "--log-format=json"];
    let nowhere = [("OTEL_TRACES_EXPORTER", "none"), ("FRONTEND_URL", &*frontend.url)];
    let run = Program::start(env!("CARGO_BIN_EXE_generate-traffic"), &flags, &nowhere).finish();
    assert!(run.status.success() && run.stdout.contains("Falling behind"), "{} {}", run.stdout, run.stderr);
    let last: Value = serde_json::from_str(run.stdout.lines().last().unwrap()).unwrap();
    let summary = &last["summary"];
    assert_eq!((&summary["requests"], &summary["sync"]["count"]), (&20.into(), &20.into()), "none is left out");
    let p50 = summary["sync"]["p50"].as_f64().unwrap();
    assert!((0.4..0.8).contains(&p50), "{summary}");
    assert!(summary["late_starts"].as_u64().unwrap() >= 15, "{summary}");
}

fn ctrl_c_ends_with_the_summary(directory: &Path) {
    let system = System::start(&[]);
    let manifest = manifest_in(directory);
    let mut run = Program::traffic(&system, &["--rate=40", "--manifest", &manifest, "--log-format=pretty"]);
    run.wait_for("roll result");
    let asked = Instant::now();
    run.interrupt();
    let run = run.finish();
    assert!(run.status.success() && asked.elapsed() < Duration::from_secs(10), "{}", run.stderr);
    assert!(run.stdout.contains("Stopping") && run.stdout.contains("\nSummary (seed "), "{}", run.stdout);
    assert!(run.stderr.is_empty(), "no progress is drawn where nobody looks: {}", run.stderr);
    let (lossless, report) = verify(&system, &manifest, "20");
    assert!(lossless && report["traces"].as_u64().unwrap() > 0, "{report}");
}

fn what_cannot_work_is_said(directory: &Path) {
    let nowhere = ("FRONTEND_URL", "http://127.0.0.1:1");
    let generator = env!("CARGO_BIN_EXE_generate-traffic");
    let said = |program, flags: &[&str]| {
        let run = Program::start(program, flags, &[nowhere, ("OTEL_TRACES_EXPORTER", "none")]).finish();
        assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
        (run.status.code(), run.stderr)
    };
    let (code, text) = said(generator, &[]);
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
        let (code, text) = said(generator, &[flag]);
        assert!(code == Some(2) && text.contains(setting), "{text}");
    }
    let unwritable = directory.join("missing").join("manifest");
    let frontend = format!("--frontend-url={}", StallingFrontend::start(Duration::ZERO).url);
    let manifest = format!("--manifest={}", unwritable.display());
    let (code, text) = said(generator, &["--otel-traces-exporter=otlp", &frontend, &manifest]);
    assert!(code == Some(1) && text.contains("MANIFEST"), "{text}");

    let performance = env!("CARGO_BIN_EXE_async-performance");
    let (code, text) = said(performance, &["--dice-roller-url=http://127.0.0.1:1"]);
    assert!(code == Some(1) && text.contains("cargo run"), "{text}");
    let (code, text) = said(performance, &["--rolls=0"]);
    assert!(code == Some(2) && text.contains("ROLLS"), "{text}");
}

fn performance(system: &System, flags: &[&str]) -> processes::Finished {
    let urls = [("DICE_ROLLER_URL", &*system.dice_roller), ("TEMPO_URL", &*system.viewer)];
    Program::start(env!("CARGO_BIN_EXE_async-performance"), flags, &urls).finish()
}

fn the_performance_report_agrees_with_itself(_: &Path) {
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
        assert!(of("overhead") > 0.0 && of("slowest_roll") <= 0.25, "{report}");
        assert!((of("slowest_roll") + of("overhead") - of("async")).abs() < 1e-9);
    }
    let bars = report["timeline"]["bars"].as_array().unwrap();
    assert_eq!(bars.len(), 9, "the die's data and eight rolls");

    let run = performance(&system, &["--iterations=1", "--rolls=8"]);
    for part in ["x faster than sequential", "4.50x", "async_roll_7    │", "longer than its slowest roll"] {
        assert!(run.stdout.contains(part), "{part} is not in {}", run.stdout);
    }
    let nowhere = performance(&system, &["--iterations=1", "--rolls=2", "--tempo-url=http://127.0.0.1:1"]);
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
