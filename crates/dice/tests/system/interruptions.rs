//! A client that leaves, a stop in the middle of work, and runs that a seed repeats.

use std::io::Write;
use std::net::TcpStream;

use serde_json::Value;

use tempo_client::StatusCode;
use test_support::{eventually, http};

use crate::common::System;

use crate::common::backend::One;

#[test]
fn client_that_leaves_cancels_rolls_and_ends_their_spans() {
    let mut system = System::start(&[("ROLL_DELAY_MAX_MS", "60000"), ("ROLL_SEED", "1")]);
    let dice_roller = system.ports.dice_roller();
    let sample = |name: &str| http::metrics(&dice_roller).get(name).copied().unwrap_or(0.0);
    let id = "0af7651916cd43dd8448eb211c80319c";

    let mut client = TcpStream::connect(system.ports.frontend().trim_start_matches("http://")).unwrap();
    let request = format!(
        "GET /roll-async?die=fair&times=20 HTTP/1.1\r\nhost: x\r\ntraceparent: 00-{id}-b7ad6b7169203331-01\r\n\r\n"
    );
    client.write_all(request.as_bytes()).unwrap();
    eventually("rolls under way", || (sample("async_rolls_in_progress") > 0.0).then_some(()));
    drop(client);
    eventually("no roll under way", || (sample("async_rolls_in_progress") == 0.0).then_some(()));

    let cancelled = sample(r#"async_rolls_total{die_type="fair",result="cancelled"}"#);
    let finished = sample(r#"async_rolls_total{die_type="fair",result="success"}"#);
    assert!(cancelled > 0.0);
    assert_eq!(cancelled + finished, 20.0);
    let refused = r#"http_requests_total{handler="/roll-async",method="GET",status="4xx"}"#;
    eventually("the request counted", || (sample(refused) == 1.0).then_some(()));
    system.stop();

    let trace = system.trace(id, 25);
    let is_cancelled = |error: Option<&Value>| error.is_some_and(|error| error == "cancelled");
    for service in ["frontend", "dice-roller"] {
        let request = trace.one("GET /roll-async", "SERVER", service);
        assert!(is_cancelled(request.attributes.get("error.type")), "{request:?}");
        assert!(system.log_of("Request not answered").iter().any(|line| line["span_id"] == request.id));
    }
    let call = trace.one("GET", "CLIENT", "frontend");
    assert_eq!((call.attributes.get("error.type"), call.status.code), (None, StatusCode::Unset), "{call:?}");
    let rolls = trace.spans.iter().filter(|span| span.name.starts_with("async_roll_"));
    let ended_early = rolls.filter(|roll| is_cancelled(roll.attributes.get("error.type"))).count();
    assert_eq!(ended_early as f64, cancelled);
}

#[test]
fn sigterm_during_batches_loses_no_response_and_no_span() {
    let mut system = System::start(&[]);
    let url = system.ports.frontend() + "/roll-async?die=fair&times=5";
    let clients: Vec<_> = (0..10)
        .map(|_| {
            let url = url.clone();
            std::thread::spawn(move || http::get(url))
        })
        .collect();
    // All have begun, and each takes as long as the slowest of five rolls.
    let batches = || http::metrics(&system.ports.dice_roller())["async_roll_batch_size_count"];
    eventually("ten batches under way", || (batches() == 10.0).then_some(()));
    let finished = http::metrics(&system.ports.dice_roller())["async_roll_duration_seconds_count"];
    assert!(finished < 10.0, "nothing was in flight any more");
    system.stop();

    for client in clients {
        let response = client.join().unwrap();
        assert_eq!(response.status, 200, "{}", response.text());
        let trace = system.trace(&response.trace_id(), 10);
        assert_eq!(trace.spans.len(), 10, "{}", trace.tree());
    }
    let lost = system.log_of("Spans were lost: the receiver did not take them before the process ended");
    assert_eq!(lost, [] as [Value; 0]);
}

#[test]
fn seed_repeats_rolls_of_whole_system() {
    let rolls = |seed: &str| {
        let system = System::start(&[("ROLL_SEED", seed), ("ROLL_DELAY_MAX_MS", "0")]);
        let batch = |_| system.get("/roll-async?die=fair&times=20").json()["rolls"].clone();
        (0..3).map(batch).collect::<Vec<_>>()
    };
    let first = rolls("7");
    assert_eq!(first, rolls("7"));
    assert_ne!(first, rolls("8"));
    assert_ne!(first[0], first[1]);
}
