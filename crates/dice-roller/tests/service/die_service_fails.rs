//! What dice-roller says when die-service cannot be had. The neighbours here are stubs where the real one cannot be
//! made to misbehave like that: one that never answers, one that answers nonsense, one that nobody started.

use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get as route;
use opentelemetry::trace::Status;
use serde_json::json;
use telemetry::testing::attribute;
use test_support::NOWHERE;

use crate::common::{eventually, get, get_json, serve, start_beside};

#[tokio::test]
async fn unreachable_is_503_with_retry_after_and_named_so_in_every_signal() {
    let service = start_beside(NOWHERE, &[]).await;
    let response = get(&service, "/roll?die=fair").await;
    assert_eq!((response.status().as_u16(), &response.headers()["retry-after"]), (503, &"1".parse().unwrap()));

    let server = service.span("GET /roll").await.unwrap();
    let client = service.span("GET").await.unwrap();
    assert_eq!(attribute(&client, "error.type"), "connection_error");
    assert!(matches!(&client.status, Status::Error { description } if description.contains("refused")), "{client:?}");
    assert!(matches!(&server.status, Status::Error { .. }));
    let sample = r#"die_service_requests_total{identifier="unknown",status="connection_error"}"#;
    assert_eq!(service.metric(sample), Some(1.0), "never confirmed, so unknown");
    assert_eq!(service.metric(r#"dice_rolls_total{die_type="unknown",result="error"}"#), Some(1.0));
    let refused = &service.lines_with("Die service refused").unwrap()[0];
    assert_eq!((&refused["level"], &refused["status"]), (&json!("WARNING"), &json!("connection_error")));
}

#[tokio::test]
async fn too_slow_is_504() {
    let stub = Router::new().route("/dice", route(async || std::future::pending::<()>().await));
    let service = start_beside(&serve(stub).await, &[]).await;
    // The caller's remaining time shortens the two seconds that dice-roller itself would wait.
    let request = reqwest::Client::new().get(format!("{}/roll?die=fair", service.url));
    let response = request.header("x-request-timeout-ms", "150").send().await.unwrap();
    assert_eq!(response.status(), 504);
    // The caller went away, so the call itself is no error (semantic conventions).
    let cancelled = service.span("GET").await.unwrap();
    assert_eq!(attribute(&cancelled, "http.request.method"), "GET");
    assert_eq!((attribute(&cancelled, "error.type").as_str(), &cancelled.status), ("", &Status::Unset));
    let (status, body) = get_json(&service, "/roll-async?die=fair&times=3").await;
    assert_eq!((status, &body["detail"]), (504, &json!("die-service did not answer within 2000 ms. Try again later")));
    let sample = r#"die_service_requests_total{identifier="unknown",status="timeout"}"#;
    assert!(service.metric(sample) >= Some(1.0));
    let calls: Vec<_> = service.spans().into_iter().filter(|span| span.name == "GET").collect();
    assert_eq!(calls.iter().map(|span| attribute(span, "error.type")).collect::<Vec<_>>(), ["", "timeout"]);
}

#[tokio::test]
async fn nonsense_is_503_and_never_a_panic() {
    for body in [
        "",
        "null",
        "{}",
        r#"{"identifier":"fair","specification":{"faces":[],"error_rate":0}}"#,
        r#"{"identifier":"fair","specification":{"faces":[1],"error_rate":7}}"#,
    ] {
        let stub = Router::new().route("/dice", route(async move || body));
        let service = start_beside(&serve(stub).await, &[]).await;
        assert_eq!(get_json(&service, "/roll?die=fair").await.0, 503, "{body}");
    }
    let long = Router::new().route("/dice", route(async || "x".repeat(3 << 20)));
    let service = start_beside(&serve(long).await, &[]).await;
    assert_eq!(get_json(&service, "/roll?die=fair").await.0, 503);
    assert_eq!(attribute(&service.span("GET").await.unwrap(), "error.type"), "response_too_long");
}

#[tokio::test]
async fn the_breaker_opens_answers_at_once_without_a_call_and_closes_again() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
    let (failing, calls) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicU32::new(0)));
    let (of_stub, counted) = (failing.clone(), calls.clone());
    let stub = Router::new().route(
        "/dice",
        route(async move || {
            counted.fetch_add(1, Ordering::Relaxed);
            match of_stub.load(Ordering::Relaxed) {
                true => (StatusCode::INTERNAL_SERVER_ERROR, ""),
                false => (StatusCode::OK, r#"{"identifier":"fair","specification":{"faces":[3],"error_rate":0}}"#),
            }
        }),
    );
    let service = start_beside(&serve(stub).await, &["--breaker-failures=3", "--breaker-open-ms=1500"]).await;
    let state = || service.metric(r#"circuit_breaker_state{target="die-service"}"#);
    assert_eq!(state(), Some(0.0));
    for _ in 0..3 {
        assert_eq!(get_json(&service, "/roll?die=fair").await.0, 503);
    }
    assert_eq!((state(), calls.load(Ordering::Relaxed)), (Some(2.0), 3));
    assert_eq!(service.metric(r#"die_service_requests_total{identifier="unknown",status="error_500"}"#), Some(3.0));

    let response = get(&service, "/roll?die=fair").await;
    let wait: u32 = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!(response.status() == 503 && (1..=2).contains(&wait), "the rest of 1.5 s, in whole seconds: {wait}");
    assert_eq!(calls.load(Ordering::Relaxed), 3, "no call was made");
    eventually("its span", || (service.spans().len() == 7).then_some(())).await; // three with a client span, one without
    let cut_short = service.spans().pop().unwrap();
    assert_eq!(attribute(&cut_short, "circuit_breaker.state"), "open");
    assert_eq!(service.metric(r#"die_service_requests_total{identifier="unknown",status="circuit_open"}"#), Some(1.0));

    failing.store(false, Ordering::Relaxed);
    let mut answered = 503;
    for _ in 0..1000 {
        answered = get_json(&service, "/roll?die=fair").await.0;
        if answered == 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!((answered, state()), (200, Some(0.0)));
    for to in ["open", "half_open", "closed"] {
        let sample = format!(r#"circuit_breaker_transitions_total{{target="die-service",to="{to}"}}"#);
        assert_eq!(service.metric(&sample), Some(1.0), "{to}");
    }
    let changes = service.lines_with("Circuit breaker changed").unwrap();
    assert_eq!(
        changes.iter().map(|line| line["to"].as_str().unwrap()).collect::<Vec<_>>(),
        ["open", "half_open", "closed"]
    );
    let events = service
        .spans()
        .iter()
        .flat_map(|span| span.events.iter().map(|e| e.name.to_string()).collect::<Vec<_>>())
        .collect::<Vec<_>>();
    assert_eq!(events.iter().filter(|name| *name == "circuit breaker changed").count(), 3);
}

#[tokio::test]
async fn an_unknown_die_does_not_open_the_breaker() {
    let service = crate::common::start(&["--breaker-failures=2"]).await;
    for _ in 0..5 {
        assert_eq!(get_json(&service, "/roll?die=gold").await.0, 404);
    }
    assert_eq!(get_json(&service, "/roll?die=fair").await.0, 200);
    assert_eq!(service.metric(r#"circuit_breaker_state{target="die-service"}"#), Some(0.0));
}
