//! The real Prometheus, with the configuration of this repository turned to the parts that a test has started.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::common::{answer, eventually, http};

/// The repository's own file of that path.
pub(crate) fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)).unwrap()
}

/// Whether Prometheus can be run here. If not, the test has nothing to do, and says so.
#[allow(clippy::disallowed_methods)] // a setting of the tests, not of a service
pub(crate) fn available() -> bool {
    let runs = Command::new("prometheus").arg("--version").output().is_ok_and(|output| output.status.success());
    if !runs {
        assert!(std::env::var("REQUIRE_PROMETHEUS").is_err(), "no prometheus, and REQUIRE_PROMETHEUS is set");
        println!("SKIPPED: prometheus is not installed (Debian: apt-get install prometheus)");
    }
    runs
}

pub(crate) struct Prometheus {
    pub(crate) url: String,
    process: Child,
    directory: PathBuf,
}

impl Prometheus {
    /// Each of `changes` is what stands in the configuration of the stack, and what stands there instead.
    pub(crate) fn start(changes: &[(&str, &str)]) -> Self {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let directory = std::env::temp_dir().join(format!("doctor-prometheus-{}", address.port()));
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
        let process = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", directory.join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--enable-feature=exemplar-storage")
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let prometheus = Self { url: format!("http://{address}"), process, directory };
        let ready = format!("{}/-/ready", prometheus.url);
        eventually("Prometheus is ready", || {
            http().get(&ready).send().is_ok_and(|answer| answer.status().is_success()).then_some(())
        });
        prometheus
    }

    /// Waits until there is a series of that name.
    pub(crate) fn wait_for(&self, name: &str) {
        eventually(name, || {
            let told = answer(http().get(format!("{}/api/v1/query", self.url)).query(&[("query", name)])).json();
            told["data"]["result"][0].is_object().then_some(())
        });
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}
