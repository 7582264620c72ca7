//! Runs what the stack asks Prometheus: promtool checks configuration, rules and the rules' tests; then a real Prometheus
//! scrapes the real services after real traffic, and every expression of the dashboard must return data.
//!
//! Without `prometheus` and `promtool` on the PATH (Debian: `apt-get install prometheus`) the tests say SKIPPED and why;
//! with `REQUIRE_PROMETHEUS=1` they fail instead.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // a panic is how a test reports; SKIPPED goes to whoever runs it

use std::{
    collections::BTreeSet,
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

/// Panels over series that Tempo makes out of spans. There is no Tempo here: these must parse, and need not return data.
const NEEDS_TEMPO: [&str; 1] = ["Duration of server spans, p95, with exemplars"];

/// How long the system may take to start, and then to make data for every expression.
const PATIENCE: Duration = Duration::from_secs(90);

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// Whether `tool` can be run here. If not, the test has nothing to do, and says so.
fn available(tool: &str) -> bool {
    let runs = Command::new(tool).arg("--version").output().is_ok_and(|output| output.status.success());
    if !runs {
        assert!(
            std::env::var_os("REQUIRE_PROMETHEUS").is_none(),
            "{tool} is not installed, and REQUIRE_PROMETHEUS is set"
        );
        println!("SKIPPED: {tool} is not installed (Debian: apt-get install prometheus)");
    }
    runs
}

#[test]
fn promtool_accepts_configuration_and_rules_and_passes_their_tests() {
    if !available("promtool") {
        return;
    }
    let observability = root().join("observability");
    for arguments in [
        ["check", "config", "prometheus.yml"],
        ["check", "rules", "prometheus-rules.yml"],
        ["test", "rules", "prometheus-rules.test.yml"],
    ] {
        let output = Command::new("promtool").args(arguments).current_dir(&observability).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "promtool {}\n{said}", arguments.join(" "));
    }
}

#[test]
fn every_expression_returns_data_after_real_traffic() {
    if !available("prometheus") {
        return;
    }
    let client = client();
    let system = System::start();
    system.wait_until_ready(&client);
    let prometheus = Prometheus::start(&system);
    prometheus.wait_until_ready(&client);

    // Rates need traffic on both sides of a scrape, so keep rolling until each expression has been answered with data.
    let mut open: Vec<_> = dashboard_expressions().into_iter().chain(rule_metrics()).collect();
    let deadline = Instant::now() + PATIENCE;
    while !open.is_empty() && Instant::now() < deadline {
        system.roll(&client);
        open.retain(|(name, expression)| {
            let samples = prometheus.query(&client, expression);
            samples == 0 && !NEEDS_TEMPO.contains(&name.as_str())
        });
        std::thread::sleep(Duration::from_secs(1));
    }
    assert!(open.is_empty(), "no data within {PATIENCE:?} for\n{open:#?}");

    prometheus.assert_rules_evaluate(&client);
}

/// Title of the panel and expression, of every panel that asks Prometheus.
fn dashboard_expressions() -> Vec<(String, String)> {
    let dashboard: Value = serde_json::from_str(&read("grafana-dashboards/stage4-dice-roller.json")).unwrap();
    let mut expressions = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        if panel["datasource"]["type"] == "prometheus" {
            for target in panel["targets"].as_array().unwrap() {
                let expression = target["expr"].as_str().unwrap();
                let expression = expression.replace("$__rate_interval", "1m").replace("$__range", "1h");
                expressions.push((panel["title"].as_str().unwrap().to_owned(), expression));
            }
        }
    }
    assert!(expressions.len() > 40, "the dashboard's expressions were not found");
    expressions
}

/// Every metric that an alert looks at. An alert is silent in a healthy system, so its whole expression returns nothing;
/// but one over a metric that does not exist would be silent for ever.
fn rule_metrics() -> Vec<(String, String)> {
    let rules: Value = serde_saphyr::from_str(&read("observability/prometheus-rules.yml")).unwrap();
    let mut metrics = BTreeSet::new();
    for alert in rules["groups"][0]["rules"].as_array().unwrap() {
        let expression = alert["expr"].as_str().unwrap();
        // In these files a metric's name always stands before its labels or its range.
        for (end, _) in expression.match_indices(['{', '[']) {
            let before = &expression[..end];
            let name = &before[before.rfind(|c: char| !c.is_ascii_alphanumeric() && c != '_').map_or(0, |at| at + 1)..];
            if !name.is_empty() {
                metrics.insert((alert["alert"].as_str().unwrap().to_owned(), name.to_owned()));
            }
        }
    }
    assert!(metrics.len() > 10, "the alerts' metrics were not found");
    metrics.into_iter().collect()
}

