//! One click on "Roll": its trace, its log lines, and that the rolls really ran at the same time.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tempo_client::{StatusCode, Trace};

use test_support::http;

use crate::common::System;

use crate::common::backend::One;

/// The trace of one request to frontend, from a system that has stopped, so that nothing comes after it.
fn click(path: &str, spans: usize) -> (System, Trace) {
    // With this seed the shortest of the first five rolls takes half a second: time enough to start all of them.
    let mut system = System::start(&[("ROLL_SEED", "3")]);
    let response = http::send(http::client().get(system.ports.frontend() + path).header("user-agent", "a person"));
    assert_eq!(response.status, 200, "{}", response.text());
    let id = response.trace_id();
    assert!(response.header("traceresponse").unwrap().starts_with(&format!("00-{id}-")));
    system.stop();
    let trace = system.trace(&id, spans);
    (system, trace)
}

#[test]
fn batch_of_five_is_one_trace_of_ten_spans() {
    let (_, trace) = click("/roll-async?die=fair&times=5", 10);
    let contract = "\
GET /roll-async SERVER frontend
  GET CLIENT frontend
    GET /roll-async SERVER dice-roller
      GET CLIENT dice-roller
        GET /dice SERVER die-service
      async_roll_0 INTERNAL dice-roller
      async_roll_1 INTERNAL dice-roller
      async_roll_2 INTERNAL dice-roller
      async_roll_3 INTERNAL dice-roller
      async_roll_4 INTERNAL dice-roller
";
    assert_eq!(trace.tree(), contract);
    assert_eq!(trace.one("GET /roll-async", "SERVER", "frontend").parent_id, "");
}

#[test]
fn single_roll_is_one_trace_of_five_spans() {
    let (_, trace) = click("/roll?die=fair", 5);
    let contract = "\
GET /roll SERVER frontend
  GET CLIENT frontend
    GET /roll SERVER dice-roller
      GET CLIENT dice-roller
        GET /dice SERVER die-service
";
    assert_eq!(trace.tree(), contract);
}

#[test]
fn rolls_of_a_batch_overlap() {
    let (_, trace) = click("/roll-async?die=fair&times=5", 10);
    let trace = trace_check::Trace::from(trace);
    let batch = trace.span("GET /roll-async").service("dice-roller").exactly_once();
    let rolls = batch.children("async_roll_*").count(5).all_overlap().begins_inside_parent().ends_inside_parent();
    rolls.clone().after(&batch.descendants("GET /dice"));
    batch.takes(..1.0, &rolls.sum());
    trace.whole().no_open_spans().one_root().no_errors();
}

