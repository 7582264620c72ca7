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
    let (_launcher, ports) = launch(&[("ROLL_DELAY_MAX_MS", "100")]);
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
    // Rates of two counters that first appeared in different scrapes differ until both fill the window of a minute.
    let began = Instant::now();
    loop {
        let faults = [pending_alerts(&prometheus), panels_that_are_not_green(&prometheus)].concat();
        if faults.is_empty() {
            break;
        }
        assert!(began.elapsed() < 2 * PATIENCE, "of a healthy system, after two windows: {faults:#?}");
        roll(&ports.frontend());
        std::thread::sleep(std::time::Duration::from_secs(1));
    }
    assert_legends_fit(&prometheus);
    assert_rolled_faces_are_shown(&prometheus);
    assert_processor_time_has_fractions(&prometheus);
}

/// The panels with queries to Prometheus.
fn panels() -> Vec<Value> {
    let mut dashboard: Value = serde_json::from_str(&read("grafana-dashboards/stage4-dice-roller.json")).unwrap();
    let panels = dashboard["panels"].as_array_mut().unwrap();
    panels.retain(|panel| panel["datasource"]["type"] == "prometheus");
    std::mem::take(panels)
}

/// Legend and expression of each query of a panel.
fn queries(panel: &Value) -> Vec<(String, String)> {
    let queries = panel["targets"].as_array().unwrap().iter().map(|target| {
        let expression = target["expr"].as_str().unwrap();
        let expression = expression.replace("$__rate_interval", "1m").replace("$__range", "1h");
        (target["legendFormat"].as_str().unwrap_or_default().to_owned(), expression)
    });
    queries.collect()
}

/// Title of the panel and expression. One that shows only what is above 0 is taken without that.
fn dashboard_expressions() -> Vec<(String, String)> {
    let mut expressions = Vec::new();
    for panel in panels() {
        for (_, expression) in queries(&panel) {
            let whole = expression.strip_suffix(" > 0").or(expression.strip_suffix(" > 0.5")).unwrap_or(&expression);
            expressions.push((panel["title"].as_str().unwrap().to_owned(), whole.to_owned()));
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

/// Each rule was evaluated without an error.
fn assert_rules_evaluate(prometheus: &Prometheus) {
    let groups = prometheus.get("rules", &[]);
    let rules = groups["groups"][0]["rules"].as_array().unwrap().clone();
    assert!(rules.len() >= 6, "{groups}");
    for rule in rules {
        assert_eq!(rule["health"], "ok", "{rule}");
    }
}

/// Alerts that find fault with the system.
fn pending_alerts(prometheus: &Prometheus) -> Vec<String> {
    let groups = prometheus.get("rules", &[]);
    let rules = groups["groups"][0]["rules"].as_array().unwrap();
    rules
        .iter()
        .filter(|rule| rule["state"] != "inactive")
        .map(|rule| format!("{}: {}", rule["name"], rule["state"]))
        .collect()
}

fn value(sample: &Value) -> f64 {
    sample["value"][1].as_str().unwrap().parse().unwrap()
}

/// The services are healthy, although requests were refused and dice failed: a panel whose colour judges says so.
fn panels_that_are_not_green(prometheus: &Prometheus) -> Vec<String> {
    let (mut judged, mut faults) = (0, Vec::new());
    for panel in panels().iter().filter(|panel| panel["type"] == "stat") {
        let steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"].as_array().unwrap();
        if steps.len() < 2 {
            continue;
        }
        let green = steps.iter().find(|step| step["color"] == "#51cf66").unwrap()["value"].as_f64().unwrap();
        let (legend, expression) = &queries(panel)[0];
        for sample in prometheus.query(expression) {
            judged += 1;
            if value(&sample) < green {
                faults.push(format!("{} {legend}: {sample}, not {green}", panel["title"]));
            }
        }
    }
    assert!(judged >= 5, "{judged}");
    faults
}

/// At the bottom of a panel are two lines for its legend.
fn assert_legends_fit(prometheus: &Prometheus) {
    for panel in panels().iter().filter(|panel| panel["type"] == "timeseries" && !needs_tempo(panel)) {
        let entries: usize = queries(panel).iter().map(|(_, expression)| prometheus.query(expression).len()).sum();
        assert!((1..=8).contains(&entries), "{}: {entries} entries", panel["title"]);
    }
}

fn needs_tempo(panel: &Value) -> bool {
    NEEDS_TEMPO.contains(&panel["title"].as_str().unwrap())
}

/// The three dice have the faces 0 to 7.
fn assert_rolled_faces_are_shown(prometheus: &Prometheus) {
    let panels = panels();
    let faces = panels.iter().find(|panel| panel["title"] == "Roll value distribution").unwrap();
    let shown = queries(faces).into_iter().filter(|(_, expression)| !prometheus.query(expression).is_empty());
    let shown: Vec<_> = shown.map(|(legend, _)| legend).collect();
    let possible = ["0 or 1", "2", "3", "4", "5", "6", "7"];
    assert!(!shown.is_empty() && shown.iter().all(|face| possible.contains(&face.as_str())), "{shown:?}");
}

/// With whole seconds the panel CPU would be a comb.
fn assert_processor_time_has_fractions(prometheus: &Prometheus) {
    let seconds = prometheus.query(r#"process_cpu_seconds_total{job=~".+-stage4"}"#);
    assert_eq!(seconds.len(), 3, "{seconds:?}");
    assert!(seconds.iter().any(|sample| value(sample).fract() != 0.0), "{seconds:?}");
}

/// Two firings of an alert, 20 s and 3 minutes long, of the same alert in one job: the annotation's points are in two runs.
#[test]
fn annotation_has_one_run_of_points_for_each_firing() {
    if !skip::has_prometheus("promtool") {
        return;
    }
    let dashboard: Value = serde_json::from_str(&read("grafana-dashboards/stage4-dice-roller.json")).unwrap();
    let annotation = &dashboard["annotations"]["list"][0];
    let expression = annotation["expr"].as_str().unwrap().replace("$__interval", annotation["step"].as_str().unwrap());
    // Every 5 s; firing from 2:10 to 2:30 and from 5:55 to 8:55. `_` is no sample, `stale` ends a series at once.
    let series = "_x25 1x4 stale _x40 1x36 stale _x20";
    let point = |minute: u32| {
        let samples = match minute {
            3 | 6..=9 => r#"[{ labels: '{alertname="A", job="j"}', value: 1 }]"#,
            _ => "[]",
        };
        format!("      - {{ expr: '{expression}', eval_time: {minute}m, exp_samples: {samples} }}\n")
    };
    let points: String = (1..=12).map(point).collect();
    let test = format!(
        "evaluation_interval: 5s\ntests:\n  - interval: 5s\n    input_series:\n      - series: 'ALERTS{{alertname=\"A\", \
         alertstate=\"firing\", job=\"j\", severity=\"warning\", reason=\"r\"}}'\n        values: '{series}'\n    \
         promql_expr_test:\n{points}"
    );
    let file = std::env::temp_dir().join(format!("dice-annotation-{}.yml", std::process::id()));
    std::fs::write(&file, test).unwrap();
    let output = Command::new("promtool").args(["test", "rules"]).arg(&file).output().unwrap();
    std::fs::remove_file(&file).unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}