/// A client without TLS: everything here is on this machine.
fn client() -> reqwest::blocking::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::blocking::Client::builder().timeout(Duration::from_secs(10)).build().unwrap()
}

fn wait_until_ready(client: &reqwest::blocking::Client, url: &str) {
    let deadline = Instant::now() + PATIENCE;
    while !client.get(url).send().is_ok_and(|answer| answer.status().is_success()) {
        assert!(Instant::now() < deadline, "{url} does not become ready");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The whole system as `cargo run` starts it, on ports of its own.
struct System {
    launcher: Child,
    offset: u16,
}

impl System {
    fn start() -> Self {
        let ports = [3200, 4318, 8106, 8107, 8108];
        let free = |offset: &u16| ports.iter().all(|port| TcpListener::bind(("127.0.0.1", port + offset)).is_ok());
        let offset = (10_000..50_000).step_by(97).find(free).expect("five free ports");
        let launcher = Command::new(env!("CARGO_BIN_EXE_dice"))
            .args(["--port-offset", &offset.to_string()])
            .env("ROLL_DELAY_MAX_MS", "20")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { launcher, offset }
    }

    fn url(&self, port: u16, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", port + self.offset)
    }

    fn wait_until_ready(&self, client: &reqwest::blocking::Client) {
        for port in [8106, 8107, 8108] {
            wait_until_ready(client, &self.url(port, "/ready"));
        }
    }

    /// A little of everything: each die alone and in a batch, an unknown die, a bad request.
    fn roll(&self, client: &reqwest::blocking::Client) {
        for die in ["fair", "risky", "extreme", "no-such-die"] {
            for path in [
                format!("/roll?die={die}"),
                format!("/roll-async?die={die}&times=4"),
                format!("/roll-async?die={die}&times=0"),
            ] {
                client.get(self.url(8108, &path)).send().unwrap();
            }
        }
    }
}

impl Drop for System {
    /// The services notice that their launcher is gone, and stop.
    fn drop(&mut self) {
        let _ = self.launcher.kill();
        let _ = self.launcher.wait();
    }
}

/// A Prometheus with the stack's own configuration, its targets turned to this system's ports.
struct Prometheus {
    process: Child,
    port: u16,
    directory: PathBuf,
}

impl Prometheus {
    fn start(system: &System) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let directory = std::env::temp_dir().join(format!("stack-queries-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let mut configuration =
            read("observability/prometheus.yml").replace("scrape_interval: 5s", "scrape_interval: 1s");
        for (service, own) in [("die-service", 8106), ("dice-roller", 8107), ("frontend", 8108)] {
            let target = format!("{service}-stage4:{own}");
            assert!(configuration.contains(&target), "Prometheus does not scrape {target}");
            configuration = configuration.replace(&target, &format!("127.0.0.1:{}", own + system.offset));
        }
        fs::write(directory.join("prometheus.yml"), configuration).unwrap();
        fs::write(directory.join("prometheus-rules.yml"), read("observability/prometheus-rules.yml")).unwrap();
        let process = Command::new("prometheus")
            .arg(format!("--config.file={}", directory.join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", directory.join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .args(["--web.enable-remote-write-receiver", "--enable-feature=exemplar-storage"])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { process, port, directory }
    }

    fn wait_until_ready(&self, client: &reqwest::blocking::Client) {
        wait_until_ready(client, &format!("http://127.0.0.1:{}/-/ready", self.port));
    }

    fn get(&self, client: &reqwest::blocking::Client, path: &str, parameters: &[(&str, &str)]) -> Value {
        let url = format!("http://127.0.0.1:{}/api/v1/{path}", self.port);
        let answer: Value = client.get(url).query(parameters).send().unwrap().json().unwrap();
        assert_eq!(answer["status"], "success", "{parameters:?}: {answer}");
        answer["data"].clone()
    }

    /// How many samples `expression` returns that are numbers.
    fn query(&self, client: &reqwest::blocking::Client, expression: &str) -> usize {
        let data = self.get(client, "query", &[("query", expression)]);
        data["result"].as_array().unwrap().iter().filter(|sample| sample["value"][1] != "NaN").count()
    }

    /// Each rule was evaluated without an error, and none finds fault with a healthy system.
    fn assert_rules_evaluate(&self, client: &reqwest::blocking::Client) {
        let groups = self.get(client, "rules", &[]);
        let rules = groups["groups"][0]["rules"].as_array().unwrap().clone();
        assert!(rules.len() >= 6, "{groups}");
        for rule in rules {
            assert_eq!(rule["health"], "ok", "{rule}");
            assert_eq!(rule["state"], "inactive", "{rule}");
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}
