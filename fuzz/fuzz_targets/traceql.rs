//! A search from outside, over a store with one trace: answered, or refused with 400.
#![no_main]

use axum::Router;
use axum::body::Body;
use http::{Request, StatusCode};
use libfuzzer_sys::fuzz_target;
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use tokio::runtime::Builder;
use tower::ServiceExt;

/// A root span with a child, with attributes of each type, an event and a link.
const MESSAGE: &str = r#"{"resourceSpans":[{
    "resource":{"attributes":[{"key":"service.name","value":{"stringValue":"x"}}]},
    "scopeSpans":[{"scope":{"name":"s","version":"1"},"spans":[
        {"traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"00000000000000aa","name":"a","kind":2,
         "startTimeUnixNano":"1000000000","endTimeUnixNano":"2000000000","status":{"code":2,"message":"m"},
         "events":[{"timeUnixNano":"1500000000","name":"e","attributes":[{"key":"a","value":{"intValue":"1"}}]}],
         "links":[{"traceId":"0af7651916cd43dd8448eb211c80319d","spanId":"00000000000000bb"}]},
        {"traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"00000000000000ab","parentSpanId":"00000000000000aa",
         "name":"b","startTimeUnixNano":"1100000000","endTimeUnixNano":"1200000000","attributes":[
            {"key":"a","value":{"stringValue":"t"}},{"key":"b","value":{"doubleValue":0.5}},
            {"key":"c","value":{"boolValue":true}},
            {"key":"d","value":{"arrayValue":{"values":[{"intValue":"1"},{"stringValue":"t"}]}}}]}]}]}]}"#;

fuzz_target!(|query: &[u8]| {
    let uri = format!("/api/search?q={}", percent_encode(query, NON_ALPHANUMERIC));
    // Longer ones the server refuses before it looks at them.
    let Ok(request) = Request::get(uri).body(Body::empty()) else { return };
    let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
    let (receiver, pages) = trace_viewer::fuzzing::apps();
    runtime.block_on(async {
        let message = Request::post("/v1/traces").header("content-type", "application/json").body(Body::from(MESSAGE));
        assert_eq!(status(receiver, message.expect("a request")).await, StatusCode::OK);
        let status = status(pages, request).await;
        assert!([200, 400].contains(&status.as_u16()), "{status}");
    });
});

async fn status(app: Router, request: Request<Body>) -> StatusCode {
    app.oneshot(request).await.expect("an answer").status()
}
