//! Log lines: their fields, and the ids of the span that is active where they are written.
#![allow(clippy::unwrap_used)] // a panic is how a test reports

mod app;

use app::App;
use serde_json::json;
use telemetry::testing::Captured;
use tracing::Instrument;

#[tokio::test]
async fn line_of_a_handler_has_typed_fields_and_the_ids_of_its_span() {
    let app = App::start(&[]).await;
    app.get("/rolls/7").send().await.unwrap();
    let span = app.captured.span("GET /rolls/{id}").await.unwrap();
    let mut line = app.captured.lines_with("Rolled").unwrap().remove(0);
    let timestamp = line["timestamp"].take();
    let timestamp = timestamp.as_str().unwrap();
    assert!(timestamp.len() == "2026-11-24T12:34:56.123456Z".len() && timestamp.ends_with('Z'), "{timestamp}");
    assert_eq!(
        line,
        json!({
            "timestamp": null, "level": "INFO", "message": "Rolled", "logger": "logs::app", "service": "test-service",
            "trace_id": span.span_context.trace_id().to_string(), "span_id": span.span_context.span_id().to_string(),
            "rolls": [7, 2], "ratio": 0.5, "die_type": "fair",
        })
    );
}

#[tokio::test]
async fn line_inside_an_instrumented_future_has_the_ids_of_that_span() {
    let captured = Captured::start("test-service", &[]).unwrap();
    async { tracing::info!("inside") }.instrument(tracing::info_span!("part")).await;
    tracing::info!("outside");
    let span = captured.span("part").await.unwrap();
    assert_eq!(captured.lines_with("inside").unwrap()[0]["span_id"], span.span_context.span_id().to_string());
    assert_eq!(captured.lines_with("outside").unwrap()[0].get("span_id"), None);
}

#[tokio::test]
async fn what_a_client_sends_cannot_end_a_line_or_add_a_field() {
    let captured = Captured::start("test-service", &[]).unwrap();
    let sent = "a\"\n{\"level\":\"ERROR\"}\u{1b}[2J";
    tracing::warn!(error = sent, "refused");
    let lines = captured.lines().unwrap();
    assert_eq!((lines.len(), lines[0]["error"].as_str(), lines[0]["level"].as_str()), (1, Some(sent), Some("WARNING")));
}

#[tokio::test]
async fn rust_log_chooses_lines_and_leaves_spans_alone() {
    let captured = Captured::start("test-service", &["--rust-log=warn"]).unwrap();
    tracing::info_span!("part").in_scope(|| {
        tracing::info!("left out");
        tracing::warn!("written");
    });
    let lines = captured.lines().unwrap();
    assert_eq!((lines.len(), lines[0]["message"].as_str()), (1, Some("written")));
    assert_eq!(captured.spans().len(), 1);
    assert!(captured.spans()[0].events.is_empty(), "a log line is no span event");
}
