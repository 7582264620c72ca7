//! Starts a viewer, sends it spans, reads from it.

use std::process::ExitStatus;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use reqwest::blocking::{Client, Response};
use serde_json::{Value, json};
use test_support::{Process, Signal};

/// A running viewer, stopped at the end of the test.
pub(crate) struct Viewer {
    process: Process,
    pub(crate) pages: String,
    pub(crate) otlp: String,
    pub(crate) otlp_grpc: String,
}

/// The program, with only these variables in its environment.
pub(crate) fn program(arguments: &[&str], environment: &[(&str, &str)]) -> Process {
    Process::start(env!("CARGO_BIN_EXE_trace-viewer"), arguments, environment)
}

impl Viewer {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let process = program(&[&["--port=0", "--otlp-port=0", "--otlp-grpc-port=0"], arguments].concat(), &[]);
        Self {
            pages: process.url("address"),
            otlp: process.url("otlp_address"),
            otlp_grpc: process.url("otlp_grpc_address"),
            process,
        }
    }

    pub(crate) fn get(&self, path: &str) -> Response {
        client().get(format!("{}{path}", self.pages)).send().expect("a response")
    }

    pub(crate) fn json(&self, path: &str) -> Value {
        let response = self.get(path);
        assert_eq!(response.status(), 200, "{path}");
        response.json().expect("JSON")
    }

    /// Sends spans of one service; all must be accepted.
    pub(crate) fn send(&self, service: &str, spans: &[Value]) {
        let response = post_json(&format!("{}/v1/traces", self.otlp), &traces(service, spans));
        assert_eq!((response.status().as_u16(), response.json().ok()), (200, Some(json!({"partialSuccess": {}}))));
    }

    /// A figure from `/metrics`.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let text = self.get("/metrics").text().expect("text");
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} "))).expect("the metric");
        line.parse().expect("a number")
    }

    /// The peak resident memory in bytes, on Linux.
    pub(crate) fn memory(&self) -> Option<u64> {
        cfg!(target_os = "linux").then(|| self.process.peak_memory())
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// SIGTERM, and [`Viewer::wait`].
    pub(crate) fn stop(self) -> (ExitStatus, Vec<Value>) {
        self.signal(Signal::SIGTERM);
        self.wait()
    }

    /// Waits until it has exited, and returns its log lines.
    pub(crate) fn wait(mut self) -> (ExitStatus, Vec<Value>) {
        (self.process.wait(), self.process.json_lines())
    }
}

pub(crate) fn client() -> Client {
    test_support::http::tls();
    Client::new()
}

pub(crate) fn post_json(url: &str, body: &Value) -> Response {
    post(url, "application/json", body.to_string().into_bytes())
}

pub(crate) fn post(url: &str, content_type: &str, body: Vec<u8>) -> Response {
    client().post(url).header("content-type", content_type).body(body).send().expect("a response")
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

/// A span `from` and `to` milliseconds after now; its id is `number`; `parent` 0 is none.
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
