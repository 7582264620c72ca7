//! A message from outside: taken or refused, never a panic; and whatever was taken can be listed, searched and drawn.
#![no_main]

use axum::Router;
use axum::body::Body;
use http::{Request, StatusCode};
use libfuzzer_sys::fuzz_target;
use tokio::runtime::Builder;
use tower::ServiceExt;

// The first byte says what is sent, and where to.
fuzz_target!(|bytes: &[u8]| {
    let Some((kind, body)) = bytes.split_first() else { return };
    let path = ["/v1/traces", "/v1/traces", "/v1/traces", "/v1/logs"][usize::from(kind / 4 % 4)];
    let content_type = ["application/x-protobuf", "application/json"][usize::from(kind % 2)];
    let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(async {
        let (receiver, pages) = trace_viewer::fuzzing::apps();
        let message = Request::post(path).header("content-type", content_type).body(Body::from(body.to_vec()));
        let taken = receiver.oneshot(message.expect("a request")).await.expect("an answer").status();
        assert!([StatusCode::OK, StatusCode::BAD_REQUEST].contains(&taken), "{taken}");

        let found = get(&pages, "/api/search?limit=5").await;
        for id in found["traces"].as_array().into_iter().flatten().filter_map(|trace| trace["traceID"].as_str()) {
            for page in ["/api/traces/", "/api/v2/traces/", "/view/traces/"] {
                get(&pages, &format!("{page}{id}")).await;
            }
        }
        for page in ["/view/traces", "/api/search/tags", "/api/v2/search/tags"] {
            get(&pages, page).await;
        }
    });
});

/// The JSON at `path`, which is there.
async fn get(pages: &Router, path: &str) -> serde_json::Value {
    let request = Request::get(path).body(Body::empty()).expect("a request");
    let answer = pages.clone().oneshot(request).await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK, "{path}");
    let body = axum::body::to_bytes(answer.into_body(), usize::MAX).await.expect("a body");
    serde_json::from_slice(&body).expect("JSON")
}