/// Exactly these attributes: none that the bridge adds for itself, numbers as numbers, lists as lists.
#[test]
fn spans_carry_the_attributes_of_the_contract() {
    let (system, trace) = click("/roll-async?die=fair&times=5", 10);
    let port = |port: u16| port + system.ports.offset;
    let (frontend, dice_roller, die_service) =
        (system.ports.frontend(), system.ports.dice_roller(), system.ports.die_service());
    let server = |path: &str, query: &str, number: u16| {
        json!({
            "http.request.method": "GET", "http.route": path, "http.response.status_code": 200,
            "url.path": path, "url.query": query, "url.scheme": "http",
            "server.address": "127.0.0.1", "server.port": port(number),
            "client.address": "127.0.0.1", "network.protocol.version": "1.1",
        })
    };
    let client = |url: String, number: u16| {
        json!({
            "http.request.method": "GET", "http.response.status_code": 200, "url.full": url,
            "server.address": "127.0.0.1", "server.port": port(number), "network.protocol.version": "1.1",
            "network.peer.address": "127.0.0.1", "network.peer.port": port(number),
        })
    };
    let attributes = |name: &str, kind: &str, service: &str| json!(trace.one(name, kind, service).attributes);
    let with = |mut object: Value, more: Value| {
        object.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        object
    };
    assert!(frontend.ends_with(&port(8108).to_string()));

    assert_eq!(
        attributes("GET /roll-async", "SERVER", "frontend"),
        with(
            server("/roll-async", "die=fair&times=5", 8108),
            json!({
                "user_agent.original": "a person",
            })
        )
    );
    assert_eq!(
        attributes("GET", "CLIENT", "frontend"),
        client(format!("{dice_roller}/roll-async?die=fair&times=5"), 8107)
    );
    let rolls: Vec<_> = (0..5)
        .map(|index| attributes(&format!("async_roll_{index}"), "INTERNAL", "dice-roller")["die.result"].clone())
        .collect();
    let total: i64 = rolls.iter().map(|roll| roll.as_i64().unwrap()).sum();
    assert_eq!(
        attributes("GET /roll-async", "SERVER", "dice-roller"),
        with(
            server("/roll-async", "die=fair&times=5", 8107),
            json!({
                "async.batch_size": 5, "async.concurrency": 5, "async.total_result": total,
                "die.type": "fair", "die.faces": [1, 2, 3, 4, 5, 6], "die.error_rate": 0.0,
            })
        )
    );
    assert_eq!(attributes("GET", "CLIENT", "dice-roller"), client(format!("{die_service}/dice?identifier=fair"), 8106));
    assert_eq!(
        attributes("GET /dice", "SERVER", "die-service"),
        with(server("/dice", "identifier=fair", 8106), json!({"die.identifier": "fair", "die.found": true}))
    );
    for (index, roll) in rolls.iter().enumerate() {
        assert_eq!(
            attributes(&format!("async_roll_{index}"), "INTERNAL", "dice-roller"),
            json!({"async.roll_index": index, "die.type": "fair", "die.result": roll, "die.error": false})
        );
    }
    assert!(trace.spans.iter().all(|span| span.status.code == StatusCode::Unset));
}

#[test]
fn every_span_id_in_the_log_was_exported_by_the_same_service() {
    let (system, trace) = click("/roll-async?die=fair&times=5", 10);
    let mut traces = BTreeMap::new();
    let mut lines = 0;
    for line in system.log() {
        let (Some(trace_id), Some(span_id)) = (line["trace_id"].as_str(), line["span_id"].as_str()) else { continue };
        let spans = &traces.entry(trace_id.to_owned()).or_insert_with(|| system.trace(trace_id, 1)).spans;
        let span = spans.iter().find(|span| span.id == span_id).unwrap_or_else(|| panic!("not exported: {line}"));
        assert_eq!(line["service"], span.service);
        if line["message"] == "Async roll completed" {
            assert_eq!(span.name, format!("async_roll_{}", line["roll_index"]));
        }
        lines += 1;
    }
    // Of the click alone: 2 lines of frontend, 1 of die-service, 3 and 5 of dice-roller.
    assert!(lines >= 11, "{lines} lines with ids");
    assert!(traces.values().any(|found| found.tree() == trace.tree()));
}

#[test]
fn trace_of_caller_is_continued_and_malformed_one_is_not() {
    let mut system = System::start(&[("ROLL_DELAY_MAX_MS", "0")]);
    let (id, parent) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
    let roll = |traceparent: &str| {
        http::send(http::client().get(system.ports.frontend() + "/roll?die=fair").header("traceparent", traceparent))
            .trace_id()
    };
    assert_eq!(roll(&format!("00-{id}-{parent}-01")), id);
    for malformed in [
        format!("00-{}-{parent}-01", id.to_uppercase()),
        format!("00-{id}-{parent}-01-more"),
        format!("00-{id}-0000000000000000-01"),
        format!("ff-{id}-{parent}-01"),
    ] {
        assert_ne!(roll(&malformed), id, "{malformed}");
    }
    system.stop();
    let trace = system.trace(id, 5);
    assert_eq!(trace.spans.len(), 5, "{}", trace.tree());
    assert_eq!(trace.one("GET /roll", "SERVER", "frontend").parent_id, parent);
}
