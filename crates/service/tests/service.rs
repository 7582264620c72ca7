//! A small service on a free port: panics, problems, deadlines, draining, two circuit breakers.
#![allow(clippy::unwrap_used)] // a panic is how a test reports

use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use clap::Parser;
use http::StatusCode;
use opentelemetry::trace::Status;
use serde_json::{Value, json};
use service::{BreakerSettings, Deadline, Problem, Upstream};
use telemetry::testing::attribute;
use test_support::service::TestService;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use utoipa_axum::router::OpenApiRouter;

async fn start(flags: &[&str], routes: Router) -> TestService {
    let build = async |service: &service::Service| Ok(service.router(OpenApiRouter::from(routes), Router::new()));
    TestService::start("example", flags, build).await
}

async fn send(url: String) -> reqwest::Response {
    reqwest::get(url).await.unwrap()
}

#[tokio::test]
async fn panicking_handler_answers_500_marks_its_span_and_the_service_goes_on() {
    let panic = get(async || -> &'static str { panic!("the die is loaded") });
    let service = start(&[], Router::new().route("/panic", panic).route("/", get(async || "fine"))).await;
    let response = send(format!("{}/panic", service.url)).await;
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let body: Value = response.json().await.unwrap();
    let span = service.span("GET /panic").await.unwrap();
    assert_eq!(
        body,
        json!({"title": "Internal Server Error", "status": 500, "instance": "/panic",
            "detail": "The service failed at this request; its log says why",
            "trace_id": span.span_context.trace_id().to_string()})
    );
    assert_eq!(attribute(&span, "error.type"), "500");
    assert_eq!(span.status, Status::error("the handler panicked: the die is loaded"));
    assert_eq!(service.lines_with("Request failed").unwrap()[0]["error"], "the handler panicked: the die is loaded");
    let samples = r#"http_requests_total{handler="/panic",method="GET",status="5xx"}"#;
    assert_eq!(service.metric(samples), Some(1.0));
    assert_eq!(send(service.url.clone()).await.status(), 200);
}

#[tokio::test]
async fn cause_of_a_problem_is_in_the_span_and_not_in_the_response() {
    let broken = async || {
        let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "Try again later").caused_by("disk full");
        problem.retry_after(Duration::from_millis(1500))
    };
    let service = start(&[], Router::new().route("/", get(broken))).await;
    let response = send(service.url.clone()).await;
    assert_eq!((response.status().as_u16(), &response.headers()["retry-after"]), (503, &"2".parse().unwrap()));
    let body: Value = response.json().await.unwrap();
    assert_eq!((&body["detail"], &body["instance"]), (&json!("Try again later"), &json!("/")));
    assert_eq!(service.span("GET /").await.unwrap().status, Status::error("disk full"));
}

#[tokio::test]
async fn copied_handler_answers_a_problem_without_any_layer() {
    let router = Router::new().route("/", get(async || Problem::parameter("Parameter 'x' is missing")));
    let url = test_support::service::serve(router).await;
    let _tls = start(&[], Router::new()).await; // telemetry installs it for the test's own client
    let body: Value = send(url).await.json().await.unwrap();
    assert_eq!(body, json!({"title": "Unprocessable Entity", "status": 422, "detail": "Parameter 'x' is missing"}));
}

#[tokio::test]
async fn deadline_of_the_caller_ends_the_handler_with_504_and_a_malformed_one_is_400() {
    let service = start(&[], Router::new().route("/", get(async || std::future::pending::<()>().await))).await;
    for (given, status) in [("50", 504), ("0", 504), ("soon", 400), ("-1", 400), ("", 400)] {
        let request = reqwest::Client::new().get(&service.url).header("x-request-timeout-ms", given);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), status, "{given}");
        let body: Value = response.json().await.unwrap();
        assert!(body["detail"].as_str().unwrap().contains("x-request-timeout-ms") && body["trace_id"].is_string());
    }
}

#[tokio::test]
async fn ready_is_503_while_new_connections_are_accepted_and_then_none_are() {
    let delay = Duration::from_secs(3);
    let mut service = start(&["--shutdown-delay-ms=3000"], Router::new().route("/", get(async || "fine"))).await;
    let ready = format!("{}/ready", service.url);
    assert_eq!(send(ready.clone()).await.status(), 200);
    let stopped = Instant::now();
    service.begin_stop();
    // Each request is a client, and so a connection, of its own.
    while send(ready.clone()).await.status() == 200 {
        assert!(stopped.elapsed() < delay / 2, "it is ready for ever");
    }
    let response = send(ready.clone()).await;
    assert_eq!(response.headers()["connection"], "close", "the client's next request goes to another copy");
    assert_eq!(response.text().await.unwrap(), "draining: this process is stopping");
    assert_eq!(send(service.url.clone()).await.status(), 200);
    service.stop().await;
    assert!(stopped.elapsed() >= delay);
    assert!(reqwest::get(ready).await.unwrap_err().is_connect());
    assert_eq!(service.lines_with("Draining").unwrap().len(), 1);
}

