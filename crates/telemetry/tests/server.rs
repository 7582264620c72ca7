//! The SERVER span of a real Axum app: what it says, what it continues, and what the log line and the metric say of it.
#![allow(clippy::unwrap_used)] // a panic is how a test reports

mod app;

use app::App;
use axum::http::StatusCode;
use opentelemetry::trace::{SpanKind, Status};
use telemetry::testing::attribute;

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[tokio::test]
async fn request_becomes_a_server_span_with_the_attributes_of_the_conventions() {
    let app = App::start(&[]).await;
    let response = app.get("/rolls/7?die=fair&sig=secret").header("user-agent", "test/1").send().await.unwrap();
    assert_eq!(response.status(), 200);
    let span = app.captured.span("GET /rolls/{id}").await.unwrap();
    assert_eq!((&span.span_kind, &span.status), (&SpanKind::Server, &Status::Unset));
    for (name, value) in [
        ("http.request.method", "GET"),
        ("http.route", "/rolls/{id}"),
        ("http.response.status_code", "200"),
        ("url.path", "/rolls/7"),
        ("url.query", "die=fair&sig=REDACTED"),
        ("url.scheme", "http"),
        ("server.address", "127.0.0.1"),
        ("client.address", "127.0.0.1"),
        ("network.protocol.version", "1.1"),
        ("user_agent.original", "test/1"),
        ("roll.id", "7"), // set by the handler
    ] {
        assert_eq!(attribute(&span, name), value, "{name}");
    }
    assert_eq!(attribute(&span, "server.port"), app.port().to_string());
    assert_eq!(attribute(&span, "error.type"), "");
    assert_eq!(
        app.captured.metric("http_requests_total{handler=\"/rolls/{id}\",method=\"GET\",status=\"2xx\"}"),
        Some(1.0)
    );
}

