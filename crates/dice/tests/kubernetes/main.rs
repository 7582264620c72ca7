//! Checks the manifests in deploy/kubernetes, as `kubectl kustomize` builds them: what containers may do, which name refers to what,
//! which variables the programs know, and who may connect to whom. No cluster runs here.
//!
//! `kubectl` is taken from `KUBECTL` or the PATH; without it the tests are skipped.
#![allow(clippy::unwrap_used)] // a panic is how a test reports

mod cluster;
#[path = "../common/mod.rs"]
mod common;
mod policies;

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

use cluster::{Cluster, Overlay, matches, repository, text, yaml};

const SERVICES: [(&str, u64); 3] = [("die-service", 8106), ("dice-roller", 8107), ("frontend", 8108)];

#[test]
fn every_overlay_builds_and_has_the_three_services() {
    for cluster in Cluster::all() {
        let names: BTreeSet<&str> = cluster.workloads().map(|workload| workload.name()).collect();
        assert!(SERVICES.iter().all(|(name, _)| names.contains(name)), "{}: {names:?}", cluster.overlay);
        let outside: Vec<_> = cluster.objects.iter().filter(|object| object.kind() != "Namespace").collect();
        assert!(outside.iter().all(|object| object["metadata"]["namespace"] == "dice"), "{}", cluster.overlay);
    }
}

#[test]
fn every_component_is_part_of_an_overlay() {
    let overlays = ["local", "production", "external", "prometheus-operator"]
        .map(|name| text(&format!("deploy/kubernetes/overlays/{name}/kustomization.yaml")));
    let components = std::fs::read_dir(repository().join("deploy/kubernetes/components")).unwrap();
    for component in components.map(|entry| entry.unwrap().file_name().into_string().unwrap()) {
        let line = format!("../../components/{component}\n");
        assert!(overlays.iter().any(|overlay| overlay.contains(&line)), "no overlay has {component}");
    }
}

/// The restricted profile of the Pod Security Standards, which the namespace enforces, and a read-only root on top.
#[test]
fn no_container_has_more_rights_than_the_restricted_profile_allows() {
    for cluster in Cluster::all() {
        let namespace = cluster.objects.iter().find(|object| object.kind() == "Namespace").unwrap();
        assert_eq!(namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "restricted");
        for workload in cluster.workloads() {
            let (pod, name) = (workload.pod(), workload.name());
            assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "{name}");
            assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault", "{name}");
            assert_eq!(pod["automountServiceAccountToken"], false, "{name}");
            assert_eq!(pod["enableServiceLinks"], false, "{name}");
            for right in ["hostNetwork", "hostPID", "hostIPC"] {
                assert!(pod.get(right).is_none(), "{name} wants {right}");
            }
            for volume in pod["volumes"].as_array().into_iter().flatten() {
                assert!(volume.get("hostPath").is_none(), "{name} mounts a path of the node");
            }
            for container in workload.containers() {
                let security = &container["securityContext"];
                assert_eq!(security["allowPrivilegeEscalation"], false, "{name}");
                assert_eq!(security["readOnlyRootFilesystem"], true, "{name}");
                assert_eq!(security["capabilities"], serde_json::json!({"drop": ["ALL"]}), "{name}");
                assert!(security.get("privileged").is_none(), "{name}");
                assert!(container["resources"]["limits"]["memory"].is_string(), "{name} may use all memory");
                assert!(container["resources"]["requests"]["cpu"].is_string(), "{name} asks for no processor time");
                assert!(container["resources"]["limits"].get("cpu").is_none(), "{name} is paused at a processor limit");
            }
        }
    }
}

#[test]
fn every_variable_of_a_service_is_a_setting_of_its_program() {
    for cluster in Cluster::all() {
        for (service, _) in SERVICES {
            let help = Command::new(env!("CARGO_BIN_EXE_dice")).args([service, "--help"]).output().unwrap();
            let help = String::from_utf8(help.stdout).unwrap();
            let variables = cluster.variables(service);
            assert!(variables.contains_key("OTEL_RESOURCE_ATTRIBUTES"), "the variables were not found: {variables:?}");
            for name in variables.keys() {
                let known = help.contains(&format!("[env: {name}="));
                let used = variables.values().any(|value| value.contains(&format!("$({name})")));
                assert!(known || used, "{}: {service} knows no {name}", cluster.overlay);
            }
        }
    }
}

