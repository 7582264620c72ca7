//! Checks the files of the compose stack against the project's rules: what containers may do, what listens where, and which
//! name refers to what. Only the last test runs Docker, where it is installed; the others read files.
//!
//! `stack_dashboard.rs` reads the dashboard. `stack_queries.rs` runs its expressions, and the tests of the alerts.
#![allow(clippy::unwrap_used)] // a panic is how a test reports

use std::{collections::BTreeSet, fs, path::PathBuf, process::Command};

use serde_json::Value;
use test_support::skip;

const SERVICES: [(&str, &str); 3] = [("die-service", "8106"), ("dice-roller", "8107"), ("frontend", "8108")];

fn text(path: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn yaml(path: &str) -> Value {
    serde_saphyr::from_str(&text(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn strings(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

fn list(value: &Value) -> &Vec<Value> {
    value.as_array().unwrap_or_else(|| panic!("not a list: {value}"))
}

fn containers() -> serde_json::Map<String, Value> {
    yaml("docker-compose.yml")["services"].as_object().unwrap().clone()
}

/// A reference to an image says which one: it has a tag, and the tag is a version.
fn is_pinned(image: &str) -> bool {
    image.rsplit_once(':').is_some_and(|(_, tag)| !tag.contains('/') && tag != "latest")
}

#[test]
fn containers_have_no_right_that_they_do_not_use() {
    for (name, container) in containers() {
        assert_eq!(container["read_only"], true, "{name}");
        assert_eq!(strings(&container["cap_drop"]), ["ALL"], "{name}");
        assert_eq!(strings(&container["security_opt"]), ["no-new-privileges:true"], "{name}");
        assert!(container["mem_limit"].is_string(), "{name} may use all memory");
        assert!(container["pids_limit"].as_u64().is_some_and(|limit| limit <= 1024), "{name} may start all processes");
        assert!(container["stop_grace_period"].is_string(), "{name} is killed after Docker's 10 s");
        assert!(is_pinned(container["image"].as_str().unwrap()), "{name}: {}", container["image"]);
        for right in ["privileged", "cap_add", "network_mode", "pid", "devices", "user"] {
            assert!(container.get(right).is_none(), "{name} wants {right}");
        }
    }
}

#[test]
fn ports_are_open_on_loopback_only() {
    let mut seen = BTreeSet::new();
    for (name, container) in containers() {
        for port in container.get("ports").map(strings).unwrap_or_default() {
            let host_port = port.strip_prefix("127.0.0.1:").unwrap_or_else(|| panic!("{name} publishes {port}"));
            assert!(
                seen.insert(host_port.split(':').next().unwrap().to_owned()),
                "{name} publishes {port} a second time"
            );
        }
    }
    assert!(seen.len() >= 8, "the ports were not found: {seen:?}");
}

#[test]
fn containers_mount_configuration_files_of_host_and_nothing_else() {
    let volumes = yaml("docker-compose.yml")["volumes"].as_object().unwrap().clone();
    for (name, container) in containers() {
        for mount in container.get("volumes").map(strings).unwrap_or_default() {
            let source = mount.split(':').next().unwrap();
            let configuration =
                (source.starts_with("./observability/") || source == "./grafana-dashboards") && mount.ends_with(":ro");
            assert!(configuration || volumes.contains_key(source), "{name} mounts {mount}");
            assert!(
                !source.starts_with('.') || !text_or_dir(source).is_empty(),
                "{name} mounts {mount}, which is empty"
            );
        }
    }
}

/// The names in a directory, or the text of a file.
fn text_or_dir(path: &str) -> String {
    let full = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    match fs::read_dir(&full) {
        Ok(entries) => entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect(),
        Err(_) => text(path),
    }
}

#[test]
fn every_container_but_the_collector_has_a_health_check() {
    // The collector's image has no client in it. Containers of our own images inherit the image's check.
    for (name, container) in containers() {
        let built_here = container.get("build").is_some();
        let inherited = container["build"]["target"] != "program";
        let own = container["healthcheck"].get("test").is_some();
        let serves = container.get("ports").is_some();
        let expected = name == "otel-collector" || if built_here { inherited == serves && !own } else { own };
        assert!(expected, "{name} has the wrong health check");

        for (dependency, condition) in container.get("depends_on").and_then(Value::as_object).into_iter().flatten() {
            let wanted = if dependency == "otel-collector" { "service_started" } else { "service_healthy" };
            assert_eq!(condition["condition"], wanted, "{name} waits for {dependency}");
        }
    }
    assert!(text("Dockerfile").contains("HEALTHCHECK "));
}

#[test]
fn image_is_small_pinned_and_not_root() {
    let dockerfile = text("Dockerfile");
    assert!(!dockerfile.starts_with("# syntax"), "a syntax line pulls one more image");
    let stages: Vec<_> = dockerfile.lines().filter_map(|line| line.strip_prefix("FROM ")).collect();
    for (i, stage) in stages.iter().enumerate() {
        let base = stage.split(' ').next().unwrap();
        let earlier_stage = stages[..i].iter().any(|earlier| earlier.ends_with(&format!(" AS {base}")));
        assert!(earlier_stage || is_pinned(base), "FROM {stage}");
    }
    let last_two = stages.iter().rev().take(2).copied().collect::<Vec<_>>();
    assert_eq!(last_two, ["program AS service", "gcr.io/distroless/cc-debian12:nonroot AS program"]);
    let users: Vec<_> = dockerfile.lines().filter_map(|line| line.strip_prefix("USER ")).collect();
    assert_eq!(users, ["65532:65532"], "checks read only this file, and this is the user of the base image");
}

#[test]
fn images_say_what_they_are_and_what_is_in_them() {
    let (dockerfile, version) = (text("Dockerfile"), env!("CARGO_PKG_VERSION"));
    for label in ["title", "description", "version", "revision", "licenses", "base.name"] {
        assert!(dockerfile.contains(&format!("org.opencontainers.image.{label}=\"")), "{label}");
    }
    assert!(dockerfile.contains(&format!("org.opencontainers.image.version=\"{version}\"")), "not {version}");
    let builds = dockerfile.lines().filter(|line| line.contains("cargo") && line.contains(" build "));
    let without = builds.clone().filter(|line| !line.contains("cargo auditable build")).collect::<Vec<_>>();
    assert_eq!((builds.count(), without), (2, vec![]));
    for (name, container) in containers().iter().filter(|(_, container)| container.get("build").is_some()) {
        assert!(
            container["image"].as_str().unwrap().ends_with(&format!(":{version}")),
            "{name}: {}",
            container["image"]
        );
    }
}

/// Since version 13 Grafana's data sources are plugins in processes of their own, which talk over sockets in /tmp, and whose
/// update at start unloads them where it does not succeed.
#[test]
fn data_sources_of_grafana_work_without_internet_on_a_read_only_root() {
    let grafana = &containers()["grafana"];
    for setting in ["GF_PLUGINS_PREINSTALL_DISABLED", "GF_PLUGINS_PREINSTALL_AUTO_UPDATE"] {
        let wanted = if setting.ends_with("UPDATE") { "false" } else { "true" };
        assert_eq!(grafana["environment"][setting], wanted, "{setting}");
    }
    let tmpfs: Vec<_> = strings(&grafana["tmpfs"]).iter().map(|mount| mount.split(':').next().unwrap()).collect();
    assert!(tmpfs.contains(&"/tmp"), "{tmpfs:?}");
}

/// `15s`, `10m`.
fn seconds(duration: &Value) -> u64 {
    let text = duration.as_str().unwrap_or_else(|| panic!("no duration: {duration}"));
    let (number, unit) = text.split_at(text.len() - 1);
    number.parse::<u64>().unwrap() * if unit == "m" { 60 } else { 1 }
}

#[test]
fn restarts_of_the_collector_and_its_backends_are_bridged() {
    let (containers, collector) = (containers(), yaml("observability/collector.yaml"));
    for (name, exporter) in collector["exporters"].as_object().unwrap() {
        let backend = &containers[name.split('/').nth(1).unwrap()];
        let restart = seconds(&backend["stop_grace_period"]) + seconds(&backend["healthcheck"]["start_period"]);
        assert!(
            seconds(&exporter["retry_on_failure"]["max_elapsed_time"]) > restart,
            "{name}: shorter than {restart} s"
        );
        let queue = &exporter["sending_queue"];
        assert_eq!(queue["sizer"], "items", "{name}");
        let size = |value: &Value| value.as_u64().unwrap_or_else(|| panic!("{name}: {value}"));
        let [least, most, all] =
            [&queue["batch"]["min_size"], &queue["batch"]["max_size"], &queue["queue_size"]].map(size);
        assert!(least <= most && 10 * most < all, "{name}: {queue}");
        assert!(seconds(&queue["batch"]["flush_timeout"]) <= 1, "{name}: a trace is complete later than a second");
    }
    assert!(collector["processors"].get("batch").is_none(), "batches are made twice");
    for (name, pipeline) in collector["service"]["pipelines"].as_object().unwrap() {
        assert_eq!(pipeline["processors"][0], "memory_limiter", "{name}");
    }
    let stops = seconds(&containers["otel-collector"]["stop_grace_period"]);
    for (service, _) in SERVICES {
        let retries = &containers[&format!("{service}-stage4")]["environment"]["OTEL_EXPORTER_OTLP_TIMEOUT"];
        let retries = retries.as_str().unwrap().parse::<u64>().unwrap() / 1000;
        assert!(retries >= 2 * stops, "{service} tries for {retries} s, and the collector may take {stops} s to stop");
    }
}

/// Loki stores these fields of a record with each line, and cannot be told not to (pkg/loghttp/push in its source).
#[test]
fn details_of_a_log_line_have_nothing_that_nobody_reads() {
    let collector = yaml("observability/collector.yaml");
    let of_logs = strings(&collector["service"]["pipelines"]["logs"]["processors"]);
    let statements: Vec<_> =
        of_logs.iter().flat_map(|name| strings(&collector["processors"][name]["log_statements"])).collect();
    for field in ["observed_time_unix_nano", "severity_number", "flags"] {
        assert!(statements.contains(&&*format!("set(log.{field}, 0)")), "{field}: {statements:?}");
    }
    let resource = &yaml("observability/loki.yaml")["limits_config"]["otlp_config"]["resource_attributes"];
    let dropped = list(&resource["attributes_config"]).iter().find(|rule| rule["action"] == "drop").unwrap();
    assert!(strings(&dropped["attributes"]).iter().all(|name| name.starts_with("telemetry.sdk.")), "{dropped}");
}

/// The benchmarks measure with the queues that the images ship.
#[test]
fn queues_of_images_compose_and_benchmarks_are_the_same() {
    let (dockerfile, compose) = (text("Dockerfile"), text("docker-compose.yml"));
    let benchmarks = text("crates/dice/benches/support/mod.rs");
    let words = dockerfile.split_whitespace().filter_map(|word| word.split_once('='));
    let queues: Vec<_> = words.filter(|(name, _)| name.starts_with("OTEL_B")).collect();
    assert_eq!(queues.len(), 6, "{queues:?}");
    for (name, value) in queues {
        assert!(benchmarks.contains(&format!("(\"{name}\", \"{value}\")")), "benchmarks: {name}={value}");
        if name.starts_with("OTEL_BLRP") {
            assert!(compose.contains(&format!("{name}: \"{value}\"")), "compose: {name}={value}");
        }
    }
}

#[test]
fn services_scrapes_and_ports_fit_together() {
    let (containers, prometheus) = (containers(), yaml("observability/prometheus.yml"));
    for (service, port) in SERVICES {
        let name = format!("{service}-stage4");
        let container = &containers[&name];
        assert_eq!(container["build"]["args"]["SERVICE"], service);
        assert_eq!(container["labels"]["project"], format!("stage4-{service}"));
        assert_eq!(container["labels"]["service"], service);
        assert_eq!(strings(&container["ports"]), [format!("127.0.0.1:{port}:{port}")]);
        assert_eq!(container["environment"]["OTEL_RESOURCE_ATTRIBUTES"], format!("container.name={name}"));
        assert_eq!(container["environment"]["OTEL_LOGS_EXPORTER"], "otlp");

        let job = list(&prometheus["scrape_configs"]).iter().find(|job| job["job_name"] == name.as_str());
        let job = job.unwrap_or_else(|| panic!("Prometheus has no job {name}"));
        assert_eq!(job["scrape_interval"], "5s", "{name}");
        assert_eq!(strings(&job["static_configs"][0]["targets"]), [format!("{name}:{port}")]);
    }
}

#[test]
fn every_address_names_a_container() {
    let mut names: BTreeSet<String> = containers().keys().cloned().collect();
    names.extend(["localhost", "127.0.0.1"].map(str::to_owned));
    let files = ["collector.yaml", "tempo.yaml", "prometheus.yml", "grafana/provisioning/datasources/datasources.yaml"];
    let files = files.map(|file| format!("observability/{file}")).into_iter().chain(["docker-compose.yml".to_owned()]);
    for file in files {
        let content = text(&file);
        let hosts = content.split("http://").skip(1).map(|rest| rest.split([':', '/', '\n']).next().unwrap());
        for host in hosts.clone() {
            assert!(names.contains(host), "{file} points to {host}");
        }
        assert!(hosts.count() > 0 || file.ends_with("prometheus.yml"), "{file} has no address in it");
    }
}

#[test]
fn loki_makes_the_label_that_the_dashboard_selects_by() {
    let otlp = &yaml("observability/loki.yaml")["limits_config"]["otlp_config"]["resource_attributes"];
    let labels = strings(&otlp["attributes_config"][0]["attributes"]);
    assert!(labels.contains(&"container.name") && labels.contains(&"service.name"), "{labels:?}");
}

#[test]
fn every_alert_says_what_to_do_and_is_tested_both_ways() {
    let tests = yaml("observability/prometheus-rules.test.yml");
    let tested: Vec<(&str, bool)> = list(&tests["tests"])
        .iter()
        .flat_map(|test| list(&test["alert_rule_test"]))
        .map(|case| (case["alertname"].as_str().unwrap(), list(&case["exp_alerts"]).is_empty()))
        .collect();
    let rules = yaml("observability/prometheus-rules.yml");
    let alerts = list(&rules["groups"][0]["rules"]);
    assert!(alerts.len() >= 6);
    for alert in alerts {
        let name = alert["alert"].as_str().unwrap();
        for annotation in ["summary", "description", "action"] {
            assert!(
                alert["annotations"][annotation].as_str().is_some_and(|text| text.len() > 20),
                "{name}: {annotation}"
            );
        }
        assert!(["warning", "critical"].contains(&alert["labels"]["severity"].as_str().unwrap()), "{name}");
        for silent in [true, false] {
            assert!(
                tested.contains(&(name, silent)),
                "{name} has no test in which it {}",
                if silent { "stays silent" } else { "fires" }
            );
        }
    }
}

#[test]
fn data_sources_are_linked_to_each_other() {
    let file = yaml("observability/grafana/provisioning/datasources/datasources.yaml");
    let source =
        |uid: &str| list(&file["datasources"]).iter().find(|source| source["uid"] == uid).unwrap()["jsonData"].clone();
    let (prometheus, tempo, loki) = (source("prometheus"), source("tempo"), source("loki"));
    assert_eq!(tempo["tracesToLogsV2"]["datasourceUid"], "loki");
    assert_eq!(tempo["tracesToMetrics"]["datasourceUid"], "prometheus");
    assert_eq!(tempo["serviceMap"]["datasourceUid"], "prometheus");
    assert_eq!(loki["derivedFields"][0]["datasourceUid"], "tempo");
    let exemplars = &prometheus["exemplarTraceIdDestinations"][0];
    assert_eq!(exemplars["datasourceUid"], "tempo");
    let generator = &yaml("observability/tempo.yaml")["overrides"]["defaults"]["metrics_generator"];
    assert_eq!(
        exemplars["name"], generator["trace_id_label_name"],
        "Tempo must name the exemplar's label as Grafana reads it"
    );
}

#[test]
fn docker_accepts_the_compose_file() {
    let compose = |arguments: &[&str]| {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut command = Command::new("docker");
        command.arg("compose").args(arguments).current_dir(root);
        command
    };
    let found = skip::runs(&mut compose(&["version"]), "with its plugin compose");
    if skip::unless(found, "REQUIRE_DOCKER").is_none() {
        return;
    }
    let checked = compose(&["--profile", "*", "config", "--quiet"]).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}
