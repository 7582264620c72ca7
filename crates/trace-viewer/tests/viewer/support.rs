//! Starts a viewer, sends it spans, asks it.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use reqwest::blocking::{Client, Response};
use serde_json::{Value, json};

/// A viewer that runs, and ends with the test.
pub(crate) struct Viewer {
    child: Child,
    log: BufReader<std::process::ChildStdout>,
    pub(crate) pages: String,
    pub(crate) otlp: String,
}

/// The program, with settings; nothing of the environment that the tests run in.
pub(crate) fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trace-viewer"));
    command.env_clear().args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

impl Viewer {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut child = program(&["--port=0", "--otlp-port=0"]).args(arguments).spawn().expect("the viewer starts");
        let mut log = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut line = String::new();
        log.read_line(&mut line).expect("a first log line");
        let first: Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(first["message"], "Trace viewer starting up");
        let url = |field: &str| format!("http://{}", first[field].as_str().expect("an address"));
        Self { child, log, pages: url("address"), otlp: url("otlp_address") }
    }

    pub(crate) fn get(&self, path: &str) -> Response {
        client().get(format!("{}{path}", self.pages)).send().expect("an answer")
    }

    pub(crate) fn json(&self, path: &str) -> Value {
        let answer = self.get(path);
        assert_eq!(answer.status(), 200, "{path}");
        answer.json().expect("JSON")
    }

    /// Sends spans of one service; all must be taken.
    pub(crate) fn send(&self, service: &str, spans: &[Value]) {
        let answer = post_json(&format!("{}/v1/traces", self.otlp), &traces(service, spans));
        assert_eq!((answer.status().as_u16(), answer.json().ok()), (200, Some(json!({"partialSuccess": {}}))));
    }

    /// A figure from `/metrics`.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let text = self.get("/metrics").text().expect("text");
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} "))).expect("the metric");
        line.parse().expect("a number")
    }

    /// The most memory in bytes that the process has had resident, where the system tells.
    pub(crate) fn memory(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        most.trim().trim_end_matches(" kB").parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(sent.expect("kill runs").success());
    }

    /// Waits for the end; the log lines that were left.
    pub(crate) fn wait(mut self) -> (ExitStatus, Vec<Value>) {
        let status = self.child.wait().expect("an end");
        let lines = (&mut self.log).lines().map(|line| serde_json::from_str(&line.expect("text")).expect("JSON"));
        (status, lines.collect())
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn client() -> Client {
    // Another test may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::new()
}

pub(crate) fn post_json(url: &str, body: &Value) -> Response {
    post(url, "application/json", body.to_string().into_bytes())
}

pub(crate) fn post(url: &str, content_type: &str, body: Vec<u8>) -> Response {
    client().post(url).header("content-type", content_type).body(body).send().expect("an answer")
}

/// A message with spans of one service.
pub(crate) fn traces(service: &str, spans: &[Value]) -> Value {
    let resource = json!({"attributes": [{"key": "service.name", "value": {"stringValue": service}}]});
    json!({"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": {}, "spans": spans}]}]})
}

/// A new trace id, with a leading zero.
pub(crate) fn new_trace() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(1);
    format!("0{:015x}{:016x}", now() & 0xfff_ffff_ffff_ffff, COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Nanoseconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_nanos() as u64
}

/// A span from and to so many milliseconds after now; `number` 1 to 9 makes its id, `parent` 0 is none.
pub(crate) fn span(trace: &str, number: u64, parent: u64, name: &str, from: u64, to: u64) -> Value {
    static ORIGIN: std::sync::OnceLock<u64> = std::sync::OnceLock::new();
    let origin = ORIGIN.get_or_init(now);
    let id = |number: u64| if number == 0 { String::new() } else { format!("{number:016x}") };
    json!({
        "traceId": trace,
        "spanId": id(number),
        "parentSpanId": id(parent),
        "name": name,
        "kind": 1,
        "startTimeUnixNano": (origin + from * 1_000_000).to_string(),
        "endTimeUnixNano": (origin + to * 1_000_000).to_string(),
    })
}

/// `span` with more fields.
pub(crate) fn with(mut span: Value, fields: Value) -> Value {
    span.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
    span
}
