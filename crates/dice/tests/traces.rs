//! `dice show` and `dice compare` as processes, with files and with a viewer.
#![allow(clippy::unwrap_used)] // a panic is how a test reports

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::{Value, json};
use test_support::{Process, http, skip};

const DICE: &str = env!("CARGO_BIN_EXE_dice");
const ID: &str = "0af7651916cd43dd8448eb211c80319c";
const BEGIN: u64 = 1_795_443_997_000_000_000;
const LENGTHS: [u64; 3] = [100, 300, 200];

/// A batch of three rolls, at once or one after the other, that takes so many percent of the usual time.
fn batch(at_once: bool, percent: u64) -> Value {
    let mut begin = 0;
    let span = |id: u64, parent: &str, name: String, from: u64, to: u64| {
        json!({
            "traceId": ID, "spanId": format!("{id:016x}"), "parentSpanId": parent, "name": name, "kind": 1,
            "startTimeUnixNano": (BEGIN + from * 1_000_000).to_string(), "endTimeUnixNano": (BEGIN + to * 1_000_000).to_string(),
        })
    };
    let mut spans = Vec::new();
    let mut last = 0;
    for (id, length) in (2..).zip(LENGTHS) {
        let end = begin + length * percent / 100;
        spans.push(span(id, "0000000000000001", format!("async_roll_{}", id - 2), begin, end));
        last = last.max(end);
        begin = if at_once { 0 } else { end };
    }
    spans.push(span(1, "", "GET /roll-async".to_owned(), 0, last));
    let resource = json!({ "attributes": [{ "key": "service.name", "value": { "stringValue": "dice-roller" } }] });
    json!({ "resourceSpans": [{ "resource": resource, "scopeSpans": [{ "spans": spans }] }] })
}

fn file(name: &str, content: impl AsRef<[u8]>) -> String {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}

fn dice(args: &[&str]) -> Output {
    // Nothing listens on the port, unless a test names another address.
    Command::new(DICE).args(args).env_clear().env("TEMPO_URL", "http://127.0.0.1:9").output().unwrap()
}

