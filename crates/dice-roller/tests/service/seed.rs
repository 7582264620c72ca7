//! `seed` and `details`: the same rolls whatever else happens, and the times of each.

use serde_json::{Value, json};
use telemetry::testing::attribute;

use crate::common::{TestService, get_json, start};

async fn batch(service: &TestService, query: &str) -> Value {
    let (status, body) = get_json(service, &format!("/roll-async?{query}")).await;
    assert_eq!(status, 200, "{query}: {body}");
    body
}

fn numbers(body: &Value, field: &str) -> Vec<f64> {
    body["details"].as_array().unwrap().iter().map(|detail| detail[field].as_f64().unwrap()).collect()
}

#[tokio::test]
async fn seed_gives_the_same_rolls_and_failures_whatever_concurrency_is_and_else_runs() {
    let query = "die=extreme&times=20&strategy=best-effort&seed=18446744073709551615";
    let rolled = |body: &Value| (body["rolls"].clone(), body["failed"].clone(), body["total"].clone());
    let first = rolled(&batch(&start(&[]).await, query).await);
    assert!(first.0.to_string().contains("null") && first.0.to_string().contains('6'), "{first:?}");

    let other = start(&["--roll-seed=99", "--roll-delay-max-ms=20"]).await;
    for concurrency in [1, 3, 20] {
        let query = format!("{query}&concurrency={concurrency}");
        let (again, ..) = tokio::join!(
            batch(&other, &query),
            batch(&other, "die=fair&times=7"),
            batch(&other, "die=fair&times=20&seed=5"),
            get_json(&other, "/roll?die=extreme")
        );
        assert_eq!(rolled(&again), first, "{concurrency}");
    }
    assert_ne!(rolled(&batch(&other, "die=extreme&times=20&strategy=best-effort&seed=2").await), first);
}

/// A timer is late, never early: the least of three runs is close to the simulated delay, of 0 to 400 ms. Delays that
/// are not the same would differ by a third of that on average.
#[tokio::test]
async fn seed_gives_the_same_delays_whatever_concurrency_is() {
    let service = start(&["--roll-delay-max-ms=400"]).await;
    let mut least = Vec::new();
    for concurrency in [1, 5] {
        let mut seconds = vec![f64::MAX; 5];
        for _ in 0..3 {
            let query = format!("die=fair&times=5&seed=7&details=true&concurrency={concurrency}");
            let run = numbers(&batch(&service, &query).await, "seconds");
            seconds.iter_mut().zip(run).for_each(|(least, took)| *least = least.min(took));
        }
        least.push(seconds);
    }
    for (one, all) in least[0].iter().zip(&least[1]) {
        assert!((one - all).abs() < 0.04, "{least:?}");
    }
}

#[tokio::test]
async fn details_have_the_times_of_each_roll_as_the_trace_has_them() {
    let service = start(&["--roll-delay-max-ms=100"]).await;
    let body = batch(&service, "die=extreme&times=8&strategy=best-effort&details=true&seed=3").await;
    assert!(!body["failed"].as_array().unwrap().is_empty(), "failed rolls have their times too: {body}");
    assert_eq!(numbers(&body, "index"), (0..8).map(f64::from).collect::<Vec<_>>());
    let (start_of, seconds) = (numbers(&body, "start"), numbers(&body, "seconds"));
    let first_end = start_of.iter().zip(&seconds).map(|(start, took)| start + took).fold(f64::MAX, f64::min);
    assert!(start_of.iter().all(|start| (0.0..first_end).contains(start)), "{body}");

    // The events of the span stand in the order of completion.
    let span = service.span("GET /roll-async").await.unwrap();
    let finished = numbers(&body, "finished");
    for (place, event) in (1..).zip(span.events.iter()) {
        let value = |name: &str| event.attributes.iter().find(|a| a.key.as_str() == name).unwrap().value.to_string();
        let index: usize = value("async.roll_index").parse().unwrap();
        assert_eq!(finished[index], f64::from(place), "{body}");
        assert_eq!(seconds[index] * 1000.0, value("duration_ms").parse::<f64>().unwrap());
    }
    assert_eq!((span.events.len(), attribute(&span, "async.batch_size")), (8, "8".to_owned()));
}

#[tokio::test]
async fn details_of_rolls_one_after_the_other_follow_each_other() {
    let service = start(&["--roll-delay-max-ms=30"]).await;
    let body = batch(&service, "die=fair&times=6&concurrency=1&details=true").await;
    assert_eq!(numbers(&body, "finished"), (1..7).map(f64::from).collect::<Vec<_>>());
    let (start_of, seconds) = (numbers(&body, "start"), numbers(&body, "seconds"));
    for next in 1..6 {
        assert!(start_of[next] >= start_of[next - 1] + seconds[next - 1], "{body}");
    }
}

#[tokio::test]
async fn details_are_only_in_a_response_with_rolls_that_asks_for_them() {
    let service = start(&[]).await;
    for query in ["", "&details=false"] {
        assert_eq!(batch(&service, &format!("die=fair&times=3{query}")).await.get("details"), None);
    }
    let (status, body) = get_json(&service, "/roll-async?die=extreme&times=20&details=true").await;
    assert_eq!((status, body.get("details")), (500, None));
}

#[tokio::test]
async fn malformed_seed_or_details_is_422_with_what_is_allowed() {
    let service = start(&[]).await;
    let seeds = "a whole number from 0 to 18446744073709551615";
    for (query, name, allowed) in [
        ("seed=-1", "seed", seeds),
        ("seed=18446744073709551616", "seed", seeds),
        ("seed=1.0", "seed", seeds),
        ("seed=", "seed", seeds),
        ("details=yes", "details", "true, false"),
        ("details=", "details", "true, false"),
    ] {
        let (status, body) = get_json(&service, &format!("/roll-async?die=fair&times=3&{query}")).await;
        let given = query.split_once('=').unwrap().1;
        let detail = format!("Parameter '{name}' is '{given}'; allowed: {allowed}");
        assert_eq!((status, &body["detail"]), (422, &json!(detail)));
    }
    let twice = get_json(&service, "/roll-async?die=fair&times=3&seed=1&seed=1").await;
    assert_eq!((twice.0, &twice.1["detail"]), (422, &json!("Parameter 'seed' is given more than once; allowed: once")));
}
