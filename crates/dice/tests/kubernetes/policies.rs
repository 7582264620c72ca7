//! Who may connect to whom: the network policies allow the calls that a trace shows, telemetry, and nothing else.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::cluster::{Cluster, Overlay, matches};
use crate::common::System;

/// `from to:port`.
type Edges = BTreeSet<String>;

/// The connections between workloads for which both the one's egress and the other's ingress have a rule.
fn allowed(cluster: &Cluster) -> Edges {
    let mut edges = Edges::new();
    for from in cluster.workloads() {
        for to in cluster.workloads() {
            for (_, port) in to.ports() {
                let out = permits(cluster, "egress", "to", from.labels(), to.labels(), port);
                let into = permits(cluster, "ingress", "from", to.labels(), from.labels(), port);
                if out && into {
                    edges.insert(format!("{} {}:{port}", from.name(), to.name()));
                }
            }
        }
    }
    edges
}

/// Whether a policy that selects `subject` has a rule of this direction for pods of `peer` and this port.
fn permits(cluster: &Cluster, direction: &str, peers: &str, subject: &Value, peer: &Value, port: u64) -> bool {
    let policies = cluster.objects.iter().filter(|object| object.kind() == "NetworkPolicy");
    let mut rules = policies
        .filter(|policy| matches(&policy["spec"]["podSelector"]["matchLabels"], subject))
        .flat_map(|policy| policy["spec"][direction].as_array().into_iter().flatten());
    rules.any(|rule| {
        let ports = rule["ports"].as_array().expect("a rule names its ports");
        let peers = rule[peers].as_array().expect("a rule names its peers");
        // A peer with a namespaceSelector or an ipBlock is outside of this namespace; `outside` lists those.
        let here = |rule: &&Value| rule.get("namespaceSelector").is_none() && rule.get("ipBlock").is_none();
        ports.iter().any(|allowed| allowed["port"] == port)
            && peers.iter().filter(here).any(|rule| matches(&rule["podSelector"]["matchLabels"], peer))
    })
}

/// What policies allow beyond this namespace: `policy direction peer`.
fn outside(cluster: &Cluster) -> Edges {
    let mut edges = Edges::new();
    for policy in cluster.objects.iter().filter(|object| object.kind() == "NetworkPolicy") {
        for (direction, peers) in [("egress", "to"), ("ingress", "from")] {
            let rules = policy["spec"][direction].as_array().into_iter().flatten();
            for peer in rules.flat_map(|rule| rule[peers].as_array().into_iter().flatten()) {
                let namespace = peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"].as_str();
                let addresses = peer["ipBlock"]["cidr"].as_str();
                if let Some(peer) = namespace.or(addresses) {
                    edges.insert(format!("{} {direction} {peer}", policy.name()));
                }
            }
        }
    }
    edges
}

/// `caller callee:port` of each call in the traces of a page view and a batch.
fn traced() -> Edges {
    let system = System::start(&[]);
    let port = |service: &str| crate::SERVICES.iter().find(|(name, _)| *name == service).map(|(_, port)| *port);
    let mut calls = Edges::new();
    let page = (system.get("/"), 3);
    let batch = (system.get("/roll-async?die=fair&times=2"), 7);
    for (response, count) in [page, batch] {
        let id = response.header("traceresponse").unwrap()[3..35].to_owned();
        let spans = system.trace(&id, count).spans;
        for span in &spans {
            let caller = spans.iter().find(|other| other.id == span.parent_id);
            if let Some(caller) = caller.filter(|caller| caller.service != span.service) {
                calls.insert(format!("{} {}:{}", caller.service, span.service, port(&span.service).unwrap()));
            }
        }
    }
    calls
}

#[test]
fn policies_allow_the_calls_that_a_trace_shows_and_telemetry_and_nothing_else() {
    let Some(local) = Cluster::build(Overlay::Local) else { return };
    let [production, external, operator] = [Overlay::Production, Overlay::External, Overlay::PrometheusOperator]
        .map(|overlay| Cluster::build(overlay).unwrap());
    let calls = traced();
    let to_collector = crate::SERVICES.map(|(service, _)| format!("{service} otel-collector:4318"));
    let with = |more: &[&str]| -> Edges {
        calls.iter().chain(&to_collector).cloned().chain(more.iter().map(|&edge| edge.to_owned())).collect()
    };

    let stack = with(&[
        "otel-collector tempo:4318",
        "otel-collector loki:3100",
        "tempo prometheus:9090", // span metrics
        "grafana tempo:3200",
        "grafana loki:3100",
        "grafana prometheus:9090",
        "prometheus die-service:8106",
        "prometheus dice-roller:8107",
        "prometheus frontend:8108",
        "prometheus otel-collector:8888",
        "prometheus tempo:3200",
        "prometheus loki:3100",
        "prometheus grafana:3000",
    ]);
    assert_eq!(allowed(&local), stack);
    assert_eq!(outside(&local), Edges::from(["dns egress kube-system".to_owned()]));

    assert_eq!(allowed(&production), with(&["otel-collector otel-gateway:4317", "otel-collector otel-gateway:4318"]));
    let beyond = ["dns egress kube-system", "frontend-ingress ingress ingress-nginx", "otel-gateway egress 0.0.0.0/0"];
    let beyond = Edges::from(beyond.map(str::to_owned));
    assert_eq!(outside(&production), beyond);

    assert_eq!(allowed(&operator), allowed(&production));
    assert_eq!(&outside(&operator) - &beyond, Edges::from(["scraping ingress monitoring".to_owned()]));

    assert_eq!(allowed(&external), calls);
    let beyond = ["dns egress kube-system", "external-telemetry egress 0.0.0.0/0"];
    assert_eq!(outside(&external), Edges::from(beyond.map(str::to_owned)));
}

#[test]
fn every_pod_is_closed_in_both_directions_unless_a_policy_opens_it() {
    for cluster in Cluster::all() {
        let deny = cluster.objects.iter().find(|object| object.name() == "default-deny").unwrap();
        assert_eq!(deny["spec"], serde_json::json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}));
        for policy in cluster.objects.iter().filter(|object| object.kind() == "NetworkPolicy") {
            for (direction, kind) in [("egress", "Egress"), ("ingress", "Ingress")] {
                let listed = policy["spec"]["policyTypes"].as_array().unwrap().iter().any(|listed| listed == kind);
                let has_rules = !policy["spec"][direction].is_null();
                assert!(listed == has_rules || policy.name() == "default-deny", "{}: {kind}", policy.name());
            }
        }
    }
}
