//! The real app on a free port: its responses, and the telemetry of each.
#![allow(clippy::unwrap_used)] // a panic is how a test reports

use die_service::{AppState, Catalogue, app};
use opentelemetry::trace::{SpanKind, Status};
use serde_json::{Value, json};
use telemetry::testing::attribute;
use test_support::service::{TestService, get, get_json};

async fn start() -> TestService {
    start_with(&[]).await
}

async fn start_with(flags: &[&str]) -> TestService {
    let build = async |service: &service::Service| Ok(app(AppState::new(Catalogue::load(None)?, service)?, service));
    TestService::start("die-service", flags, build).await
}

#[tokio::test]
async fn root_describes_the_service() {
    let service = start().await;
    let (status, body) = get_json(&service, "/").await;
    assert_eq!(status, 200);
    assert_eq!((&body["service"], &body["loaded_specifications"]), (&json!("Die Service API"), &json!(3)));
    assert!(body["version"].is_string() && body["endpoints"].is_array());
}

#[tokio::test]
async fn list_is_in_file_order_and_counted() {
    let service = start().await;
    let (status, body) = get_json(&service, "/dice").await;
    assert_eq!((status, body), (200, json!({"identifiers": ["fair", "risky", "extreme"]})));
    assert_eq!(service.metric("die_list_requests_total"), Some(1.0));
    assert_eq!(service.metric("die_specifications_loaded"), Some(3.0));
    assert_eq!(service.lines_with("Die list requested").unwrap().len(), 1);
}

