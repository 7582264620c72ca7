//! The real system, in real processes on free ports, and all that it leaves behind: answers, log lines, metrics, spans.
//!
//! Spans are read through Tempo's query API. With `TEMPO_URL` and `OTEL_EXPORTER_OTLP_ENDPOINT` in the environment the
//! same tests ask that Tempo; without them each test has a trace viewer of its own.

#![allow(dead_code)] // each test program uses its own part

pub(crate) mod backend;
pub(crate) mod process;

use std::collections::BTreeMap;
use std::sync::Once;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use reqwest::blocking::{Client, RequestBuilder};
use serde_json::Value;
use tempo_client::Trace;

use backend::Backend;
use process::Process;

/// Longer than anything takes, on a machine that is busy with other things.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A running system of three services, and the backend that has its spans.
pub(crate) struct System {
    pub(crate) launcher: Process,
    pub(crate) ports: Ports,
    pub(crate) backend: Backend,
}

/// Where the parts of one system listen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ports {
    pub(crate) offset: u16,
}

impl Ports {
    /// Another offset at each call, and other ones in each process.
    pub(crate) fn next() -> Self {
        static CALLS: AtomicU16 = AtomicU16::new(0);
        let call = CALLS.fetch_add(1, Ordering::Relaxed) % 20;
        let process = std::process::id() % 250;
        // Steps of 10 keep 8106, 8107 and 8108 of two systems apart.
        Self { offset: 1000 + (process as u16) * 200 + call * 10 }
    }

    pub(crate) fn frontend(self) -> String {
        self.url(8108)
    }

    pub(crate) fn dice_roller(self) -> String {
        self.url(8107)
    }

    pub(crate) fn die_service(self) -> String {
        self.url(8106)
    }

    pub(crate) fn viewer(self) -> String {
        self.url(3200)
    }

    pub(crate) fn url(self, port: u16) -> String {
        format!("http://127.0.0.1:{}", port + self.offset)
    }
}

/// Starts `dice` without a role, on ports that are free, and waits until it says that the system runs.
pub(crate) fn launch(environment: &[(&str, &str)]) -> (Process, Ports) {
    launch_until("The system is running", environment)
}

/// Starts `dice` without a role, on ports that are free, and waits until it says `said`.
pub(crate) fn launch_until(said: &str, environment: &[(&str, &str)]) -> (Process, Ports) {
    for _ in 0..20 {
        let ports = Ports::next();
        let launcher = Process::start(&["--port-offset", &ports.offset.to_string()], environment);
        let not_free = |line: &str| line.contains("taken") || line.contains("cannot listen");
        if !not_free(&launcher.wait_for(|line| line.contains(said) || not_free(line))) {
            return (launcher, ports);
        }
    }
    panic!("no free ports after 20 tries");
}

impl System {
    /// Starts the system with these settings. Its log lines are JSON, its spans are in a backend that outlives it.
    pub(crate) fn start(environment: &[(&str, &str)]) -> Self {
        let backend = Backend::start();
        let own = [("LOG_FORMAT", "json"), ("OTEL_EXPORTER_OTLP_ENDPOINT", backend.otlp.as_str())];
        let (launcher, ports) = launch(&[&own, environment].concat());
        Self { launcher, ports, backend }
    }

    /// Asks frontend.
    pub(crate) fn get(&self, path: &str) -> Answer {
        answer(http().get(self.ports.frontend() + path))
    }

    /// Stops all as Ctrl-C does, after which every span and line has left.
    pub(crate) fn stop(&mut self) {
        let status = self.launcher.stop();
        assert!(status.success(), "{status}: {}", self.launcher.text());
    }

    /// The trace of `id`, once the backend has at least `spans` of it.
    pub(crate) fn trace(&self, id: &str, spans: usize) -> Trace {
        self.backend.trace(id, spans)
    }

    /// All log lines so far, as JSON.
    pub(crate) fn log(&self) -> Vec<Value> {
        self.launcher.lines().iter().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The log lines with that message.
    pub(crate) fn log_of(&self, message: &str) -> Vec<Value> {
        self.log().into_iter().filter(|line| line["message"] == message).collect()
    }
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) traceresponse: Option<String>,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub(crate) fn trace_id(&self) -> String {
        self.json()["trace_id"].as_str().unwrap_or_else(|| panic!("no trace_id in {}", self.text)).to_owned()
    }
}

/// A client that waits as long as the services do.
pub(crate) fn http() -> Client {
    static TLS: Once = Once::new();
    TLS.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
    Client::builder().no_proxy().timeout(PATIENCE).build().unwrap()
}

pub(crate) fn answer(request: RequestBuilder) -> Answer {
    let response = request.send().unwrap();
    let traceresponse = response.headers().get("traceresponse").map(|value| value.to_str().unwrap().to_owned());
    Answer { status: response.status().as_u16(), traceresponse, text: response.text().unwrap() }
}

/// `/metrics` of the service at `url`: every sample with its name and labels as they are written there.
pub(crate) fn metrics(url: &str) -> BTreeMap<String, f64> {
    let text = answer(http().get(format!("{url}/metrics"))).text;
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples.map(|line| line.rsplit_once(' ').unwrap()).map(|(name, v)| (name.to_owned(), v.parse().unwrap())).collect()
}

/// Asks again and again until `look` finds something.
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
