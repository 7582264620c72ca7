//! The real system, in real processes on free ports, and all that leaves it: responses, log lines, metrics, spans.
//!
//! Spans are read through Tempo's query API. With `TEMPO_URL` and `OTEL_EXPORTER_OTLP_ENDPOINT` in the environment the
//! same tests read from that Tempo; without them each test has a trace viewer of its own.

#![allow(dead_code)] // each test program uses its own part

pub(crate) mod backend;
pub(crate) mod prometheus;
pub(crate) mod service;

use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;
use tempo_client::Trace;
use test_support::{Process, Response, eventually, http, ports};

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

/// Where the parts of a system listen, before the offset.
pub(crate) const PORTS: [u16; 6] = [3200, 4317, 4318, 8106, 8107, 8108];

/// Where the parts of one system listen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ports {
    pub(crate) offset: u16,
}

impl Ports {
    /// Ports that are free: another offset at each call, and other ones in each process. All are below those of
    /// [`ports::free`], and so below those that the system gives to clients.
    pub(crate) fn next() -> Self {
        static CALLS: AtomicU32 = AtomicU32::new(0);
        // Steps of 10 keep 8106, 8107 and 8108 of two systems apart.
        let next = || CALLS.fetch_add(1, Ordering::Relaxed) + std::process::id() * 61;
        let mut systems = (0..1000).map(|_| Self { offset: 1000 + (next() % 1000) as u16 * 10 });
        systems.find(|system| system.are_free()).unwrap()
    }

    pub(crate) fn are_free(self) -> bool {
        PORTS.iter().all(|port| ports::is_free(port + self.offset))
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
    // The ports were free a moment ago; another process may have taken them since.
    eventually("a system whose ports stay free", || {
        let ports = Ports::next();
        let launcher = dice(&["--port-offset", &ports.offset.to_string()], environment);
        let not_free = |line: &str| line.contains("taken") || line.contains("cannot listen");
        let line = launcher.wait_for(|line| line.contains(text) || not_free(line));
        (!not_free(&line)).then_some((launcher, ports))
    })
}

impl System {
    /// Starts the system with these settings. Its log lines are JSON, its spans are in a backend that runs on after it.
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