#[tokio::test]
async fn known_die_shows_in_all_three_signals() {
    let service = start().await;
    let response = get(&service, "/dice?identifier=fair").await;
    let traceresponse = response.headers()["traceresponse"].to_str().unwrap().to_owned();
    let server_timing = response.headers()["server-timing"].to_str().unwrap().to_owned();
    let text = response.text().await.unwrap();
    assert_eq!(text, r#"{"identifier":"fair","specification":{"faces":[1,2,3,4,5,6],"error_rate":0.0}}"#);

    let span = service.span("GET /dice").await.unwrap();
    let ids = (span.span_context.trace_id().to_string(), span.span_context.span_id().to_string());
    assert_eq!(traceresponse, format!("00-{}-{}-01", ids.0, ids.1));
    assert_eq!(server_timing, format!("trace;desc=\"{traceresponse}\""));
    assert_eq!((span.span_kind.clone(), span.status.clone()), (SpanKind::Server, Status::Unset));
    for (name, value) in [
        ("http.request.method", "GET"),
        ("http.route", "/dice"),
        ("url.path", "/dice"),
        ("url.query", "identifier=fair"),
        ("url.scheme", "http"),
        ("http.response.status_code", "200"),
        ("server.address", "127.0.0.1"),
        ("server.port", service.url.rsplit(':').next().unwrap()),
        ("client.address", "127.0.0.1"),
        ("network.protocol.version", "1.1"),
        ("die.identifier", "fair"),
        ("die.found", "true"),
    ] {
        assert_eq!(attribute(&span, name), value, "{name}");
    }
    assert!(span.attributes.iter().all(|a| !a.value.as_str().is_empty()), "an empty attribute: {span:?}");

    let lines = service.lines_with("Die specification requested").unwrap();
    assert_eq!(lines.len(), 1);
    assert_eq!((&lines[0]["trace_id"], &lines[0]["span_id"]), (&json!(ids.0), &json!(ids.1)));
    assert_eq!((&lines[0]["identifier"], &lines[0]["level"]), (&json!("fair"), &json!("INFO")));

    let requests = r#"http_requests_total{handler="/dice",method="GET",status="2xx"}"#;
    assert_eq!(service.metric(requests), Some(1.0));
    assert_eq!(service.metric(r#"http_request_duration_seconds_count{handler="/dice",method="GET"}"#), Some(1.0));
    assert_eq!(service.metric(r#"die_specifications_requested_total{identifier="fair"}"#), Some(1.0));
    assert_eq!(service.metric(r#"die_specifications_requested_total{identifier="risky"}"#), Some(0.0));
}

#[tokio::test]
async fn unknown_die_is_404_and_leaves_the_span_unset() {
    let service = start().await;
    let (status, body) = get_json(&service, "/dice?identifier=%3Cb%3E").await;
    let span = service.span("GET /dice").await.unwrap();
    let trace_id = span.span_context.trace_id().to_string();
    assert_eq!(status, 404);
    let detail = "Die '<b>' not found; there are: fair, risky, extreme";
    assert_eq!(
        body,
        json!({"title": "Not Found", "status": 404, "detail": detail, "instance": "/dice", "trace_id": trace_id})
    );
    assert_eq!((span.status.clone(), attribute(&span, "error.type")), (Status::Unset, String::new()));
    assert_eq!(attribute(&span, "die.found"), "false");
    let warned = service.lines_with("Unknown die identifier requested").unwrap();
    assert_eq!((&warned[0]["level"], &warned[0]["trace_id"]), (&json!("WARNING"), &json!(trace_id)));
    assert!(!service.metrics_text().contains("<b>"), "a client made a label");
}

#[tokio::test]
async fn malformed_parameters_are_422_and_say_what_is_allowed() {
    let service = start().await;
    for query in ["identifier=", "identifier=a&identifier=b", "identifier=%ff", "identifier=%00", &"x".repeat(9)] {
        let (status, body) = get_json(&service, &format!("/dice?{query}")).await;
        match query {
            "xxxxxxxxx" => assert_eq!(status, 200, "unknown parameters are ignored"),
            _ => {
                assert_eq!(status, 422, "{query}: {body}");
                let detail = body["detail"].as_str().unwrap();
                assert!(detail.contains("'identifier'") && detail.contains("allowed:"), "{detail}");
            }
        }
    }
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems_and_make_no_labels() {
    let service = start().await;
    let (status, body) = get_json(&service, "/nope/42").await;
    assert_eq!((status, &body["instance"]), (404, &json!("/nope/42")));

    let client = reqwest::Client::new();
    for (method, label, status) in [("POST", "POST", 405), ("BREW", "_OTHER", 405)] {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let response = client.request(method, format!("{}/dice", service.url)).send().await.unwrap();
        assert_eq!(response.status().as_u16(), status);
        assert!(response.headers()["allow"].to_str().unwrap().contains("GET"));
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        let sample = format!(r#"http_requests_total{{handler="/dice",method="{label}",status="4xx"}}"#);
        assert_eq!(service.metric(&sample), Some(1.0));
    }
    assert_eq!(service.metric(r#"http_requests_total{handler="none",method="GET",status="4xx"}"#), Some(1.0));
    assert!(!service.metrics_text().contains("nope"));
    let other = service.span("HTTP /dice").await.unwrap();
    assert_eq!(attribute(&other, "http.request.method_original"), "BREW");
}

#[tokio::test]
async fn operational_routes_leave_no_spans_lines_or_http_metrics() {
    let service = start().await;
    for path in ["/health", "/ready", "/metrics", "/openapi.json", "/docs/", "/docs/swagger-ui.css"] {
        assert_eq!(get(&service, path).await.status(), 200, "{path}");
    }
    let api: Value = get(&service, "/openapi.json").await.json().await.unwrap();
    let dice = &api["paths"]["/dice"]["get"];
    assert_eq!((&dice["parameters"][0]["name"], &dice["parameters"][0]["in"]), (&json!("identifier"), &json!("query")));
    let problem = &dice["responses"]["404"]["content"]["application/problem+json"]["schema"]["$ref"];
    assert_eq!(problem, "#/components/schemas/ProblemBody");
    assert!(api["components"]["schemas"]["ProblemBody"].is_object());
    assert_eq!(api["info"]["title"], "die-service");
    assert!(get(&service, "/metrics").await.text().await.unwrap().contains("process_resident_memory_bytes"));
    get(&service, "/dice").await;
    service.span("GET /dice").await.unwrap();
    assert_eq!((service.spans().len(), service.lines().unwrap().len()), (1, 1), "those of /dice");
    assert_eq!(service.metrics_text().matches("http_requests_total{").count(), 1);
}

#[tokio::test]
async fn trace_of_the_caller_is_continued_and_a_malformed_one_is_not() {
    let service = start().await;
    let client = reqwest::Client::new();
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let send = async |parent: String| {
        let request = client.get(format!("{}/dice", service.url)).header("traceparent", parent);
        request.send().await.unwrap().headers()["traceresponse"].to_str().unwrap().to_owned()
    };
    assert!(send(format!("00-{trace}-b7ad6b7169203331-01")).await.starts_with(&format!("00-{trace}-")));
    assert!(!send(format!("00-{trace}-b7ad6b7169203331-01x")).await.contains(trace));
    let unsampled = send(format!("00-{trace}-b7ad6b7169203331-00")).await;
    assert!(unsampled.starts_with(&format!("00-{trace}-")) && unsampled.ends_with("-00"), "{unsampled}");

    let random = send(format!("00-{trace}-b7ad6b7169203331-02")).await;
    assert!(random.ends_with("-02"), "the random flag is kept where the span is not sampled too: {random}");

    let spans = service.spans();
    assert_eq!(spans.len(), 2, "an unsampled request is not exported");
    assert_eq!(spans[0].parent_span_id.to_string(), "b7ad6b7169203331");
    assert!(spans[0].parent_span_is_remote);
}

#[tokio::test]
async fn disabled_sdk_leaves_no_ids_and_all_else_works() {
    let service = start_with(&["--otel-sdk-disabled=true"]).await;
    let response = get(&service, "/dice?identifier=nope").await;
    assert_eq!(response.status(), 404);
    assert!(response.headers().get("traceresponse").is_none());
    let body: Value = response.json().await.unwrap();
    assert!(body.get("trace_id").is_none());
    assert!(service.spans().is_empty());
    assert!(service.lines().unwrap().iter().all(|line| line.get("trace_id").is_none()));
    assert_eq!(service.metric(r#"http_requests_total{handler="/dice",method="GET",status="4xx"}"#), Some(1.0));
}
