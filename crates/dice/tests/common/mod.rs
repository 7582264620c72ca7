//! The real system, in real processes on free ports, and all that leaves it: responses, log lines, metrics, spans.
//!
//! Spans are read through Tempo's query API. With `TEMPO_URL` and `OTEL_EXPORTER_OTLP_ENDPOINT` in the environment the
//! same tests read from that Tempo; without them each test has a trace viewer of its own.

#![allow(dead_code)] // each test program uses its own part

pub(crate) mod backend;
pub(crate) mod prometheus;
pub(crate) mod service;

use std::sync::atomic::{AtomicU16, Ordering};

use serde_json::Value;
use tempo_client::Trace;
use test_support::{Process, Response, http};

use backend::Backend;

/// Starts `dice` with these arguments and nothing in its environment but `environment`.
pub(crate) fn dice(args: &[&str], environment: &[(&str, &str)]) -> Process {
    Process::start(env!("CARGO_BIN_EXE_dice"), args, environment)
}

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

/// Starts `dice` without a subcommand, on ports that are free, and waits until it writes that the system runs.
pub(crate) fn launch(environment: &[(&str, &str)]) -> (Process, Ports) {
    launch_until("The system is running", environment)
}

/// Starts `dice` without a subcommand, on ports that are free, and waits until it writes `text`.
pub(crate) fn launch_until(text: &str, environment: &[(&str, &str)]) -> (Process, Ports) {
    for _ in 0..20 {
        let ports = Ports::next();
        let launcher = dice(&["--port-offset", &ports.offset.to_string()], environment);
        let not_free = |line: &str| line.contains("taken") || line.contains("cannot listen");
        if !not_free(&launcher.wait_for(|line| line.contains(text) || not_free(line))) {
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

    /// A `GET` to frontend.
    pub(crate) fn get(&self, path: &str) -> Response {
        http::get(self.ports.frontend() + path)
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

    /// All log lines so far.
    pub(crate) fn log(&self) -> Vec<Value> {
        self.launcher.json_lines()
    }

    /// The log lines with that message.
    pub(crate) fn log_of(&self, message: &str) -> Vec<Value> {
        self.launcher.json_lines_of(message)
    }
}
