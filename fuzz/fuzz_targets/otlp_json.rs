//! OTLP/JSON from outside: taken or refused, never a panic; and what was taken leaves as OTLP/JSON that is taken again,
//! and leaves as the same.
#![no_main]

use axum::Router;
use axum::body::Body;
use http::{Request, Response, StatusCode};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use tokio::runtime::Builder;
use tower::ServiceExt;

fuzz_target!(|message: &[u8]| {
    let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(async {
        let (receiver, pages) = trace_viewer::fuzzing::apps();
        let taken = send(receiver, message.to_vec()).await;
        assert!([StatusCode::OK, StatusCode::BAD_REQUEST].contains(&taken), "{taken}");
        let list = json(get(&pages, "/view/traces").await).await;
        for id in list["ids"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            let path = format!("/view/traces/{id}/otlp.json");
            let first = body(get(&pages, &path).await).await;
            let (receiver, pages) = trace_viewer::fuzzing::apps();
            assert_eq!(send(receiver, first.clone()).await, StatusCode::OK, "{}", String::from_utf8_lossy(&first));
            let second = body(get(&pages, &path).await).await;
            assert_eq!(first, second, "{}", String::from_utf8_lossy(&first));
        }
    });
});

async fn send(receiver: Router, message: Vec<u8>) -> StatusCode {
    let request = Request::post("/v1/traces").header("content-type", "application/json").body(Body::from(message));
    receiver.oneshot(request.expect("a request")).await.expect("a response").status()
}

async fn get(pages: &Router, path: &str) -> Response<Body> {
    let request = Request::get(path).body(Body::empty()).expect("a request");
    let response = pages.clone().oneshot(request).await.expect("a response");
    assert_eq!(response.status(), StatusCode::OK, "{path}");
    response
}

async fn body(response: Response<Body>) -> Vec<u8> {
    axum::body::to_bytes(response.into_body(), usize::MAX).await.expect("a body").to_vec()
}

async fn json(response: Response<Body>) -> Value {
    serde_json::from_slice(&body(response).await).expect("JSON")
}
