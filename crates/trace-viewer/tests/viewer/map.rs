//! The map of services, as JSON.

use serde_json::{Value, json};

use crate::list::send_services;
use crate::support::{Viewer, new_trace, span, with};

#[test]
fn map_counts_calls_between_services() {
    let viewer = Viewer::start(&[]);
    let kind = |span: Value, kind: u8| with(span, json!({"kind": kind}));
    for (n, took) in (0..).zip([10, 20, 30, 40, 1000]) {
        let trace = new_trace();
        let id = trace.as_str();
        let call = kind(span(id, 2, 1, "GET", 0, took), 3);
        let call = if n == 4 { with(call, json!({"status": {"code": 2}})) } else { call };
        let system = json!([{"key": "db.system.name", "value": {"stringValue": "redis"}}]);
        let query = with(span(id, 4, 3, "SET", 1, 2), json!({"kind": 3, "attributes": system}));
        viewer.send("frontend", &[kind(span(id, 1, 0, "GET /roll", 0, took), 2), call, span(id, 5, 1, "step", 0, 1)]);
        viewer.send("dice-roller", &[kind(span(id, 3, 2, "GET /roll", 1, 3), 2), query]);
    }
    let map = viewer.json("/view/map");
    let calls = |from: &str| map["calls"].as_array().unwrap().iter().find(|call| call["from"] == from).unwrap().clone();
    assert_eq!(
        calls("frontend"),
        json!({"from": "frontend", "to": "dice-roller", "calls": 5, "failed": 1, "median": 30_000_000, "p95": 1_000_000_000}),
        "with the durations of the caller's span"
    );
    assert_eq!((&calls("dice-roller")["to"], &calls("dice-roller")["calls"]), (&json!("redis"), &json!(5)));
    assert_eq!(map["calls"].as_array().map(Vec::len), Some(2), "steps within a service are no calls");
    let frontend = map["services"].as_array().unwrap().iter().find(|service| service["name"] == "frontend").unwrap();
    assert_eq!((&frontend["spans"], &frontend["entries"]["calls"]), (&json!(15), &json!(5)));
    let redis = map["services"].as_array().unwrap().iter().find(|service| service["name"] == "redis").unwrap();
    assert_eq!(redis["spans"], 0, "it is called and sends none");
    assert_eq!(map["traces"], 5);
}

#[test]
fn map_of_one_trace_has_only_its_services() {
    let viewer = Viewer::start(&[]);
    let (one, other) = (new_trace(), new_trace());
    viewer.send("one", &[span(&one, 1, 0, "a", 0, 5)]);
    viewer.send("other", &[span(&other, 1, 0, "a", 0, 5)]);
    let services = |path: &str| viewer.json(path)["services"].as_array().map(Vec::len);
    assert_eq!(services("/view/map"), Some(2));
    assert_eq!(viewer.json(&format!("/view/traces/{one}/map"))["services"][0]["name"], "one");
    assert_eq!(services(&format!("/view/traces/{one}/map")), Some(1));
    assert_eq!(services(&format!("/view/traces/{}/map", new_trace())), Some(0), "unknown");
}

#[test]
fn map_of_20_000_services_has_the_busiest_and_how_many_more() {
    let viewer = Viewer::start(&[]);
    let trace = send_services(&viewer, 20_000);
    viewer.send("busy", &(30_000..30_009).map(|n| span(&trace, n, 1, "step", 0, 5)).collect::<Vec<_>>());
    for path in ["/view/map".to_owned(), format!("/view/traces/{trace}/map")] {
        let response = viewer.get(&path).text().expect("text");
        assert!(response.len() < 10_000, "{}", response.len());
        let map: Value = serde_json::from_str(&response).expect("JSON");
        assert_eq!(map["services"][0]["name"], "busy");
        assert_eq!((map["services"].as_array().map(Vec::len), &map["more_services"]), (Some(30), &json!(19_971)));
    }
}
