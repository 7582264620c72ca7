//! The real Prometheus, with the configuration of this repository, scraping what a test has started.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use test_support::{Process, Signal, eventually, http, ports};

/// The repository's own file of that path.
pub(crate) fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)).unwrap()
}

/// Gone when dropped.
pub(crate) struct Prometheus {
    pub(crate) url: String,
    process: Process,
    directory: PathBuf,
}

impl Prometheus {
    /// Each of `changes` is a text of the stack's configuration, and what replaces it.
    pub(crate) fn start(changes: &[(&str, &str)]) -> Self {
        let port = ports::free();
        let address = format!("127.0.0.1:{port}");
        let directory = std::env::temp_dir().join(format!("dice-prometheus-{}-{port}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let mut configuration = read("observability/prometheus.yml");
        let quicker = [("scrape_interval: 5s", "scrape_interval: 1s"), ("scrape_interval: 15s", "scrape_interval: 1s")];
        for (right, other) in quicker.iter().chain(changes) {
            assert!(configuration.contains(right), "{right} is not in {configuration}");
            configuration = configuration.replace(right, other);
        }
        let file = directory.join("prometheus.yml");
        std::fs::write(&file, configuration).unwrap();
        std::fs::write(directory.join("prometheus-rules.yml"), read("observability/prometheus-rules.yml")).unwrap();
        let mut command = Command::new("prometheus");
        command
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", directory.join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .args(["--web.enable-remote-write-receiver", "--enable-feature=exemplar-storage"]);
        let process = Process::spawn(command).unwrap();
        let prometheus = Self { url: format!("http://{address}"), process, directory };
        let ready = http::client().get(format!("{}/-/ready", prometheus.url));
        eventually("Prometheus is ready", || {
            let response = ready.try_clone().unwrap().send();
            response.is_ok_and(|response| response.status().is_success()).then_some(())
        });
        prometheus
    }

    /// Suspends it.
    pub(crate) fn freeze(&self) {
        self.process.signal(Signal::SIGSTOP);
    }

    /// `data` of a response of the query API.
    pub(crate) fn get(&self, path: &str, query: &[(&str, &str)]) -> Value {
        let request = http::client().get(format!("{}/api/v1/{path}", self.url)).query(query);
        let mut response = http::send(request).json();
        assert_eq!(response["status"], "success", "{query:?}: {response}");
        response["data"].take()
    }

    /// The samples that `expression` returns.
    pub(crate) fn query(&self, expression: &str) -> Vec<Value> {
        self.get("query", &[("query", expression)])["result"].as_array().unwrap().clone()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}