fn status(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn show_prints_sentence_and_waterfall_or_the_object_of_the_contract() {
    let path = file("show.json", batch(true, 100).to_string());
    let output = dice(&["show", &path]);
    let shown = text(&output.stdout);
    assert_eq!(status(&output), 0, "{}", text(&output.stderr));
    assert!(
        shown.starts_with("3 rolls took 0.30 s; one after the other they would have taken 0.60 s: 2.0 times faster.")
    );
    assert!(shown.contains("\n  async_roll_1  ") && !shown.contains('\x1b'), "{shown}");

    let output = dice(&["show", &path, "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let names: Vec<&String> = report.as_object().unwrap().keys().collect();
    assert_eq!(names, ["sentence", "duration_seconds", "critical_path", "groups", "errors", "flags"]);
    assert_eq!(report["duration_seconds"], 0.3);
    assert_eq!(
        report["critical_path"],
        json!([{ "service": "dice-roller", "name": "async_roll_1", "seconds": 0.3, "share": 1.0 }])
    );
    assert_eq!(
        (&report["groups"][0]["name"], &report["groups"][0]["peak_concurrency"]),
        (&json!("async_roll_*"), &json!(3))
    );
}

#[test]
fn log_lines_of_a_file_follow_its_waterfall_by_time() {
    let mut trace = batch(true, 100);
    let spans = &trace["resourceSpans"][0]["scopeSpans"][0]["spans"];
    let span = spans.as_array().unwrap().iter().find(|span| span["name"] == "async_roll_1").unwrap().clone();
    let start: u64 = span["startTimeUnixNano"].as_str().unwrap().parse().unwrap();
    let line = |after: u64, severity: Value, body: Value| {
        json!({"traceId": span["traceId"], "spanId": span["spanId"], "severityNumber": severity, "body": body,
            "timeUnixNano": (start + after * 1_000_000).to_string()})
    };
    let mut other = line(1, json!(9), json!({"stringValue": "of another trace"}));
    other["traceId"] = json!("5".repeat(32));
    let records = json!([
        line(40, json!(17), json!({"stringValue": "second\nline \u{1b}[2J"})),
        line(30, json!("SEVERITY_NUMBER_INFO"), json!({"kvlistValue": {}})),
        line(20, json!(9), json!({"stringValue": "first"})),
        other,
    ]);
    trace["resourceLogs"] = json!([{"scopeLogs": [{"logRecords": records}]}]);
    let output = dice(&["show", &file("with-logs.json", trace.to_string())]);
    assert_eq!(status(&output), 0, "{}", text(&output.stderr));
    let shown = text(&output.stdout);
    let (_, lines) = shown.split_once("\n\n").unwrap().1.split_once("\n\n").expect("log lines below the waterfall");
    let words: Vec<String> = lines.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(words.len(), 3, "{lines}");
    assert!(words[0].starts_with("+") && words[0].ends_with("async_roll_1 INFO first"), "{lines}");
    assert!(words[2].contains("async_roll_1 ERROR second line") && !lines.contains('\x1b'), "{lines}");
}

#[test]
fn trace_of_a_viewer_is_found_by_its_id_and_its_answers_are_files_too() {
    let any_ports = ["trace-viewer", "--port=0", "--otlp-port=0", "--otlp-grpc-port=0"];
    let viewer = Process::start(DICE, &any_ports, &[]);
    let (pages, otlp) = (viewer.url("address"), viewer.url("otlp_address"));
    let sent = http::send(http::client().post(format!("{otlp}/v1/traces")).json(&batch(true, 100)));
    assert_eq!(sent.status, 200, "{}", sent.text());

    let show = |what: &str| {
        let output =
            Command::new(DICE).args(["show", what, "--json"]).env_clear().env("TEMPO_URL", &pages).output().unwrap();
        assert_eq!(status(&output), 0, "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let expected = show(&file("sent.json", batch(true, 100).to_string()));
    assert_eq!(show(ID), expected);
    for path in [format!("api/traces/{ID}"), format!("api/v2/traces/{ID}"), format!("view/traces/{ID}/otlp.json")] {
        let body = http::get(format!("{pages}/{path}"));
        assert_eq!(show(&file("answer.json", body.text())), expected, "{path}");
    }
    let unknown = Command::new(DICE).args(["show", "abc"]).env_clear().env("TEMPO_URL", &pages).output().unwrap();
    assert_eq!(status(&unknown), 2);
    assert!(text(&unknown.stderr).starts_with("error: no trace abc at http://"), "{}", text(&unknown.stderr));
}

#[test]
fn response_without_end_is_read_to_its_limit_only() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let backend = format!("http://{}", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (mut connection, _) = listener.accept().unwrap();
        assert!(connection.read(&mut [0; 4096]).unwrap() > 0, "a request");
        connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n").unwrap();
        // A gigabyte stands for no end.
        (0..1024).take_while(|_| connection.write_all(&[b' '; 1 << 20]).is_ok()).count()
    });
    let output = Command::new(DICE).args(["show", ID]).env_clear().env("TEMPO_URL", &backend).output().unwrap();
    assert_eq!(status(&output), 2);
    let error = text(&output.stderr);
    assert!(error.ends_with("the response is longer than 64 MiB\n") && error.lines().count() == 1, "{error}");
    // Beside the limit: what both sides of the connection buffer.
    let sent = server.join().unwrap();
    assert!((64..96).contains(&sent), "{sent} MiB");
}

#[test]
fn what_cannot_be_read_is_one_line_and_status_2() {
    let good = file("good.json", batch(true, 100).to_string());
    let empty = file("empty.json", "{}");
    let no_json = file("no.json", "\x1b[2J no json");
    for (trace, expected) in [
        (empty.as_str(), "it has no spans"),
        (&no_json, "it is no trace in OTLP's JSON"),
        ("/dev/zero", "it is longer than 32 MiB"),
        (env!("CARGO_TARGET_TMPDIR"), "Is a directory"),
        ("nowhere.json", "nowhere.json is neither a file nor a trace id"),
        ("x\ny", r"x\ny is neither a file nor a trace id"),
        (ID, "no trace from http://127.0.0.1:9/ (TEMPO_URL)"),
    ] {
        for args in [vec!["show", trace], vec!["compare", trace, &good], vec!["compare", &good, trace, "--json"]] {
            let output = dice(&args);
            let error = text(&output.stderr);
            assert_eq!((status(&output), output.stdout.len()), (2, 0), "{args:?}: {error}");
            assert!(error.starts_with("error: ") && error.contains(expected), "{args:?}: {error}");
            assert_eq!(error.lines().count(), 1, "{error}");
        }
    }
    for factor in ["0.5", "-1", "NaN", "inf", "x", ""] {
        let output = dice(&["compare", &good, &good, &format!("--slower={factor}")]);
        assert_eq!(status(&output), 2);
        assert!(text(&output.stderr).contains("allowed: a number from 1 on"), "{}", text(&output.stderr));
    }
}

#[test]
fn compare_says_the_difference_and_its_exit_status_is_for_a_ci() {
    let at_once = file("at-once.json", batch(true, 100).to_string());
    let one_by_one = file("one-by-one.json", batch(false, 100).to_string());
    let slow = file("slow.json", batch(true, 170).to_string());
    let fewer = {
        let mut fewer = batch(true, 100);
        fewer["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array_mut().unwrap().remove(0);
        file("fewer.json", fewer.to_string())
    };
    for (args, expected) in [
        (vec![at_once.as_str(), &at_once], 0),
        (vec![&one_by_one, &at_once], 0),
        (vec![&at_once, &one_by_one], 1),
        (vec![&at_once, &one_by_one, "--slower", "2.1"], 0),
        (vec![&at_once, &slow], 1),
        (vec![&at_once, &slow, "--slower=1.8", "--json"], 0),
        (vec![&slow, &at_once], 0),
        (vec![&at_once, &fewer], 1),
        (vec![&fewer, &at_once, "--json"], 1),
    ] {
        let output = dice(&[vec!["compare"], args.clone()].concat());
        assert_eq!(status(&output), expected, "{args:?}\n{}{}", text(&output.stdout), text(&output.stderr));
    }
    let shown = text(&dice(&["compare", &one_by_one, &at_once]).stdout);
    let sentence = "The same 3 rolls: one after the other 0.60 s, at once 0.30 s, 2.0 times faster. \
                    What decided the end: async_roll_1.";
    assert_eq!(shown.lines().next(), Some(sentence));
    assert!(
        shown.contains("\nFaster in B\n  GET /roll-async of dice-roller: 0.60 s to 0.30 s, 2.0 times\n"),
        "{shown}"
    );
    assert!(shown.contains("\nCritical path of A\n   50.0 %    0.30 s  async_roll_1 of dice-roller\n"), "{shown}");

    let difference: Value =
        serde_json::from_slice(&dice(&["compare", &one_by_one, &at_once, "--json"]).stdout).unwrap();
    assert_eq!((&difference["sentence"], &difference["same_structure"]), (&json!(sentence), &json!(true)));
    assert_eq!(
        (&difference["ratio"], &difference["only_in_a"], &difference["slower"]),
        (&json!(0.5), &json!([]), &json!([]))
    );
    assert_eq!(
        (&difference["a"]["duration_seconds"], &difference["b"]["duration_seconds"]),
        (&json!(0.6), &json!(0.3))
    );
}

#[test]
fn sentence_is_one_line_for_scripts_and_wrapped_at_a_terminal() {
    let found = skip::runs(Command::new("script").arg("--version"), "Debian: apt-get install bsdutils");
    if skip::unless(found, "REQUIRE_SCRIPT").is_none() {
        return;
    }
    let (a, b) =
        (file("wrapped-a.json", batch(false, 100).to_string()), file("wrapped-b.json", batch(true, 100).to_string()));
    for (args, columns) in [(vec!["show", &a], Some(70)), (vec!["compare", &a, &b], Some(70)), (vec!["show", &a], None)]
    {
        let sentence = text(&dice(&args).stdout).lines().next().unwrap().to_owned();
        assert!(sentence.len() > 80, "{sentence}");
        // The terminal of `script` has no size until it gets one.
        let size = columns.map_or_else(String::new, |columns| format!("stty rows 24 cols {columns}; "));
        let command = format!("{size}'{DICE}' {}", args.join(" "));
        let output = Command::new("script").args(["--quiet", "--command", &command, "/dev/null"]).output().unwrap();
        let shown = text(&output.stdout).replace('\r', "");
        let (wrapped, _) = shown.split_once("\n\n").unwrap();
        assert_eq!(wrapped.replace('\n', " "), sentence);
        assert!(wrapped.lines().all(|line| line.len() <= columns.unwrap_or(80)), "{wrapped}");
    }
}