#[test]
fn ports_and_images_are_those_of_compose() {
    let compose = yaml("docker-compose.yml");
    let images: BTreeSet<&str> =
        compose["services"].as_object().unwrap().values().map(|service| service["image"].as_str().unwrap()).collect();
    for cluster in Cluster::all() {
        for workload in cluster.workloads() {
            for container in workload.containers() {
                let image = container["image"].as_str().unwrap();
                // The overlay `production` says where one's own registry is.
                let image = image.trim_start_matches("registry.example.com/");
                assert!(images.contains(image), "{}: {image} is not in docker-compose.yml", workload.name());
            }
        }
        for (service, port) in SERVICES {
            let workload = cluster.workload(service);
            assert_eq!(workload.ports().map(|(_, port)| port).collect::<Vec<_>>(), [port]);
            let upstreams = cluster.variables(service);
            for (name, upstream) in
                [("DIE_SERVICE_URL", "http://die-service:8106"), ("DICE_ROLLER_URL", "http://dice-roller:8107")]
            {
                assert!(upstreams.get(name).is_none_or(|value| value == upstream), "{service}: {name}");
            }
        }
    }
}

#[test]
fn selectors_and_references_find_what_they_name() {
    for cluster in Cluster::all() {
        let overlay = &cluster.overlay;
        let configured: BTreeSet<&str> =
            cluster.objects.iter().filter(|object| object.kind() == "ConfigMap").map(|object| object.name()).collect();
        for object in &cluster.objects {
            let (kind, name) = (object.kind(), object.name());
            let selector = match kind {
                "Service" => &object["spec"]["selector"],
                "PodDisruptionBudget" | "PodMonitor" => &object["spec"]["selector"]["matchLabels"],
                "Deployment" | "StatefulSet" => &object["spec"]["selector"]["matchLabels"],
                "NetworkPolicy" => &object["spec"]["podSelector"]["matchLabels"],
                "HorizontalPodAutoscaler" => {
                    let target = object["spec"]["scaleTargetRef"]["name"].as_str().unwrap();
                    let replicas = &cluster.workload(target).0["spec"]["replicas"];
                    assert!(replicas.is_null(), "{overlay}: the number of {target} is the autoscaler's");
                    continue;
                }
                _ => continue,
            };
            let selected: Vec<_> =
                cluster.workloads().filter(|workload| matches(selector, workload.labels())).collect();
            assert!(!selected.is_empty(), "{overlay}: {kind} {name} selects no pod");
            if kind == "Service" {
                assert_eq!(selected.len(), 1, "{overlay}: Service {name} selects pods of several programs");
                for port in object["spec"]["ports"].as_array().unwrap() {
                    let named = selected[0].ports().find(|(name, _)| port["targetPort"] == *name);
                    assert_eq!(
                        named.map(|(_, number)| number),
                        port["port"].as_u64(),
                        "{overlay}: Service {name}: {port}"
                    );
                }
            }
        }
        for workload in cluster.workloads() {
            let pod = workload.pod().to_string();
            for reference in ["configMapRef\":{\"name\":\"", "configMap\":{\"name\":\""] {
                for rest in pod.split(reference).skip(1) {
                    let name = rest.split('"').next().unwrap();
                    assert!(configured.contains(name), "{overlay}: {} wants ConfigMap {name}", workload.name());
                }
            }
            assert!(cluster.objects.iter().any(
                |object| object.kind() == "ServiceAccount" && object.name() == workload.pod()["serviceAccountName"]
            ));
            for container in workload.containers() {
                for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
                    let check = &container[probe];
                    let port = [&check["httpGet"]["port"], &check["tcpSocket"]["port"]]
                        .into_iter()
                        .find(|port| port.is_string());
                    let port = port.unwrap_or_else(|| panic!("{overlay}: {} has no {probe}", workload.name()));
                    assert!(workload.ports().any(|(name, _)| *port == name), "{overlay}: {} {probe}", workload.name());
                }
            }
        }
    }
}

#[test]
fn service_has_more_time_to_stop_than_delay_and_drain_and_flush_take() {
    for cluster in Cluster::all() {
        for (service, _) in SERVICES {
            let workload = cluster.workload(service);
            let variables = cluster.variables(service);
            let seconds = |name: &str| variables[name].parse::<u64>().unwrap() / 1000;
            let needed = seconds("SHUTDOWN_DELAY_MS") + seconds("SHUTDOWN_GRACE_MS") + 7;
            assert!(workload.pod()["terminationGracePeriodSeconds"].as_u64().unwrap() > needed, "{service}");
            let probes = |probe: &str| workload.containers().next().unwrap()[probe]["httpGet"]["path"].clone();
            assert_eq!(probes("readinessProbe"), "/ready");
            assert_eq!([probes("startupProbe"), probes("livenessProbe")], ["/health", "/health"]);
        }
    }
}

