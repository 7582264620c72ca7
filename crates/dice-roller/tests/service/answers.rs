//! The real app, with the real die-service: what it answers, and what it tells about each answer.

use std::time::Duration;

use opentelemetry::trace::Status;
use opentelemetry_sdk::trace::SpanData;
use serde_json::json;
use telemetry::testing::attribute;
use trace_check::Kind;

use crate::common::{TestService, eventually, get, get_json, start, trace};

/// The server span of dice-roller; die-service's has another route.
async fn server_span(service: &TestService, name: &str) -> SpanData {
    service.span(name).await.unwrap()
}

fn rolls_of(service: &TestService) -> Vec<SpanData> {
    let mut rolls: Vec<_> = service.spans().into_iter().filter(|span| span.name.starts_with("async_roll_")).collect();
    rolls.sort_by_key(|span| attribute(span, "async.roll_index").parse::<u32>().unwrap());
    rolls
}

#[tokio::test]
async fn it_says_what_it_is() {
    let service = start(&[]).await;
    let (status, body) = get_json(&service, "/").await;
    assert_eq!((status, &body["service"], &body["stage"]), (200, &json!("Dice Roller API"), &json!("4")));
    for key in ["version", "endpoints", "integration", "features"] {
        assert!(!body[key].is_null(), "{key}");
    }
}