#[tokio::test]
async fn open_connection_reads_503_from_ready_while_draining_and_is_closed() {
    let mut service = start(&[], Router::new()).await;
    let mut connection = TcpStream::connect(service.url.trim_start_matches("http://")).await.unwrap();
    let mut responses = Vec::new();
    for _ in 0..2 {
        connection.write_all(b"GET /ready HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut response = [0; 4096];
        let length = connection.read(&mut response).await.unwrap();
        responses.push(String::from_utf8_lossy(&response[..length]).into_owned());
        service.begin_stop();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(responses[0].starts_with("HTTP/1.1 200 OK") && responses[0].ends_with("ready"), "{responses:?}");
    assert!(responses[1].starts_with("HTTP/1.1 503") && responses[1].contains("connection: close"), "{responses:?}");
    assert_eq!(connection.read(&mut [0]).await.unwrap(), 0);
    service.stop().await;
}

#[tokio::test]
async fn request_that_outlasts_the_grace_time_is_cut_off() {
    let (arrived, mut arrivals) = tokio::sync::mpsc::unbounded_channel();
    let endless = get(async move || {
        arrived.send(()).unwrap();
        std::future::pending::<()>().await
    });
    let mut service = start(&["--shutdown-grace-ms=300"], Router::new().route("/", endless)).await;
    let url = service.url.clone();
    #[allow(clippy::disallowed_methods)] // a client of the test
    let request = tokio::spawn(reqwest::get(url));
    arrivals.recv().await.unwrap();
    let began = Instant::now();
    service.stop().await;
    // It would never finish by itself.
    assert!((300..6_000).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
    let message = "Requests were cut off: they did not finish within SHUTDOWN_GRACE_MS";
    assert_eq!(service.lines_with(message).unwrap()[0]["grace_ms"], 300);
    request.abort();
}

#[derive(clap::Parser)]
struct Flags {
    #[command(flatten)]
    breaker: BreakerSettings,
}

#[derive(Clone)]
struct Upstreams {
    failing: (Upstream, reqwest::Url),
    working: (Upstream, reqwest::Url),
}

#[tokio::test]
async fn two_breakers_of_one_process_open_and_report_apart() {
    let fail = get(async || StatusCode::INTERNAL_SERVER_ERROR);
    let backend = start(&[], Router::new().route("/failing", fail).route("/working", get(async || "fine"))).await;
    let service = TestService::start("example", &[], async |service| {
        let breaker = Flags::try_parse_from(["", "--breaker-failures=2", "--breaker-open-ms=60000"])?.breaker;
        let base = service::settings::base_url(&backend.url).map_err(anyhow::Error::msg)?;
        let upstream = |target| service.upstream(target, &base, &breaker, |status| status.is_server_error());
        let state = Upstreams {
            failing: (upstream("failing")?, base.join("failing")?),
            working: (upstream("working")?, base.join("working")?),
        };
        let handler = async |State(state): State<Upstreams>, deadline: Deadline| {
            let mut outcomes = Vec::new();
            for (upstream, url) in [state.failing, state.working] {
                outcomes.push(match upstream.get(url, Duration::from_secs(1), deadline).await {
                    Ok(response) => response.status().to_string(),
                    Err(error) => error.kind().to_owned(),
                });
            }
            outcomes.join(", ")
        };
        let routes: OpenApiRouter<Upstreams> = OpenApiRouter::from(Router::new().route("/", get(handler)));
        Ok(service.router(routes.with_state(state), Router::new()))
    })
    .await;

    let failed = "500 Internal Server Error, 200 OK";
    for expected in [failed, failed, "circuit_open, 200 OK"] {
        assert_eq!(send(service.url.clone()).await.text().await.unwrap(), expected);
    }
    let metric = |sample: &str| service.metric(sample);
    assert_eq!(metric(r#"circuit_breaker_state{target="failing"}"#), Some(2.0));
    assert_eq!(metric(r#"circuit_breaker_state{target="working"}"#), Some(0.0));
    assert_eq!(metric(r#"circuit_breaker_transitions_total{target="failing",to="open"}"#), Some(1.0));
    assert_eq!(metric(r#"circuit_breaker_transitions_total{target="working",to="open"}"#), Some(0.0));
    let changed = service.lines_with("Circuit breaker changed").unwrap();
    assert_eq!(
        (changed.len(), &changed[0]["target_service"], &changed[0]["to"]),
        (1, &json!("failing"), &json!("open"))
    );
    assert_eq!(changed[0]["level"], "WARNING");

    let spans: Vec<_> = service.spans().into_iter().filter(|span| span.name == "GET /").collect();
    let changed = spans.iter().find(|span| span.events.iter().any(|event| event.name == "circuit breaker changed"));
    assert_eq!(changed_line_span(&service), changed.unwrap().span_context.span_id().to_string());
    let cut_short = spans.iter().find(|span| attribute(span, "circuit_breaker.state") == "open").unwrap();
    assert_eq!(attribute(cut_short, "circuit_breaker.target"), "failing");
}

fn changed_line_span(service: &TestService) -> String {
    service.lines_with("Circuit breaker changed").unwrap()[0]["span_id"].as_str().unwrap().to_owned()
}