#[tokio::test]
async fn callers_trace_is_continued_and_its_ids_are_sent_back() {
    let app = App::start(&[]).await;
    let response = app.get("/rolls/7").header("traceparent", PARENT).send().await.unwrap();
    let span = app.captured.span("GET /rolls/{id}").await.unwrap();
    assert_eq!(span.span_context.trace_id().to_string(), "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(span.parent_span_id.to_string(), "b7ad6b7169203331");
    let ids = format!("00-0af7651916cd43dd8448eb211c80319c-{}-01", span.span_context.span_id());
    assert_eq!(response.headers()["traceresponse"], ids.as_str());
    assert_eq!(response.headers()["server-timing"], format!("trace;desc=\"{ids}\"").as_str());
}

#[tokio::test]
async fn failed_request_marks_its_span_and_leaves_one_line_with_the_same_ids() {
    let app = App::start(&[]).await;
    assert_eq!(app.get("/fails").send().await.unwrap().status(), StatusCode::BAD_GATEWAY);
    let span = app.captured.span("GET /fails").await.unwrap();
    assert_eq!(span.status, Status::error("the cause"));
    assert_eq!(attribute(&span, "error.type"), "502");
    let line = app.captured.lines_with("Request failed").unwrap().remove(0);
    assert_eq!((line["level"].as_str(), line["error"].as_str()), (Some("ERROR"), Some("the cause")));
    assert_eq!((line["http.request.method"].as_str(), line["http.route"].as_str()), (Some("GET"), Some("/fails")));
    assert_eq!(line["http.response.status_code"], 502);
    assert!(line["duration"].as_f64().unwrap() > 0.0);
    assert_eq!(line["trace_id"], span.span_context.trace_id().to_string());
    assert_eq!(line["span_id"], span.span_context.span_id().to_string());
}

#[tokio::test]
async fn unknown_path_has_a_span_without_route_and_status() {
    let app = App::start(&[]).await;
    assert_eq!(app.get("/nowhere").send().await.unwrap().status(), 404);
    let span = app.captured.span("GET").await.unwrap();
    assert_eq!((&span.status, attribute(&span, "http.route").as_str()), (&Status::Unset, ""));
    let line = app.captured.lines_with("Request refused").unwrap().remove(0);
    assert_eq!((line["level"].as_str(), line.get("http.route")), (Some("WARNING"), None));
    assert_eq!(app.captured.metric("http_requests_total{handler=\"none\",method=\"GET\",status=\"4xx\"}"), Some(1.0));
}

#[tokio::test]
async fn made_up_method_makes_no_metric_label() {
    let app = App::start(&[]).await;
    let method = reqwest::Method::from_bytes(b"BREW").unwrap();
    app.client.request(method, format!("{}/nowhere", app.url)).send().await.unwrap();
    let span = app.captured.span("HTTP").await.unwrap();
    assert_eq!(attribute(&span, "http.request.method"), "_OTHER");
    assert_eq!(attribute(&span, "http.request.method_original"), "BREW");
    assert!(app.captured.metrics_text().contains("method=\"_OTHER\""));
    assert!(!app.captured.metrics_text().contains("BREW"));
}

#[tokio::test]
async fn client_that_goes_away_ends_the_span_as_cancelled() {
    let app = App::start(&[]).await;
    let waiting = app.get("/slow").timeout(std::time::Duration::from_millis(200)).send().await;
    assert!(waiting.unwrap_err().is_timeout());
    let span = app.captured.span("GET /slow").await.unwrap();
    assert_eq!((attribute(&span, "error.type").as_str(), &span.status), ("cancelled", &Status::Unset));
    assert_eq!(attribute(&span, "http.response.status_code"), "");
    let line = app.captured.lines_with("Request not answered").unwrap().remove(0);
    assert_eq!((line["error"].as_str(), line.get("http.response.status_code")), (Some("cancelled"), None));
    assert_eq!(line["span_id"], span.span_context.span_id().to_string());
    assert_eq!(app.captured.metric("http_requests_total{handler=\"/slow\",method=\"GET\",status=\"4xx\"}"), Some(1.0));
}

#[tokio::test]
async fn sdk_disabled_makes_no_span_and_hands_the_context_on_untouched() {
    let app = App::start(&["--otel-sdk-disabled=true"]).await;
    let odd = "99-odd";
    let response = app.get("/calls").header("traceparent", odd).send().await.unwrap();
    assert!(response.headers().get("traceresponse").is_none());
    assert_eq!(response.text().await.unwrap(), odd);
    assert!(app.captured.spans().is_empty());
    // The presence: the same app with spans has them, and starts a new trace.
    let app = App::start(&[]).await;
    let response = app.get("/calls").header("traceparent", odd).send().await.unwrap();
    assert!(response.headers().get("traceresponse").is_some());
    assert_ne!(response.text().await.unwrap(), odd);
    app.captured.span("GET /calls").await.unwrap();
}

#[tokio::test]
async fn samplers_decide_which_spans_are_exported_and_what_is_handed_on() {
    for (sampler, parent, exported, flags) in [
        ("always_off", None, false, "-00"),
        ("always_on", Some(false), true, "-01"),
        ("parentbased_always_on", Some(false), false, "-00"),
        ("parentbased_always_off", Some(true), true, "-01"),
        ("parentbased_always_off", None, false, "-00"),
        ("traceidratio", None, true, "-01"),
    ] {
        let app = App::start(&[&format!("--otel-traces-sampler={sampler}")]).await;
        let mut request = app.get("/calls");
        if let Some(sampled) = parent {
            request = request.header("traceparent", format!("{}0{}", &PARENT[..53], u8::from(sampled)));
        }
        let response = request.send().await.unwrap();
        let returned = response.headers()["traceresponse"].to_str().unwrap().to_owned();
        assert!(returned.ends_with(flags), "{sampler} {parent:?}: {returned}");
        assert!(response.text().await.unwrap().ends_with(flags), "{sampler} {parent:?}");
        // A request that is always sampled shows that what is exported would be here by now.
        assert_eq!(app.captured.spans().iter().any(|span| span.name == "GET"), exported, "{sampler} {parent:?}");
    }
}

#[tokio::test]
async fn panicking_handler_marks_its_span() {
    let app = App::start(&[]).await;
    app.get("/panics").send().await.unwrap_err(); // no layer here makes a response of it
    let span = app.captured.span("GET /panics").await.unwrap();
    assert_eq!(attribute(&span, "error.type"), "panic");
    assert_eq!(span.status, Status::error("the handler panicked"));
    assert_eq!(app.get("/rolls/7").send().await.unwrap().status(), 200);
}
