//! The CLIENT span: what it says of a response, of a failure, and of a caller that went away.
#![allow(clippy::unwrap_used)] // a panic is how a test reports

mod app;

use std::time::Duration;

use app::App;
use http::Method;
use opentelemetry::trace::{SpanKind, Status};
use opentelemetry_sdk::trace::SpanData;
use telemetry::testing::attribute;

async fn client_span(app: &App) -> SpanData {
    for _ in 0..500 {
        if let Some(span) = app.captured.spans().into_iter().find(|span| span.span_kind == SpanKind::Client) {
            return span;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("no CLIENT span among {:?}", app.captured.spans());
}

fn request(url: &str) -> reqwest::Request {
    reqwest::Request::new(Method::GET, url.parse().unwrap())
}

#[tokio::test]
async fn call_is_a_client_span_below_the_handlers_span_and_hands_its_ids_on() {
    let app = App::start(&[]).await;
    let received = app.get("/calls").send().await.unwrap().text().await.unwrap();
    let server = app.captured.span("GET /calls").await.unwrap();
    let client = client_span(&app).await;
    assert_eq!(client.name, "GET");
    assert_eq!(client.parent_span_id, server.span_context.span_id());
    let ids = format!("00-{}-{}-01", server.span_context.trace_id(), client.span_context.span_id());
    assert_eq!(received, ids);
    for (name, value) in [
        ("http.request.method", "GET"),
        ("url.full", &*format!("{}/echo", app.url)),
        ("server.address", "127.0.0.1"),
        ("server.port", &app.port().to_string()),
        ("network.peer.address", "127.0.0.1"),
        ("network.peer.port", &app.port().to_string()),
        ("network.protocol.version", "1.1"),
        ("http.response.status_code", "200"),
        ("error.type", ""),
    ] {
        assert_eq!(attribute(&client, name), value, "{name}");
    }
    assert_eq!(client.status, Status::Unset);
}

#[tokio::test]
async fn status_from_400_on_marks_the_client_span() {
    let app = App::start(&[]).await;
    let client = app.captured.handle().client(&app.url.parse().unwrap()).unwrap();
    assert_eq!(client.send(request(&format!("{}/nowhere", app.url))).await.unwrap().status(), 404);
    let span = client_span(&app).await;
    assert_eq!(attribute(&span, "error.type"), "404");
    assert_eq!(span.status, Status::error("status 404 Not Found"));
}

#[tokio::test]
async fn call_whose_own_time_is_over_has_error_type_timeout() {
    let app = App::start(&[]).await;
    assert_eq!(app.get("/times-out").send().await.unwrap().text().await.unwrap(), "no response within 100 ms");
    let span = client_span(&app).await;
    assert_eq!(attribute(&span, "error.type"), "timeout");
    assert_eq!(span.status, Status::error("no response within 100 ms"));
}

#[tokio::test]
async fn call_whose_caller_went_away_has_no_error() {
    let app = App::start(&[]).await;
    let client = app.captured.handle().client(&app.url.parse().unwrap()).unwrap();
    let call = client.send(request(&format!("{}/slow", app.url)));
    assert!(tokio::time::timeout(Duration::from_millis(200), call).await.is_err());
    let span = client_span(&app).await;
    assert_eq!(attribute(&span, "url.full"), format!("{}/slow", app.url));
    assert_eq!((attribute(&span, "error.type").as_str(), &span.status), ("", &Status::Unset));
}

#[tokio::test]
async fn refused_connection_is_named() {
    let app = App::start(&[]).await;
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap(); // closed again at once
    let client = app.captured.handle().client(&app.url.parse().unwrap()).unwrap();
    let error = client.send(request(&format!("http://{nobody}/"))).await.unwrap_err();
    assert_eq!(error.kind(), "connection_error");
    assert!(error.to_string().contains("refused"), "{error}");
    let span = client_span(&app).await;
    assert_eq!(attribute(&span, "error.type"), "connection_error");
}
