//! One process of the system, on an address that it keeps when it is started again.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::common::process::Process;
use crate::common::{Answer, answer, eventually, http, metrics};

/// Spans exist and nothing leaves: for tests that look at answers, metrics and lines alone.
pub(crate) const NO_EXPORT: (&str, &str) = ("OTEL_TRACES_EXPORTER", "none");

/// A role of `dice` with its settings, running or not.
pub(crate) struct Role {
    pub(crate) url: String,
    pub(crate) name: &'static str,
    settings: Vec<(String, String)>,
    process: Option<Process>,
}

impl Role {
    /// One that is not started yet, but whose address is known.
    pub(crate) fn planned(name: &'static str, settings: &[(&str, &str)]) -> Self {
        let port = free_port();
        let port = [("PORT".to_owned(), port.to_string())];
        let url = format!("http://127.0.0.1:{}", port[0].1);
        let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Self { url, name, settings: settings.chain(port).collect(), process: None }
    }

    /// One that listens.
    pub(crate) fn start(name: &'static str, settings: &[(&str, &str)]) -> Self {
        let mut role = Self::planned(name, settings);
        role.run();
        role
    }

    /// Starts it, again if need be, and waits until it listens.
    pub(crate) fn run(&mut self) {
        let settings: Vec<_> = self.settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let process = Process::start(&[self.name], &settings);
        process.wait_for(|line| line.contains("starting up"));
        self.process = Some(process);
    }

    /// Ends it as a crash does.
    pub(crate) fn kill(&mut self) {
        self.process().signal(Signal::SIGKILL);
        self.process.as_mut().unwrap().wait();
    }

    /// Asks it to stop, waits, and returns all that it wrote.
    pub(crate) fn stop(mut self) -> Vec<Value> {
        let status = self.process.as_mut().unwrap().stop();
        assert!(status.success(), "{} ended with {status}: {}", self.name, self.process().text());
        self.lines()
    }

    /// Stops all its threads where they are, until [`Role::go_on`].
    pub(crate) fn freeze(&self) {
        self.process().signal(Signal::SIGSTOP);
        let threads = format!("/proc/{}/task", self.process().id());
        eventually("a process that does not move", || {
            let mut threads = std::fs::read_dir(&threads).unwrap().map(|thread| thread.unwrap().path().join("stat"));
            threads.all(|stat| std::fs::read_to_string(stat).is_ok_and(|stat| stat.contains(") T "))).then_some(())
        });
    }

    pub(crate) fn go_on(&self) {
        self.process().signal(Signal::SIGCONT);
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        answer(http().get(format!("{}{path}", self.url)))
    }

    /// A sample of its metrics; 0 where there is none.
    pub(crate) fn metric(&self, sample: &str) -> f64 {
        metrics(&self.url).get(sample).copied().unwrap_or(0.0)
    }

    /// The sum of all samples of `name` whose labels hold `label`.
    pub(crate) fn sum(&self, name: &str, label: &str) -> f64 {
        let of_it = |sample: &str| sample.split('{').next() == Some(name) && sample.contains(label);
        metrics(&self.url).iter().filter(|(sample, _)| of_it(sample)).map(|(_, value)| value).sum()
    }

    /// Its log lines since it was last started.
    pub(crate) fn lines(&self) -> Vec<Value> {
        self.process().lines().iter().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Those with that message.
    pub(crate) fn lines_of(&self, message: &str) -> Vec<Value> {
        self.lines().into_iter().filter(|line| line["message"] == message).collect()
    }

    /// Its resident memory, in MiB.
    pub(crate) fn memory(&self) -> f64 {
        resident(self.process().id())
    }

    /// Its files and sockets.
    pub(crate) fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.process().id())).unwrap().count()
    }

    fn process(&self) -> &Process {
        self.process.as_ref().unwrap_or_else(|| panic!("{} was not started", self.name))
    }
}

/// The resident memory of a process, in MiB.
pub(crate) fn resident(process: i32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim_end_matches("kB").trim().parse::<f64>().unwrap() / 1024.0
}

/// A port below those that the system gives to clients, so that it is still free when a killed process comes back.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let next = u32::from(NEXT.fetch_add(1, Ordering::Relaxed)) + std::process::id() * 61;
        let port = 20_000 + (next % 12_000) as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