#[tokio::test]
async fn one_roll_is_a_trace_of_three_spans_here_with_its_facts_on_the_server_span() {
    let service = start(&[]).await;
    let (status, body) = get_json(&service, "/roll?die=fair").await;
    let roll = body["roll"].as_i64().unwrap();
    assert!(status == 200 && (1..=6).contains(&roll), "{body}");

    let server = server_span(&service, "GET /roll").await;
    let client = service.span("GET").await.unwrap();
    let trace = trace(&service);
    trace.whole().spans(3).one_root();
    trace.span("GET /roll").kind(Kind::Server).root();
    trace.span("GET").kind(Kind::Client).parent("GET /roll");
    trace.span("GET /dice").parent("GET");
    for (name, value) in [
        ("die.type", "fair"),
        ("die.faces", "[1,2,3,4,5,6]"),
        ("die.error_rate", "0"),
        ("die.result", &roll.to_string()),
        ("die.error", "false"),
    ] {
        assert_eq!(attribute(&server, name), value, "{name}");
    }
    assert!(attribute(&client, "url.full").ends_with("/dice?identifier=fair"));
    assert_eq!(attribute(&client, "http.response.status_code"), "200");
    assert_eq!((attribute(&client, "server.address"), client.status.clone()), ("127.0.0.1".into(), Status::Unset));

    for (message, count) in
        [("Roll request received", 1), ("Querying die service for specification", 1), ("Roll completed", 1)]
    {
        let lines = service.lines_with(message).unwrap();
        assert_eq!(lines.len(), count, "{message}");
        assert_eq!(lines[0]["span_id"], server.span_context.span_id().to_string());
    }
    assert_eq!(service.metric(r#"dice_rolls_total{die_type="fair",result="success"}"#), Some(1.0));
    assert_eq!(service.metric(r#"dice_roll_value_sum{die_type="fair"}"#), Some(roll as f64));
    assert_eq!(service.metric(r#"roll_duration_seconds_count{mode="sync"}"#), Some(1.0));
    assert_eq!(service.metric(r#"die_service_requests_total{identifier="fair",status="success"}"#), Some(1.0));
    assert_eq!(service.metric("die_service_request_duration_seconds_count"), Some(1.0));
}

#[tokio::test]
async fn a_batch_is_n_overlapping_children_of_the_server_span() {
    let service = start(&["--roll-delay-max-ms=200"]).await;
    let (status, body) = get_json(&service, "/roll-async?die=fair&times=10").await;
    assert_eq!((status, &body["count"]), (200, &json!(10)));
    assert!(body.get("failed").is_none());
    let faces: Vec<i64> = serde_json::from_value(body["rolls"].clone()).unwrap();
    assert_eq!(body["total"], faces.iter().sum::<i64>());

    let server = server_span(&service, "GET /roll-async").await;
    let trace = trace(&service);
    trace.whole().spans(13).one_root(); // server, client, die-service, ten rolls
    let batch = trace.span("GET /roll-async").exactly_once();
    let rolls = batch.children("async_roll_*").kind(Kind::Internal).count(10);
    let rolls = rolls.attribute("die.type", "fair").attribute("die.error", false).all_overlap();
    for (index, face) in faces.iter().enumerate() {
        // Rolls are answered in index order.
        batch.children(&format!("async_roll_{index}")).exactly_once().attribute("die.result", *face);
    }
    // The batch took as long as its slowest roll, to within a small part of it.
    let batch = batch.takes(..0.5, &rolls.sum()).takes(1.0.., &rolls.longest());
    let batch =
        batch.attribute("async.batch_size", 10).attribute("async.concurrency", 10).attribute("die.type", "fair");
    batch.attribute("async.total_result", body["total"].clone()).events("*", 10).events("roll completed", 10);
    assert!(server.events.is_sorted_by_key(|event| event.timestamp));
}

#[tokio::test]
async fn each_line_of_a_batch_carries_the_ids_of_its_own_span() {
    let service = start(&["--roll-delay-max-ms=20"]).await;
    let (_, body) = get_json(&service, "/roll-async?die=fair&times=5").await;
    let server = server_span(&service, "GET /roll-async").await;
    let rolls = rolls_of(&service);
    let lines = service.lines_with("Async roll completed").unwrap();
    assert_eq!(lines.len(), 5);
    for line in lines {
        let index = line["roll_index"].as_u64().unwrap() as usize;
        assert_eq!(line["span_id"], rolls[index].span_context.span_id().to_string());
        assert_eq!(line["trace_id"], server.span_context.trace_id().to_string());
        assert_eq!((&line["roll_value"], &line["die_type"]), (&body["rolls"][index], &json!("fair")));
    }
    let started = &service.lines_with("Async roll batch started").unwrap()[0];
    assert_eq!((&started["die_type"], &started["times"]), (&json!("fair"), &json!(5)));
    let completed = &service.lines_with("Async roll batch completed").unwrap()[0];
    assert_eq!((&completed["rolls"], &completed["total"]), (&body["rolls"], &body["total"]));
    assert!(completed["duration"].as_f64().unwrap() > 0.0);
    assert_eq!(completed["span_id"], server.span_context.span_id().to_string());
}

#[tokio::test]
async fn metrics_of_a_batch_move_by_what_was_rolled() {
    let service = start(&[]).await;
    get_json(&service, "/roll-async?die=fair&times=5").await;
    get_json(&service, "/roll-async?die=fair&times=20").await;
    for (sample, value) in [
        (r#"async_rolls_total{die_type="fair",result="success"}"#, 25.0),
        ("async_roll_batch_size_sum", 25.0),
        ("async_roll_batch_size_count", 2.0),
        ("async_roll_duration_seconds_count", 2.0),
        (r#"roll_duration_seconds_count{mode="async"}"#, 25.0),
        (r#"roll_duration_seconds_count{mode="sync"}"#, 0.0),
        ("async_rolls_in_progress", 0.0),
        (r#"die_service_requests_total{identifier="fair",status="success"}"#, 2.0),
        (r#"die_specifications_requested_total{identifier="fair"}"#, 2.0),
        (r#"http_requests_total{handler="/roll-async",method="GET",status="2xx"}"#, 2.0),
    ] {
        assert_eq!(service.metric(sample), Some(value), "{sample}");
    }
}

/// The seed 1 is one under which some of the twenty rolls of the extreme die fail and some do not.
#[tokio::test]
async fn a_failed_roll_fails_the_batch_and_the_others_still_finish() {
    let service = start(&[]).await;
    let (status, body) = get_json(&service, "/roll-async?die=extreme&times=20").await;
    let server = server_span(&service, "GET /roll-async").await;
    let rolls = rolls_of(&service);
    let failed: Vec<String> =
        (0..20).filter(|i| attribute(&rolls[*i], "die.error") == "true").map(|i| i.to_string()).collect();
    assert!(rolls.len() == 20 && !failed.is_empty() && failed.len() < 20);
    let detail = body["detail"].as_str().unwrap();
    assert_eq!(status, 500);
    assert!(detail.starts_with("Async roll batch failed: ") && detail.contains(&failed.join(", ")), "{detail}");

    assert!(matches!(&server.status, Status::Error { description } if description == detail), "{:?}", server.status);
    assert_eq!(attribute(&server, "error.type"), "500");
    let trace = trace(&service);
    trace.span("async_roll_*").with("die.error", true).failed();
    trace.span("async_roll_*").with("die.error", false).not_failed();
    trace.whole().errors_are_explained();
    let n = failed.len() as f64;
    assert_eq!(service.metric(r#"async_rolls_total{die_type="extreme",result="error"}"#), Some(n));
    assert_eq!(service.metric(r#"async_rolls_total{die_type="extreme",result="success"}"#), Some(20.0 - n));
    assert_eq!(service.metric("async_roll_duration_seconds_count"), Some(1.0), "failed batches are timed too");
    let conditions = service.lines_with("Async roll triggered error condition").unwrap();
    assert_eq!(conditions.len(), failed.len());
    assert!(conditions.iter().all(|line| line["level"] == "ERROR" && line["error_rate"] == 0.5));
    let batch = &service.lines_with("Async roll batch failed").unwrap()[0];
    assert_eq!((&batch["level"], &batch["error"], &batch["times"]), (&json!("ERROR"), &json!(detail), &json!(20)));
}

#[tokio::test]
async fn best_effort_answers_what_succeeded() {
    let service = start(&[]).await;
    let (status, body) = get_json(&service, "/roll-async?die=extreme&times=20&strategy=best-effort").await;
    assert_eq!((status, &body["count"]), (200, &json!(20)));
    let rolls = body["rolls"].as_array().unwrap();
    let failed: Vec<usize> = (0..20).filter(|i| rolls[*i].is_null()).collect();
    assert!(!failed.is_empty() && failed.len() < 20);
    let named: Vec<usize> =
        body["failed"].as_array().unwrap().iter().map(|f| f["index"].as_u64().unwrap() as usize).collect();
    assert_eq!(failed, named);
    assert_eq!(body["failed"][0]["error"], "Die 'extreme' failed!");
    assert_eq!(body["total"], rolls.iter().filter_map(|roll| roll.as_i64()).sum::<i64>());
    assert_eq!(server_span(&service, "GET /roll-async").await.status, Status::Unset);
}

#[tokio::test]
async fn a_single_roll_that_fails_is_500_with_the_contracts_words() {
    let service = start(&[]).await;
    let mut failures = 0;
    for _ in 0..20 {
        let (status, body) = get_json(&service, "/roll?die=extreme").await;
        if status == 500 {
            assert_eq!(body["detail"], "Die 'extreme' failed!");
            failures += 1;
        }
    }
    assert!((1..20).contains(&failures));
    assert_eq!(service.metric(r#"dice_rolls_total{die_type="extreme",result="error"}"#), Some(f64::from(failures)));
    let lines = service.lines_with("Die triggered error condition").unwrap();
    assert!(lines.len() == failures as usize && lines.iter().all(|line| line["level"] == "ERROR"));
}

#[tokio::test]
async fn a_seed_makes_batches_repeatable() {
    let mut answers = Vec::new();
    for _ in 0..2 {
        let service = start(&["--roll-seed=42"]).await;
        let first = get_json(&service, "/roll-async?die=fair&times=20").await.1;
        let second = get_json(&service, "/roll-async?die=fair&times=20").await.1;
        assert_ne!(first, second);
        answers.push((first, second));
    }
    assert_eq!(answers[0], answers[1]);
}

#[tokio::test]
async fn concurrency_draws_a_staircase_or_waves() {
    for concurrency in [1, 3, 6] {
        let service = start(&["--roll-delay-max-ms=60"]).await;
        let path = format!("/roll-async?die=fair&times=6&concurrency={concurrency}");
        assert_eq!(get_json(&service, &path).await.0, 200);
        server_span(&service, "GET /roll-async").await;
        let trace = trace(&service);
        trace.span("GET /roll-async").attribute("async.concurrency", concurrency);
        trace.span("async_roll_*").count(6).peak_concurrency(concurrency);
    }
}

#[tokio::test]
async fn an_unknown_die_is_404_and_labelled_unknown() {
    let service = start(&[]).await;
    for path in ["/roll?die=gold", "/roll-async?die=gold&times=2"] {
        let (status, body) = get_json(&service, path).await;
        assert_eq!((status, &body["detail"]), (404, &json!("Die 'gold' not found; there are: fair, risky, extreme")));
    }
    assert_eq!(service.metric(r#"dice_rolls_total{die_type="unknown",result="error"}"#), Some(1.0));
    assert_eq!(service.metric(r#"die_service_requests_total{identifier="unknown",status="error_404"}"#), Some(2.0));
    assert!(!service.metrics_text().contains("gold"));
    let server = server_span(&service, "GET /roll").await;
    assert_eq!(server.status, Status::Unset);
    let client = service.span("GET").await.unwrap();
    assert!(matches!(client.status, Status::Error { .. }), "a 4xx marks the client span");
    assert_eq!(attribute(&client, "error.type"), "404");
    assert_eq!(service.metric("async_roll_batch_size_count"), Some(1.0), "counted before the die is asked for");
    assert_eq!(service.metric("async_roll_duration_seconds_count"), Some(0.0));
}

#[tokio::test]
async fn bad_parameters_are_422_name_themselves_and_ask_nobody() {
    let service = start(&[]).await;
    for (path, name) in [
        ("/roll", "die"),
        ("/roll?die=", "die"),
        ("/roll-async?times=5", "die"),
        ("/roll-async?die=fair", "times"),
        ("/roll-async?die=fair&times=0", "times"),
        ("/roll-async?die=fair&times=21", "times"),
        ("/roll-async?die=fair&times=-1", "times"),
        ("/roll-async?die=fair&times=5.5", "times"),
        ("/roll-async?die=fair&times=abc", "times"),
        ("/roll-async?die=fair&times=99999999999999999999", "times"),
        ("/roll-async?die=fair&times=5&times=5", "times"),
        ("/roll-async?die=fair&times=5&concurrency=6", "concurrency"),
        ("/roll-async?die=fair&times=5&concurrency=0", "concurrency"),
        ("/roll-async?die=fair&times=5&strategy=hope", "strategy"),
    ] {
        let (status, body) = get_json(&service, path).await;
        let detail = body["detail"].as_str().unwrap();
        assert_eq!(status, 422, "{path}: {body}");
        assert!(detail.contains(&format!("'{name}'")) && detail.contains("allowed"), "{path}: {detail}");
    }
    assert_eq!(service.metric("die_service_request_duration_seconds_count"), Some(0.0));
    assert_eq!(service.metric("async_roll_batch_size_count"), Some(0.0), "only valid requests");
}

#[tokio::test]
async fn a_client_that_goes_away_cancels_its_batch() {
    let service = start(&["--roll-delay-max-ms=60000"]).await;
    let url = format!("{}/roll-async?die=fair&times=20", service.url);
    let gone = reqwest::Client::new().get(url).timeout(Duration::from_millis(300)).send().await;
    assert!(gone.unwrap_err().is_timeout());
    eventually("the rolls stop", || (service.metric("async_rolls_in_progress") == Some(0.0)).then_some(())).await;

    let server = server_span(&service, "GET /roll-async").await;
    assert_eq!(attribute(&server, "error.type"), "cancelled");
    let rolls = rolls_of(&service);
    let cancelled = rolls.iter().filter(|roll| attribute(roll, "error.type") == "cancelled").count();
    assert_eq!(rolls.len(), 20, "every span ended");
    assert!(cancelled > 0);
    let sample = r#"async_rolls_total{die_type="fair",result="cancelled"}"#;
    assert_eq!(service.metric(sample), Some(cancelled as f64));
    assert_eq!(service.metric("async_roll_duration_seconds_count"), Some(0.0));
    assert_eq!(service.metric(r#"http_requests_total{handler="/roll-async",method="GET",status="4xx"}"#), Some(1.0));
    let line = &service.lines_with("Request not answered").unwrap()[0];
    assert_eq!(
        (&line["error"], &line["span_id"]),
        (&json!("cancelled"), &json!(server.span_context.span_id().to_string()))
    );
}

#[tokio::test]
async fn the_callers_deadline_ends_the_batch() {
    let service = start(&["--roll-delay-max-ms=60000"]).await;
    let send = async |value: &str| {
        let request = reqwest::Client::new().get(format!("{}/roll-async?die=fair&times=20", service.url));
        let response = request.header("x-request-timeout-ms", value).send().await.unwrap();
        (response.status().as_u16(), response.json::<serde_json::Value>().await.unwrap())
    };
    let (status, body) = send("200").await;
    assert_eq!(status, 504, "{body}");
    eventually("the rolls stop", || (service.metric("async_rolls_in_progress") == Some(0.0)).then_some(())).await;
    assert_eq!(rolls_of(&service).len(), 20);
    let server = server_span(&service, "GET /roll-async").await;
    assert!(matches!(server.status, Status::Error { .. }));
    for malformed in ["", "-1", "1s", "0x10"] {
        assert_eq!(send(malformed).await.0, 400, "{malformed:?}");
    }
}

#[tokio::test]
async fn a_full_queue_is_429_at_once_and_a_roll_that_waits_says_so() {
    let service = start(&["--roll-delay-max-ms=100", "--max-concurrent-rolls=4", "--max-queued-rolls=8"]).await;
    let refused = get(&service, "/roll-async?die=fair&times=13").await;
    assert_eq!((refused.status().as_u16(), &refused.headers()["retry-after"]), (429, &"1".parse().unwrap()));
    assert_eq!(service.metric("async_roll_duration_seconds_count"), Some(0.0), "no roll of it ran");

    assert_eq!(get_json(&service, "/roll-async?die=fair&times=12").await.0, 200);
    let waited: Vec<_> =
        rolls_of(&service).into_iter().filter(|r| !attribute(r, "async.queue_wait_ms").is_empty()).collect();
    assert_eq!(waited.len(), 8, "four ran at once");
    assert!(waited.iter().all(|roll| roll.events.iter().any(|event| event.name == "permit acquired")));
    assert_eq!(service.metric("async_roll_queue_seconds_count"), Some(8.0));
    assert_eq!(service.metric("async_rolls_queued"), Some(0.0));
}
