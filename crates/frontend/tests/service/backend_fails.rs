//! frontend without a working dice-roller. The upstreams here are stubs where the real one cannot be made to misbehave
//! like that: one that never responds, one that responds with nonsense, one that does not run.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get as route;
use opentelemetry::trace::Status;
use serde_json::{Value, json};
use telemetry::testing::attribute;
use test_support::service::TestService;

use crate::common::{NOWHERE, child, eventually, get, get_json, serve, start_alone};

async fn with_roller(roller: Router, flags: &[&str]) -> TestService {
    start_alone(&serve(roller).await, NOWHERE, flags).await
}

fn breaker(service: &TestService) -> Option<f64> {
    service.metric(r#"circuit_breaker_state{target="dice-roller"}"#)
}

#[tokio::test]
async fn unreachable_is_503_with_retry_after() {
    let service = start_alone(NOWHERE, NOWHERE, &[]).await;
    let response = get(&service, "/roll?die=fair").await;
    assert_eq!((response.status().as_u16(), &response.headers()["retry-after"]), (503, &"1".parse().unwrap()));
    let body: Value = response.json().await.unwrap();
    assert!(body["detail"].as_str().unwrap().starts_with("dice-roller cannot be reached"), "{body}");

    let server = child(&service, None, "GET /roll").await;
    let call = child(&service, Some(&server), "GET").await;
    assert_eq!(
        (attribute(&call, "error.type"), attribute(&server, "error.type")),
        ("connection_error".into(), "503".into())
    );
    assert!(matches!(&server.status, Status::Error { description } if description.contains("refused")), "{server:?}");
    assert!(attribute(&call, "url.full").ends_with("/roll?die=fair"));
    assert_eq!(attribute(&call, "http.response.status_code"), "", "there was none");
    for sample in [
        r#"frontend_requests_total{die_type="unknown",status="connection_error"}"#,
        r#"backend_requests_total{die_type="unknown",status_code="connection_error"}"#,
        r#"backend_request_duration_seconds_count{die_type="unknown"}"#,
    ] {
        assert_eq!(service.metric(sample), Some(1.0), "{sample}");
    }
    assert_eq!(service.lines_with("Request failed").unwrap()[0]["level"], "ERROR");
    assert!(service.lines_with("Backend response received").unwrap().is_empty());
}

#[tokio::test]
async fn a_roll_that_takes_longer_than_five_seconds_is_504() {
    let stub = Router::new().route("/roll", route(async || std::future::pending::<()>().await));
    let service = with_roller(stub, &[]).await;
    let (status, body) = get_json(&service, "/roll?die=fair").await;
    let detail = "dice-roller did not answer within 5.0 s; try again, or roll fewer dice";
    assert_eq!((status, &body["detail"]), (504, &json!(detail)));
    let server = child(&service, None, "GET /roll").await;
    assert_eq!(attribute(&child(&service, Some(&server), "GET").await, "error.type"), "timeout");
    let counted = |sample: &str| service.metric(sample);
    assert_eq!(counted(r#"frontend_requests_total{die_type="unknown",status="timeout"}"#), Some(1.0));
    assert_eq!(counted(r#"backend_requests_total{die_type="unknown",status_code="timeout"}"#), Some(1.0));
}

/// A dice-roller that rolls the time it has: `x-request-timeout-ms`.
fn telling_the_time() -> Router {
    let time = |headers: &HeaderMap| headers["x-request-timeout-ms"].to_str().unwrap().to_owned();
    let roll = route(async move |headers: HeaderMap| format!(r#"{{"roll":{}}}"#, time(&headers)));
    let batch = move |headers: HeaderMap| format!(r#"{{"total":{},"rolls":[],"count":0}}"#, time(&headers));
    Router::new().route("/roll", roll).route("/roll-async", route(async move |headers| batch(headers)))
}

#[tokio::test]
async fn the_time_that_is_left_is_handed_on() {
    let service = with_roller(telling_the_time(), &[]).await;
    assert_eq!(get_json(&service, "/roll?die=fair").await.1["roll"], 5_000);
    assert_eq!(get_json(&service, "/roll-async?die=fair&times=2").await.1["total"], 30_000);
    let request = reqwest::Client::new().get(format!("{}/roll-async?die=fair&times=2", service.url));
    let body: Value = request.header("x-request-timeout-ms", "4000").send().await.unwrap().json().await.unwrap();
    assert!((1..=4_000).contains(&body["total"].as_i64().unwrap()), "{body}");
}

#[tokio::test]
async fn an_answer_that_is_no_roll_is_502() {
    for (status, answer) in [
        (200, ""),
        (200, "null"),
        (200, "<p>Hello</p>"),
        (200, r#"{"roll":"six"}"#),
        (200, r#"{"roll":6.5}"#),
        (204, ""),
        (302, r#"{"roll":6}"#),
    ] {
        let stub = Router::new().route("/roll", route(async move || (StatusCode::from_u16(status).unwrap(), answer)));
        let service = with_roller(stub, &[]).await;
        let (given, body) = get_json(&service, "/roll?die=fair").await;
        assert_eq!(given, 502, "{status} {answer}");
        assert!(body["detail"].as_str().unwrap().contains("DICE_ROLLER_URL"), "{body}");
        let sample = format!(r#"backend_requests_total{{die_type="unknown",status_code="{status}"}}"#);
        assert_eq!(service.metric(&sample), Some(1.0));
        assert_eq!(service.metric(r#"frontend_requests_total{die_type="unknown",status="error"}"#), Some(1.0));
    }
    let long = Router::new().route("/roll", route(async || format!(r#"{{"roll":6{}}}"#, " ".repeat(3 << 20))));
    assert_eq!(get_json(&with_roller(long, &[]).await, "/roll?die=fair").await.0, 502);
}

#[tokio::test]
async fn a_refusal_keeps_status_words_and_retry_after() {
    let busy = (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "7")], r#"{"title":"","status":429,"detail":"Busy"}"#);
    let stub = Router::new().route("/roll", route(async move || busy));
    let stub = stub.route("/roll-async", route(async || (StatusCode::IM_A_TEAPOT, "short and stout")));
    let service = with_roller(stub, &[]).await;
    let response = get(&service, "/roll?die=fair").await;
    assert_eq!((response.status().as_u16(), &response.headers()["retry-after"]), (429, &"7".parse().unwrap()));
    let body: Value = response.json().await.unwrap();
    assert_eq!((&body["detail"], &body["title"]), (&json!("Busy"), &json!("Too Many Requests")));

    let (status, body) = get_json(&service, "/roll-async?die=fair&times=2").await;
    assert_eq!((status, &body["detail"]), (418, &json!("dice-roller answered 418 I'm a teapot without saying why")));
}

#[tokio::test]
async fn words_of_another_service_are_cut_to_a_bearable_length() {
    let long = format!(r#"{{"title":"","status":500,"detail":"{}"}}"#, "é".repeat(100_000));
    let stub = Router::new().route("/roll", route(async move || (StatusCode::INTERNAL_SERVER_ERROR, long)));
    let (_, body) = get_json(&with_roller(stub, &[]).await, "/roll?die=fair").await;
    assert_eq!(body["detail"].as_str().unwrap().chars().count(), 1000);
}

/// A dice-roller that counts its calls, and never answers the first `silent` of them.
fn silent_at_first(silent: u32, calls: Arc<AtomicU32>) -> Router {
    let answer = async move || {
        if calls.fetch_add(1, Ordering::Relaxed) < silent {
            panic!("cuts the connection");
        }
        r#"{"roll":3}"#
    };
    Router::new().route("/roll", route(answer))
}

#[tokio::test]
async fn the_breaker_opens_answers_at_once_without_a_call_and_closes_again() {
    let calls = Arc::new(AtomicU32::new(0));
    let service =
        with_roller(silent_at_first(3, calls.clone()), &["--breaker-failures=3", "--breaker-open-ms=300"]).await;
    for _ in 0..3 {
        assert_eq!(breaker(&service), Some(0.0));
        assert_eq!(get_json(&service, "/roll?die=fair").await.0, 503);
    }
    assert_eq!((breaker(&service), calls.load(Ordering::Relaxed)), (Some(2.0), 3));

    let response = get(&service, "/roll?die=fair").await;
    assert_eq!((response.status().as_u16(), &response.headers()["retry-after"]), (503, &"1".parse().unwrap()));
    assert!(response.text().await.unwrap().contains("left alone"));
    assert_eq!(calls.load(Ordering::Relaxed), 3, "no call was made");
    let sample = r#"backend_requests_total{die_type="unknown",status_code="connection_error"}"#;
    assert_eq!(service.metric(sample), Some(3.0));
    assert_eq!(service.metric(r#"backend_request_duration_seconds_count{die_type="unknown"}"#), Some(3.0));
    assert_eq!(service.metric(r#"frontend_requests_total{die_type="unknown",status="error"}"#), Some(1.0));
    eventually("the span of the call that was cut short", || {
        service.spans().into_iter().find(|span| attribute(span, "circuit_breaker.state") == "open")
    })
    .await;

    let began = Instant::now();
    while get(&service, "/roll?die=fair").await.status() != 200 {
        assert!(began.elapsed() < Duration::from_secs(5), "it stays open");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(breaker(&service), Some(0.0));
    let transitions =
        |to| service.metric(&format!(r#"circuit_breaker_transitions_total{{target="dice-roller",to="{to}"}}"#));
    assert_eq!(["open", "half_open", "closed"].map(transitions), [Some(1.0); 3]);
}

#[tokio::test]
async fn failed_rolls_do_not_open_the_breaker() {
    let stub = Router::new().route("/roll", route(async || (StatusCode::INTERNAL_SERVER_ERROR, "")));
    let service = with_roller(stub, &["--breaker-failures=2"]).await;
    for _ in 0..5 {
        assert_eq!(get_json(&service, "/roll?die=fair").await.0, 500);
    }
    assert_eq!(breaker(&service), Some(0.0));
}

#[tokio::test]
async fn an_impatient_client_does_not_open_the_breaker() {
    let stub = Router::new().route("/roll", route(async || std::future::pending::<()>().await));
    let service = with_roller(stub, &["--breaker-failures=2"]).await;
    for _ in 0..10 {
        let request = reqwest::Client::new().get(format!("{}/roll?die=fair", service.url));
        assert_eq!(request.header("x-request-timeout-ms", "30").send().await.unwrap().status(), 504);
    }
    assert_eq!(breaker(&service), Some(0.0));
}
