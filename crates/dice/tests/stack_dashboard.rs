//! Checks the dashboard against its rules: each test holds for all panels of a kind. What Grafana makes of a panel is said
//! where a test depends on it; Grafana itself does not run here. `stack_queries.rs` runs the expressions.
#![allow(clippy::unwrap_used)] // a panic is how a test reports

use std::{collections::BTreeSet, fs, path::PathBuf};

use serde_json::Value;

/// Of the window in which people look at the dashboard at least, in pixels, and of Grafana's menu beside it.
const WINDOW: f64 = 1280.0;
const MENU: f64 = 300.0;

fn text(path: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn yaml(path: &str) -> Value {
    serde_saphyr::from_str(&text(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn dashboard() -> Value {
    serde_json::from_str(&text("grafana-dashboards/stage4-dice-roller.json")).unwrap()
}

fn strings(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

fn list(value: &Value) -> &Vec<Value> {
    value.as_array().unwrap_or_else(|| panic!("not a list: {value}"))
}

/// The panels of these kinds; all of them for none.
fn panels(kinds: &[&str]) -> Vec<Value> {
    let mut panels = list(&dashboard()["panels"]).clone();
    panels.retain(|panel| kinds.is_empty() || kinds.contains(&panel["type"].as_str().unwrap()));
    assert!(!panels.is_empty(), "no panel of {kinds:?}");
    panels
}

/// Title, query and legend of each query to Prometheus.
fn expressions(kinds: &[&str]) -> Vec<(String, String, String)> {
    let mut found = Vec::new();
    for panel in panels(kinds) {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let [title, expression, legend] = [&panel["title"], &target["expr"], &target["legendFormat"]]
                .map(|value| value.as_str().unwrap_or_default().to_owned());
            if panel["datasource"]["type"] == "prometheus" {
                found.push((title, expression, legend));
            }
        }
    }
    found
}

/// How wide a panel is in a window of so many pixels.
fn width(panel: &Value, window: f64) -> f64 {
    panel["gridPos"]["w"].as_f64().unwrap() / 24.0 * (window - MENU)
}

/// Seconds of `30s`, `1m`, `now-1h`.
fn seconds(duration: &str) -> u64 {
    let duration = duration.trim_start_matches("now-");
    let (number, unit) = duration.split_at(duration.len() - 1);
    number.parse::<u64>().unwrap()
        * [("s", 1), ("m", 60), ("h", 3600)].iter().find(|(name, _)| *name == unit).unwrap().1
}

/// A search of Tempo stops at the first traces that it finds, which can be minutes old, unless it is told to look for the newest.
#[test]
fn every_search_of_traces_finds_the_newest_first() {
    let mut searches = 0;
    for panel in panels(&[]).iter().filter(|panel| panel["datasource"]["type"] == "tempo") {
        for query in list(&panel["targets"]).iter().filter(|target| target["queryType"] == "traceql") {
            let query = query["query"].as_str().unwrap();
            assert!(query.ends_with(" with (most_recent=true)"), "{}: {query}", panel["title"]);
            searches += 1;
        }
    }
    assert_eq!(searches, 2);
}

/// With colours from thresholds, Grafana labels a stretch of equal values by threshold ("< 1") and not by mapping.
#[test]
fn every_state_timeline_has_its_colours_in_value_mappings() {
    for panel in panels(&["state-timeline"]) {
        let (title, defaults) = (&panel["title"], &panel["fieldConfig"]["defaults"]);
        assert_ne!(defaults["color"]["mode"], "thresholds", "{title}");
        assert!(defaults.get("thresholds").is_none(), "{title} has thresholds");
        let states = defaults["mappings"][0]["options"].as_object().unwrap();
        assert!(states.len() > 1, "{title}");
        for (value, state) in states {
            assert!(state["text"].is_string() && state["color"].is_string(), "{title}: {value} is {state}");
        }
    }
}

/// Grafana gives the labels at the left 40 % of the panel and cuts what is longer. A letter is 7 pixels wide at most on average.
#[test]
fn labels_of_state_timelines_fit_at_1440_pixels() {
    for panel in panels(&["state-timeline"]) {
        for target in list(&panel["targets"]) {
            let mut label = target["legendFormat"].as_str().unwrap().to_owned();
            for (name, longest) in [("job", "dice-roller-stage4"), ("caller", "dice-roller"), ("target", "die-service")]
            {
                label = label.replace(&format!("{{{{{name}}}}}"), longest);
            }
            assert!(!label.contains('{'), "{label}: a value for this test is missing");
            let (needs, has) = (label.chars().count() as f64 * 7.0, width(&panel, 1440.0) * 0.4);
            assert!(needs <= has, "{}: '{label}' needs {needs} pixels of {has}", panel["title"]);
        }
    }
}

/// A bucket's bound ("1.0", "+Inf") is no name for what is in it; only a heatmap shows it on an axis with a unit.
#[test]
fn no_legend_is_the_bound_of_a_bucket() {
    let kinds = ["timeseries", "stat", "bargauge", "state-timeline"];
    for (title, expression, legend) in expressions(&kinds) {
        assert!(!legend.contains("{{le}}"), "{title}: {expression}");
        assert!(!expression.contains("by (le) (increase"), "{title} shows buckets: {expression}");
    }
}

#[test]
fn roll_values_are_shown_by_face_and_only_those_that_were_rolled() {
    let faces = expressions(&["bargauge"]).into_iter().filter(|(title, ..)| title == "Roll value distribution");
    let legends: Vec<_> = faces
        .map(|(_, expression, legend)| {
            assert!(expression.ends_with(" > 0.5"), "{legend}: {expression}");
            legend
        })
        .collect();
    assert_eq!(legends, ["0 or 1", "2", "3", "4", "5", "6", "7", "8", "9 and more"]);
}

/// A letter of Grafana's fixed font is 8.4 pixels wide, and a panel and its code block keep 64 pixels at the sides.
#[test]
fn drawings_in_text_fit_at_1280_pixels() {
    for panel in panels(&["text"]) {
        let content = panel["options"]["content"].as_str().unwrap();
        let fits = ((width(&panel, WINDOW) - 64.0) / 8.4) as usize;
        for line in content.split("```").skip(1).step_by(2).flat_map(str::lines) {
            assert!(line.chars().count() <= fits, "{}: more than {fits} letters: {line}", panel["title"]);
        }
        assert!(content.contains("```"), "{} has no drawing any more", panel["title"]);
    }
}

/// Up to 10.x, Grafana joins points into a region that are no more than the annotation's step apart, and gets one point each
/// hundredth of the time shown if that is longer; later it takes the step from the response. The window of the expression
/// is that step, so that what fired between two points is not missed.
#[test]
fn annotations_are_one_region_for_each_time_that_an_alert_fired() {
    let dashboard = dashboard();
    let shown = seconds(dashboard["time"]["from"].as_str().unwrap());
    for annotation in list(&dashboard["annotations"]["list"]) {
        let (name, step) = (&annotation["name"], annotation["step"].as_str().unwrap());
        assert!(seconds(step) * 100 >= shown, "{name}: points are further apart than {step}");
        let expression = annotation["expr"].as_str().unwrap();
        assert!(expression.contains("max_over_time(") && expression.contains("[$__interval]"), "{name}: {expression}");
        assert!(expression.starts_with("max by (alertname, job) "), "{name}: two series of one alert are two regions");
    }
}

#[test]
fn every_rate_spans_enough_scrapes() {
    for (title, expression, _) in expressions(&[]) {
        for window in expression.split('[').skip(1).filter_map(|rest| rest.split_once(']')).map(|(window, _)| window) {
            assert!(
                ["$__rate_interval", "$__range", ".", "+"].contains(&window),
                "{title}: [{window}] in {expression}"
            );
        }
    }
}

/// A legend by reason or job and reason would have an entry for each combination that never happened.
#[test]
fn legends_by_reason_have_only_what_happened() {
    let by_reason = expressions(&["timeseries"]).into_iter().filter(|(.., legend)| legend.contains("{{reason}}"));
    let by_reason: Vec<_> = by_reason.collect();
    assert!(!by_reason.is_empty());
    for (title, expression, _) in by_reason {
        assert!(expression.ends_with(" > 0"), "{title}: {expression}");
    }
}

/// A request that was refused (4xx), or whose die failed (500), says nothing about the system.
#[test]
fn shares_of_requests_say_what_they_count() {
    let mut shares = 0;
    for panel in panels(&[]).iter().filter(|panel| panel["fieldConfig"]["defaults"]["unit"] == "percentunit") {
        let title = panel["title"].as_str().unwrap();
        assert!([": ", " by "].iter().any(|word| title.contains(word)), "'{title}' does not say what is counted");
        for target in list(&panel["targets"]) {
            let expression = target["expr"].as_str().unwrap();
            assert!(
                !expression.contains("status=\"2xx\""),
                "{title}: counts all that is not 2xx as failed: {expression}"
            );
            assert!(!expression.contains("status=\"5xx\""), "{title}: counts failed dice as failures: {expression}");
            assert!(
                target["legendFormat"].as_str().is_some_and(|legend| !legend.is_empty()),
                "{title}: a share without a name: {expression}"
            );
            shares += 1;
        }
    }
    assert!(shares >= 8, "{shares}");
}

/// The path of a section in a file here, as a link in Markdown has it.
fn anchors(document: &str) -> BTreeSet<String> {
    let headings = document.lines().filter_map(|line| line.strip_prefix("### "));
    headings.map(|heading| heading.to_lowercase().replace(' ', "-")).collect()
}

#[test]
fn every_alert_links_to_a_panel_and_a_section_of_the_runbook() {
    let (sections, mut unused) = (anchors(&text("docs/RUNBOOK.md")), anchors(&text("docs/RUNBOOK.md")));
    let uid = dashboard()["uid"].as_str().unwrap().to_owned();
    for alert in list(&yaml("observability/prometheus-rules.yml")["groups"][0]["rules"]) {
        let name = alert["alert"].as_str().unwrap();
        let link = |annotation: &str| {
            alert["annotations"][annotation].as_str().unwrap_or_else(|| panic!("{name}: {annotation}"))
        };
        let (page, id) = link("dashboard").split_once("?viewPanel=").unwrap();
        assert_eq!(page, format!("http://localhost:3000/d/{uid}"));
        let panel = panels(&[]).into_iter().find(|panel| panel["id"].as_u64() == id.parse().ok());
        let panel = panel.unwrap_or_else(|| panic!("{name}: there is no panel {id}"));
        assert_ne!(panel["type"], "row", "{name}");
        let (file, section) = link("runbook").split_once('#').unwrap();
        assert_eq!((file, section), ("docs/RUNBOOK.md", &*name.to_lowercase()));
        assert!(sections.contains(section), "{name}: the runbook has no section {section}");
        unused.remove(section);
    }
    assert!(unused.is_empty(), "the runbook has sections of no alert: {unused:?}");
}

#[test]
fn dashboard_keeps_its_uid_and_title() {
    let dashboard = dashboard();
    assert_eq!(dashboard["uid"], "stage4-dice-roller");
    assert_eq!(dashboard["title"], "Dice Roller - Stage 4 (Async Rolling)");
    assert_eq!(strings(&dashboard["tags"]), ["stage4", "dice-roller", "async", "observability-demo"]);
    assert_eq!(dashboard["refresh"], "5s");
    assert_eq!((&dashboard["time"]["from"], &dashboard["time"]["to"]), (&"now-1h".into(), &"now".into()));
    let panels = list(&dashboard["panels"]);
    let rows: Vec<_> =
        panels.iter().filter(|panel| panel["type"] == "row").map(|row| row["title"].as_str().unwrap()).collect();
    let expected = [
        "Overview",
        "HTTP: dice-roller",
        "HTTP: frontend",
        "HTTP: die-service",
        "Async roll metrics",
        "Async performance",
        "Business",
        "Service to service",
        "Traces",
        "Logs",
        "Telemetry health",
        "Process",
    ];
    assert_eq!(rows, expected);
    let in_progress = panels.iter().find(|panel| panel["title"] == "Rolls in progress").unwrap();
    let steps = list(&in_progress["fieldConfig"]["defaults"]["thresholds"]["steps"]);
    assert_eq!(steps.iter().filter_map(|step| step["value"].as_i64()).collect::<Vec<_>>(), [5, 10]);
}

#[test]
fn every_panel_has_a_description_and_a_place_of_its_own() {
    let (dashboard, specification) = (dashboard(), text("grafana-dashboards/DASHBOARD-SPEC.md"));
    let provisioned = yaml("observability/grafana/provisioning/datasources/datasources.yaml");
    let sources: Vec<_> =
        list(&provisioned["datasources"]).iter().map(|source| (&source["type"], &source["uid"])).collect();
    let (mut ids, mut cells, mut titles) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for panel in list(&dashboard["panels"]) {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_i64().unwrap()), "{title}: this id is taken");
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_i64().unwrap());
        assert!(x + w <= 24, "{title} leaves the page");
        for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            assert!(cells.insert(cell), "{title} lies on another panel");
        }
        if panel["type"] == "row" {
            assert!(specification.contains(&format!("\n### {title}\n")), "row {title} is not in DASHBOARD-SPEC.md");
            continue;
        }
        titles.insert(title);
        assert!(specification.contains(&format!("\n| {title} | ")), "{title} is not in DASHBOARD-SPEC.md");
        assert!(
            panel["description"].as_str().is_some_and(|text| text.len() > 60),
            "{title} does not say what to look for"
        );
        if panel["type"] != "text" {
            let source = &panel["datasource"];
            assert!(sources.contains(&(&source["type"], &source["uid"])), "{title} queries {source}");
            assert!(!list(&panel["targets"]).is_empty(), "{title} queries nothing");
        }
    }
    let specified = specification.lines().filter(|line| line.starts_with("| ") && line.matches(" | ").count() >= 3);
    let unknown: Vec<_> = specified
        .filter_map(|line| line.split(" | ").next()?.strip_prefix("| "))
        .filter(|title| *title != "panel" && !titles.contains(title))
        .collect();
    assert!(unknown.is_empty(), "DASHBOARD-SPEC.md has panels that do not exist: {unknown:?}");
}

#[test]
fn no_expression_selects_a_bucket_by_its_bound() {
    // Prometheus 3 stores le="1.0" where version 2 stored le="1": such a selector breaks with the other version.
    for file in ["grafana-dashboards/stage4-dice-roller.json", "observability/prometheus-rules.yml"] {
        let content = text(file).replace("\\\"", "\"").replace(' ', "");
        for selector in ["{le=\"", ",le=\""] {
            assert!(!content.contains(selector), "{file} contains {selector}");
        }
    }
}
