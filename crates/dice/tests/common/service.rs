//! One service of the system in a process of its own, at an address that it keeps when it is started again.

use serde_json::Value;
use test_support::{Process, Response, Signal, eventually, http, ports};

use super::dice;

/// Spans exist and nothing leaves: for tests that look at responses, metrics and lines alone.
pub(crate) const NO_EXPORT: (&str, &str) = ("OTEL_TRACES_EXPORTER", "none");

/// A service of `dice` with its settings, running or not.
pub(crate) struct Service {
    pub(crate) url: String,
    pub(crate) name: &'static str,
    settings: Vec<(String, String)>,
    process: Option<Process>,
}

impl Service {
    /// One that is not started yet, but whose address is known.
    pub(crate) fn planned(name: &'static str, settings: &[(&str, &str)]) -> Self {
        let port = ports::free().to_string();
        let url = format!("http://127.0.0.1:{port}");
        let settings = settings.iter().copied().chain([("PORT", &*port)]);
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self { url, name, settings, process: None }
    }

    /// One that listens.
    pub(crate) fn start(name: &'static str, settings: &[(&str, &str)]) -> Self {
        let mut service = Self::planned(name, settings);
        service.run();
        service
    }

    /// Starts it, or starts it again, and waits until it listens.
    pub(crate) fn run(&mut self) {
        let settings: Vec<_> = self.settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let process = dice(&[self.name], &settings);
        process.wait_for(|line| line.contains("starting up"));
        self.process = Some(process);
    }

    /// Ends it as a crash does.
    pub(crate) fn kill(&mut self) {
        self.process().signal(Signal::SIGKILL);
        self.process.as_mut().unwrap().wait();
    }

    /// SIGTERM; waits until it has exited, and returns all its log lines.
    pub(crate) fn stop(&mut self) -> Vec<Value> {
        let status = self.process.as_mut().unwrap().stop();
        assert!(status.success(), "{} exited with {status}: {}", self.name, self.process().text());
        self.process().json_lines()
    }

    /// Suspends all its threads, until [`Service::resume`].
    pub(crate) fn freeze(&self) {
        self.process().signal(Signal::SIGSTOP);
        let threads = format!("/proc/{}/task", self.process().id());
        eventually("all threads suspended", || {
            let mut threads = std::fs::read_dir(&threads).unwrap().map(|thread| thread.unwrap().path().join("stat"));
            threads.all(|stat| std::fs::read_to_string(stat).is_ok_and(|stat| stat.contains(") T "))).then_some(())
        });
    }

    pub(crate) fn resume(&self) {
        self.process().signal(Signal::SIGCONT);
    }

    pub(crate) fn get(&self, path: &str) -> Response {
        http::get(format!("{}{path}", self.url))
    }

    /// A sample of its metrics; 0 where there is none.
    pub(crate) fn metric(&self, sample: &str) -> f64 {
        http::metrics(&self.url).get(sample).copied().unwrap_or(0.0)
    }

    /// The sum of all samples of `name` whose labels hold `label`.
    pub(crate) fn sum(&self, name: &str, label: &str) -> f64 {
        let of_it = |sample: &str| sample.split('{').next() == Some(name) && sample.contains(label);
        http::metrics(&self.url).iter().filter(|(sample, _)| of_it(sample)).map(|(_, value)| value).sum()
    }

    /// Its log lines with that message, since it was last started.
    pub(crate) fn lines_of(&self, message: &str) -> Vec<Value> {
        self.process().json_lines_of(message)
    }

    /// Its resident memory, in MiB.
    pub(crate) fn memory(&self) -> f64 {
        mib(self.process().memory())
    }

    /// Its files and sockets.
    pub(crate) fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.process().id())).unwrap().count()
    }

    /// The process of the last start.
    pub(crate) fn process(&self) -> &Process {
        self.process.as_ref().unwrap_or_else(|| panic!("{} was not started", self.name))
    }
}

pub(crate) fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
