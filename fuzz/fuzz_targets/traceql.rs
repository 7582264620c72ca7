//! A search from outside: answered, or refused with 400.
#![no_main]

use axum::body::Body;
use http::Request;
use libfuzzer_sys::fuzz_target;
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use tokio::runtime::Builder;
use tower::ServiceExt;

fuzz_target!(|query: &[u8]| {
    let uri = format!("/api/search?q={}", percent_encode(query, NON_ALPHANUMERIC));
    // Longer ones the server refuses before it looks at them.
    let Ok(request) = Request::get(uri).body(Body::empty()) else { return };
    let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
    let (_, pages) = trace_viewer::fuzzing::apps();
    let status = runtime.block_on(pages.oneshot(request)).expect("an answer").status();
    assert!([200, 400].contains(&status.as_u16()), "{status}");
});
