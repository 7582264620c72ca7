//! Runs what the stack queries from Prometheus: promtool checks configuration, rules and the rules' tests; then a real Prometheus
//! scrapes the real services after real traffic, and every expression of the dashboard must return data.
//!
//! Without `prometheus` and `promtool` on the PATH (Debian: `apt-get install prometheus`) the tests say SKIPPED and why;
//! with `REQUIRE_PROMETHEUS=1` they fail instead.
#![allow(clippy::unwrap_used)] // a panic is how a test reports

#[path = "common/mod.rs"]
mod common;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use serde_json::Value;
use test_support::{PATIENCE, http, skip};

use common::launch;
use common::prometheus::{Prometheus, read};

/// Panels over series that Tempo makes out of spans. There is no Tempo here: these must parse, and need not return data.
const NEEDS_TEMPO: [&str; 1] = ["Duration of server spans, p95, with exemplars"];

#[test]
fn promtool_accepts_configuration_and_rules_and_passes_their_tests() {
    if !skip::has_prometheus("promtool") {
        return;
    }
    let observability: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../observability");
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
    if !skip::has_prometheus("prometheus") {
        return;
    }
    let (_launcher, ports) = launch(&[("ROLL_DELAY_MAX_MS", "20")]);
    let own = ["die-service-stage4:8106", "dice-roller-stage4:8107", "frontend-stage4:8108"].map(|target| {
        let port: u16 = target.rsplit_once(':').unwrap().1.parse().unwrap();
        (target, format!("127.0.0.1:{}", port + ports.offset))
    });
    let prometheus = Prometheus::start(&own.each_ref().map(|(target, own)| (*target, own.as_str())));

    // Rates need traffic on both sides of a scrape, so keep rolling until each expression has had data.
    let mut open: Vec<_> = dashboard_expressions().into_iter().chain(rule_metrics()).collect();
    let deadline = Instant::now() + PATIENCE;
    while !open.is_empty() && Instant::now() < deadline {
        roll(&ports.frontend());
        open.retain(|(name, expression)| {
            let samples = prometheus.query(expression);
            samples.iter().all(|sample| sample["value"][1] == "NaN") && !NEEDS_TEMPO.contains(&name.as_str())
        });
        std::thread::sleep(std::time::Duration::from_secs(1));
    }
    assert!(open.is_empty(), "no data within {PATIENCE:?} for\n{open:#?}");

    assert_rules_evaluate(&prometheus);
}

/// Title of the panel and expression, of every panel with queries to Prometheus.
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

/// A little of everything: each die alone and in a batch, an unknown die, a bad request.
fn roll(frontend: &str) {
    for die in ["fair", "risky", "extreme", "no-such-die"] {
        for path in [
            format!("/roll?die={die}"),
            format!("/roll-async?die={die}&times=4"),
            format!("/roll-async?die={die}&times=0"),
        ] {
            http::get(format!("{frontend}{path}"));
        }
    }
}

/// Each rule was evaluated without an error, and none finds fault with a healthy system.
fn assert_rules_evaluate(prometheus: &Prometheus) {
    let groups = prometheus.get("rules", &[]);
    let rules = groups["groups"][0]["rules"].as_array().unwrap().clone();
    assert!(rules.len() >= 6, "{groups}");
    for rule in rules {
        assert_eq!(rule["health"], "ok", "{rule}");
        assert_eq!(rule["state"], "inactive", "{rule}");
    }
}
