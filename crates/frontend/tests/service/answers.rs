//! `/roll` and `/roll-async` with the real services: the responses, and the telemetry of each.

use futures::future::join_all;
use opentelemetry::trace::{SpanKind, Status};
use opentelemetry_sdk::trace::SpanData;
use serde_json::{Value, json};
use telemetry::testing::attribute;
use test_support::service::TestService;

use crate::common::{Spans, System, child, config, eventually, get, get_json, get_text, start_with};

/// The five spans that every roll has, from frontend's server span to die-service's.
async fn path_of_a_roll(system: &System, name: &str) -> [SpanData; 5] {
    let server = child(system, None, name).await;
    let call = child(system, Some(&server), "GET").await;
    let roller = child(system, Some(&call), name).await;
    let roller_call = child(system, Some(&roller), "GET").await;
    let dice = child(system, Some(&roller_call), "GET /dice").await;
    [server, call, roller, roller_call, dice]
}

fn counter(service: &TestService, die_type: &str, status: &str) -> f64 {
    service.metric(&format!(r#"frontend_requests_total{{die_type="{die_type}",status="{status}"}}"#)).unwrap_or(0.0)
}

fn backend(service: &TestService, die_type: &str, status_code: &str) -> f64 {
    let sample = format!(r#"backend_requests_total{{die_type="{die_type}",status_code="{status_code}"}}"#);
    service.metric(&sample).unwrap_or(0.0)
}

/// The one log line with `message` and the ids of `span`.
fn line_of(service: &TestService, message: &str, span: &SpanData) -> Value {
    let ids = (span.span_context.trace_id().to_string(), span.span_context.span_id().to_string());
    let mut lines = service.lines_with(message).unwrap();
    lines.retain(|line| line["trace_id"] == ids.0 && line["span_id"] == ids.1);
    assert_eq!(lines.len(), 1, "{message}");
    lines.remove(0)
}

#[tokio::test]
async fn one_roll_is_one_trace_of_five_spans() {
    let system = System::quick().await;
    let System { frontend, upstreams } = &system;
    get_text(frontend, "/").await; // from now on `fair` is a confirmed name
    child(&system, None, "GET /").await;
    let before = system.spans().len();
    let response = get(frontend, "/roll?die=fair").await;
    let traceresponse = response.headers()["traceresponse"].to_str().unwrap().to_owned();
    let body: Value = response.json().await.unwrap();
    assert!((1..=6).contains(&body["roll"].as_i64().unwrap()), "{body}");

    let spans @ [server, call, roller, ..] = &path_of_a_roll(&system, "GET /roll").await;
    assert_eq!(system.spans().len() - before, 5);
    let kinds = [SpanKind::Server, SpanKind::Client, SpanKind::Server, SpanKind::Client, SpanKind::Server];
    assert_eq!(spans.each_ref().map(|span| span.span_kind.clone()), kinds);
    let (trace_id, span_id) = (server.span_context.trace_id(), server.span_context.span_id());
    assert!(spans.iter().all(|span| span.span_context.trace_id() == trace_id));
    assert!(spans.iter().all(|span| span.status == Status::Unset));
    assert_eq!(traceresponse, format!("00-{trace_id}-{span_id}-01"));
    assert_eq!(body["trace_id"], trace_id.to_string());

    for (name, value) in [
        ("http.request.method", "GET"),
        ("http.route", "/roll"),
        ("url.query", "die=fair"),
        ("http.response.status_code", "200"),
    ] {
        assert_eq!(attribute(server, name), value, "{name}");
    }
    assert_eq!(attribute(call, "url.full"), format!("{}/roll?die=fair", upstreams.url));
    assert_eq!(attribute(call, "http.response.status_code"), "200");
    assert_eq!(attribute(roller, "die.result"), body["roll"].to_string());

    let received = line_of(frontend, "Frontend roll request received", server);
    assert_eq!(
        (&received["die_type"], &received["async"], &received["times"]),
        (&json!("fair"), &json!(false), &json!(1))
    );
    let answered = line_of(frontend, "Backend response received", server);
    assert_eq!((&answered["die_type"], &answered["backend_status"]), (&json!("fair"), &json!(200)));
    assert!(answered["duration"].as_f64().unwrap() > 0.0);

    assert_eq!((counter(frontend, "fair", "received"), counter(frontend, "fair", "success")), (1.0, 1.0));
    assert_eq!(backend(frontend, "fair", "200"), 1.0);
    assert_eq!(frontend.metric(r#"backend_request_duration_seconds_count{die_type="fair"}"#), Some(1.0));
    assert_eq!(frontend.metric(r#"http_requests_total{handler="/roll",method="GET",status="2xx"}"#), Some(1.0));
}

#[tokio::test]
async fn a_batch_of_five_is_one_trace_of_ten_spans() {
    let system = System::quick().await;
    let frontend = &system.frontend;
    let (status, body) = get_json(frontend, "/roll-async?die=fair&times=5").await;
    assert_eq!((status, &body["count"]), (200, &json!(5)));
    let rolls: Vec<i64> = serde_json::from_value(body["rolls"].clone()).unwrap();
    assert_eq!((rolls.len(), body["total"].as_i64().unwrap()), (5, rolls.iter().sum()));
    assert_eq!(body.as_object().unwrap().keys().collect::<Vec<_>>(), ["total", "rolls", "count", "trace_id"]);

    let [server, _, roller, ..] = path_of_a_roll(&system, "GET /roll-async").await;
    for index in 0..5 {
        child(&system, Some(&roller), &format!("async_roll_{index}")).await;
    }
    assert_eq!(system.spans().len(), 10);
    assert_eq!(body["trace_id"], server.span_context.trace_id().to_string());
    let received = line_of(frontend, "Frontend roll request received", &server);
    assert_eq!((&received["async"], &received["times"]), (&json!(true), &json!(5)));
    assert_eq!(frontend.metric(r#"async_roll_requests_total{batch_size="5"}"#), Some(1.0));
    assert_eq!(frontend.metric(r#"async_roll_requests_total{batch_size="20"}"#), Some(0.0), "there from the start");
    assert_eq!(counter(frontend, "unknown", "success"), 1.0, "no list was fetched yet, so no name is confirmed");
}

#[tokio::test]
async fn only_checked_parameters_are_handed_on() {
    let system = System::quick().await;
    let frontend = &system.frontend;
    let path = "/roll-async?x=1&concurrency=2&seed=18446744073709551615&details=true&die=extreme&times=20&strategy=best-effort&admin=true";
    let (status, body) = get_json(frontend, path).await;
    assert_eq!(status, 200, "{body}");
    let [_, _, roller, ..] = path_of_a_roll(&system, "GET /roll-async").await;
    assert_eq!(
        attribute(&roller, "url.query"),
        "die=extreme&times=20&strategy=best-effort&concurrency=2&seed=18446744073709551615&details=true"
    );
    assert_eq!(attribute(&roller, "async.concurrency"), "2");

    let rolls = body["rolls"].as_array().unwrap();
    let failed = body["failed"].as_array().unwrap();
    assert!(!failed.is_empty() && failed.len() < 20, "half of twenty fail: {body}");
    assert_eq!(rolls.iter().filter(|roll| roll.is_null()).count(), failed.len());
    for roll in failed {
        assert!(rolls[roll["index"].as_u64().unwrap() as usize].is_null());
        assert_eq!(roll["error"], "Die 'extreme' failed!");
    }
}

#[tokio::test]
async fn a_name_cannot_add_parameters() {
    let system = System::quick().await;
    let frontend = &system.frontend;
    let (status, body) = get_json(frontend, "/roll?die=a%20b%26die%3Dfair%23").await;
    assert_eq!(status, 404);
    assert!(body["detail"].as_str().unwrap().contains("'a b&die=fair#'"), "{body}");
    let [_, _, roller, ..] = path_of_a_roll(&system, "GET /roll").await;
    assert_eq!(attribute(&roller, "url.query"), "die=a+b%26die%3Dfair%23");
}

#[tokio::test]
async fn an_unknown_die_keeps_status_and_detail() {
    let system = System::quick().await;
    let frontend = &system.frontend;
    let response = get(frontend, "/roll-async?die=loaded&times=2").await;
    assert_eq!(response.status(), 404);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["detail"], "Die 'loaded' not found; there are: fair, extreme, broken");
    assert_eq!((&body["instance"], &body["status"]), (&json!("/roll-async"), &json!(404)));

    let server = child(frontend, None, "GET /roll-async").await;
    assert_eq!(body["trace_id"], server.span_context.trace_id().to_string());
    assert_eq!(server.status, Status::Unset);
    let call = child(frontend, Some(&server), "GET").await;
    assert!(matches!(call.status, Status::Error { .. }));
    assert_eq!(attribute(&call, "http.response.status_code"), "404");
    let line = line_of(frontend, "Backend returned error", &server);
    assert_eq!(
        (&line["level"], &line["backend_status"], &line["error"]),
        (&json!("WARNING"), &json!(404), &body["detail"])
    );
    assert_eq!((counter(frontend, "unknown", "received"), counter(frontend, "unknown", "error")), (1.0, 1.0));
    assert_eq!(backend(frontend, "unknown", "404"), 1.0);
    assert!(!frontend.metrics_text().contains("loaded"), "a client made a label");
}

#[tokio::test]
async fn a_failed_roll_keeps_status_and_detail_and_fails_the_span() {
    let system = System::quick().await;
    let frontend = &system.frontend;
    let (status, body) = get_json(frontend, "/roll?die=broken").await;
    assert_eq!((status, &body["detail"]), (500, &json!("Die 'broken' failed!")));
    let [server, call, ..] = path_of_a_roll(&system, "GET /roll").await;
    assert_eq!((attribute(&server, "error.type"), attribute(&call, "error.type")), ("500".into(), "500".into()));
    assert!(matches!(&server.status, Status::Error { description } if description.contains("Die 'broken' failed!")));
    let line = line_of(frontend, "Backend returned error", &server);
    assert_eq!((&line["level"], &line["backend_status"]), (&json!("ERROR"), &json!(500)));
    assert_eq!(counter(frontend, "unknown", "error"), 1.0);

    let (status, body) = get_json(frontend, "/roll-async?die=broken&times=2").await;
    assert_eq!(status, 500);
    assert!(body["detail"].as_str().unwrap().starts_with("Async roll batch failed: rolls 0, 1 of 2"), "{body}");
    let (status, _) = get_json(frontend, "/roll-async?die=broken&times=2&strategy=best-effort").await;
    assert_eq!(status, 500, "all failed");
    assert_eq!(frontend.metric(r#"circuit_breaker_state{target="dice-roller"}"#), Some(0.0));
}

#[tokio::test]
async fn what_is_malformed_is_422_before_any_call() {
    let System { frontend, upstreams: _running } = System::quick().await;
    for (path, named) in [
        ("/roll", "'die' is missing"),
        ("/roll?die=", "'die' is empty"),
        ("/roll?die=fair&die=fair", "'die' is given more than once"),
        ("/roll?die=%ff", "'die' is not UTF-8"),
        ("/roll?die=a%0d%0ab", "'die' holds control characters"),
        ("/roll-async?times=5", "'die' is missing"),
        ("/roll-async?die=fair", "'times' is missing"),
        ("/roll-async?die=fair&times=0", "'times' is '0'; allowed: a whole number from 1 to 20"),
        ("/roll-async?die=fair&times=21", "'times' is '21'"),
        ("/roll-async?die=fair&times=five", "'times' is 'five'"),
        ("/roll-async?die=fair&times=5&strategy=hope", "'strategy' is 'hope'; allowed: all-or-nothing, best-effort"),
        ("/roll-async?die=fair&times=5&concurrency=6", "'concurrency' is '6'; allowed: a whole number from 1 to 5"),
        ("/roll-async?die=fair&times=5&concurrency=0", "'concurrency' is '0'"),
        (
            "/roll-async?die=fair&times=5&seed=-1",
            "'seed' is '-1'; allowed: a whole number from 0 to 18446744073709551615",
        ),
        ("/roll-async?die=fair&times=5&details=1", "'details' is '1'; allowed: true, false"),
        ("/roll-async?die=fair&times=5&concurrency=", "'concurrency' is ''"),
    ] {
        let (status, body) = get_json(&frontend, path).await;
        assert_eq!(status, 422, "{path}");
        assert!(body["detail"].as_str().unwrap().contains(named), "{path}: {body}");
        assert!(body["trace_id"].is_string() && path.starts_with(body["instance"].as_str().unwrap()));
    }
    assert!(frontend.spans().iter().all(|span| span.span_kind == SpanKind::Server), "a call was made");
    assert_eq!(counter(&frontend, "unknown", "received"), 0.0);
    assert!(!frontend.metrics_text().contains("status_code=\"422\""));
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems() {
    let System { frontend, upstreams: _running } = System::quick().await;
    assert_eq!(get_json(&frontend, "/nothing").await.0, 404);
    let response = reqwest::Client::new().post(format!("{}/roll?die=fair", frontend.url)).send().await.unwrap();
    assert_eq!((response.status().as_u16(), &response.headers()["allow"]), (405, &"GET,HEAD".parse().unwrap()));
    let (_, api) = get_json(&frontend, "/openapi.json").await;
    assert_eq!(api["paths"].as_object().unwrap().keys().collect::<Vec<_>>(), ["/", "/roll", "/roll-async"]);
}

#[tokio::test]
async fn an_inbound_trace_goes_on_and_a_malformed_one_is_ignored() {
    let system = System::quick().await;
    let frontend = &system.frontend;
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let roll = async |traceparent: String| -> Value {
        let request = reqwest::Client::new().get(format!("{}/roll?die=fair", frontend.url));
        request.header("traceparent", traceparent).send().await.unwrap().json().await.unwrap()
    };
    assert_eq!(roll(format!("00-{trace}-b7ad6b7169203331-01")).await["trace_id"], trace);
    eventually("five spans of that trace", || {
        let of_trace = |span: &&SpanData| span.span_context.trace_id().to_string() == trace;
        (system.spans().iter().filter(of_trace).count() == 5).then_some(())
    })
    .await;
    let fresh = roll(format!("00-{trace}-b7ad6b7169203331-01-more")).await["trace_id"].as_str().unwrap().to_owned();
    assert!(fresh.len() == 32 && fresh != trace, "{fresh}");
}

#[tokio::test]
async fn a_client_that_goes_away_cancels_its_batch() {
    let system = System::start(&[], &["--roll-delay-max-ms=60000"]).await;
    let System { frontend, upstreams } = &system;
    let url = format!("{}/roll-async?die=fair&times=20", frontend.url);
    let request = reqwest::Client::new().get(url).send();
    let gauge = || upstreams.metric("async_rolls_in_progress");
    tokio::select! {
        _ = request => panic!("answered"),
        () = eventually("twenty rolls under way", || (gauge() == Some(20.0)).then_some(())) => (),
    }
    eventually("no roll under way any more", || (gauge() == Some(0.0)).then_some(())).await;

    let server = child(frontend, None, "GET /roll-async").await;
    assert_eq!(attribute(&server, "error.type"), "cancelled");
    assert_eq!(line_of(frontend, "Request not answered", &server)["error"], "cancelled");
    let cancelled = r#"http_requests_total{handler="/roll-async",method="GET",status="4xx"}"#;
    assert_eq!(frontend.metric(cancelled), Some(1.0));
    let call = child(frontend, Some(&server), "GET").await;
    assert_eq!((attribute(&call, "error.type"), call.status), (String::new(), Status::Unset), "its caller went away");
    eventually("all spans have ended", || (system.spans().len() == 25).then_some(())).await;
}

#[tokio::test]
async fn without_spans_there_is_no_trace_id() {
    let upstreams = System::quick().await.upstreams;
    let config = config(&upstreams.url, "http://127.0.0.1:1", &[]);
    let frontend = start_with(&config, &["--otel-sdk-disabled=true"]).await;
    let (status, body) = get_json(&frontend, "/roll?die=fair").await;
    assert!(status == 200 && body["roll"].is_i64() && body.get("trace_id").is_none(), "{body}");
    let (_, page) = get_text(&frontend, "/?die=fair").await;
    assert!(page.contains(r#"<p id="trace" hidden>"#), "{page}");
}

#[tokio::test]
async fn counters_add_up_to_what_was_sent() {
    let System { frontend, upstreams: _running } = System::quick().await;
    get_text(&frontend, "/").await;
    let paths = ["/roll?die=fair", "/roll?die=broken", "/roll-async?die=fair&times=3", "/roll?die=nope", "/roll"];
    let sent = (0..50).map(|i| get_text(&frontend, paths[i % paths.len()]));
    let statuses: Vec<u16> = join_all(sent).await.into_iter().map(|(status, _)| status).collect();
    let count = |status| statuses.iter().filter(|given| **given == status).count() as f64;
    assert_eq!([200, 500, 404, 422].map(count), [20.0, 10.0, 10.0, 10.0]);
    assert_eq!((counter(&frontend, "fair", "received"), counter(&frontend, "fair", "success")), (20.0, 20.0));
    assert_eq!((counter(&frontend, "broken", "received"), counter(&frontend, "broken", "error")), (10.0, 10.0));
    assert_eq!((counter(&frontend, "unknown", "received"), counter(&frontend, "unknown", "error")), (10.0, 10.0));
    assert_eq!(
        ["200", "500", "404"].map(|code| [
            backend(&frontend, "fair", code),
            backend(&frontend, "broken", code),
            backend(&frontend, "unknown", code)
        ]
        .iter()
        .sum::<f64>()),
        [20.0, 10.0, 10.0]
    );
    assert_eq!(frontend.metric(r#"async_roll_requests_total{batch_size="3"}"#), Some(10.0));
}