#[test]
fn gateways_make_metrics_of_all_spans_before_they_sample() {
    let gateway = yaml("deploy/kubernetes/components/collector/gateway-config.yaml");
    let pipelines = gateway["service"]["pipelines"].as_object().unwrap();
    let list = |pipeline: &str, part: &str| -> Vec<String> {
        pipelines[pipeline][part].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect()
    };
    assert!(!list("traces/all", "processors").contains(&"tail_sampling".to_owned()));
    assert!(list("traces/kept", "processors").contains(&"tail_sampling".to_owned()));
    assert_eq!(list("traces/all", "exporters"), list("metrics", "receivers"), "the connectors");
    assert!(gateway["exporters"]["prometheus_remote_write"]["external_labels"]["gateway"].is_string());
    for name in ["traces_spanmetrics_latency", "traces_spanmetrics_calls_total"] {
        let statements = gateway["processors"]["transform/tempo_names"]["metric_statements"].to_string();
        assert!(statements.contains(name), "{name}");
        assert!(
            text("observability/grafana/provisioning/datasources/datasources.yaml").contains(name),
            "Grafana asks for {name}"
        );
    }
    // What a collector's pipeline names is defined in the same file.
    for config in ["gateway-config.yaml", "agent-config.yaml"] {
        let config = yaml(&format!("deploy/kubernetes/components/collector/{config}"));
        for (name, pipeline) in config["service"]["pipelines"].as_object().unwrap() {
            for part in ["receivers", "processors", "exporters"] {
                for component in pipeline[part].as_array().into_iter().flatten() {
                    let component = component.as_str().unwrap();
                    let defined = [part, "connectors"].iter().any(|part| config[*part].get(component).is_some());
                    assert!(defined, "{name}: {component} is not defined");
                }
            }
        }
    }
    let agent = text("deploy/kubernetes/components/collector/agent-config.yaml");
    assert!(agent.contains(r#"dns: { hostname: "otel-gateway-headless.${env:POD_NAMESPACE}.svc"#));
    if let Some(cluster) = Cluster::build(Overlay::Production) {
        let headless = cluster.objects.iter().find(|object| object.name() == "otel-gateway-headless").unwrap();
        assert_eq!(headless["spec"]["clusterIP"], "None");
        assert_eq!(headless["spec"]["ports"][0]["port"], 4317);
    }
}

/// Buckets of Tempo's generator and of the gateways' connectors are the same, so that the dashboard's lines are comparable.
#[test]
fn gateways_have_the_buckets_of_tempo() {
    let seconds = |bucket: &Value| match bucket.as_str() {
        None => bucket.as_f64().unwrap(),
        Some(text) => {
            let split = text.find(char::is_alphabetic).unwrap();
            text[..split].parse::<f64>().unwrap()
                * match &text[split..] {
                    "us" => 1e-6,
                    "ms" => 1e-3,
                    "s" => 1.0,
                    unit => panic!("{unit}"),
                }
        }
    };
    let list = |value: &Value| {
        value.as_array().unwrap().iter().map(|bucket| (seconds(bucket) * 1e6).round()).collect::<Vec<_>>()
    };
    let tempo = yaml("observability/tempo.yaml");
    let tempo = list(&tempo["metrics_generator"]["processor"]["span_metrics"]["histogram_buckets"]);
    let gateway = yaml("deploy/kubernetes/components/collector/gateway-config.yaml");
    assert_eq!(list(&gateway["connectors"]["span_metrics"]["histogram"]["explicit"]["buckets"]), tempo);
    assert_eq!(list(&gateway["connectors"]["service_graph"]["latency_histogram_buckets"]), tempo);
}

#[test]
fn prometheus_has_the_jobs_of_compose() {
    let jobs = |path: &str| -> BTreeSet<String> {
        yaml(path)["scrape_configs"]
            .as_array()
            .unwrap()
            .iter()
            .map(|job| job["job_name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(jobs("deploy/kubernetes/components/stack/prometheus.yml"), jobs("observability/prometheus.yml"));
}

#[test]
fn settings_are_those_of_compose() {
    let Some(local) = Cluster::build(Overlay::Local) else { return };
    let compose = yaml("docker-compose.yml");
    let grafana = local.variables("grafana");
    for (name, value) in compose["services"]["grafana"]["environment"].as_object().unwrap() {
        assert_eq!(grafana.get(name).map(String::as_str), value.as_str(), "grafana: {name}");
    }
    let frontend = local.variables("frontend");
    for name in ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_LOGS_EXPORTER", "OTEL_EXPORTER_OTLP_TIMEOUT"] {
        assert_eq!(frontend.get(name).map(String::as_str), compose["x-telemetry"][name].as_str(), "{name}");
    }
    assert_eq!(
        frontend["TRACE_URL_TEMPLATE"],
        compose["services"]["frontend-stage4"]["environment"]["TRACE_URL_TEMPLATE"].as_str().unwrap()
    );
}
