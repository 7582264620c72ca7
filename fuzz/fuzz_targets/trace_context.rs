//! Headers from outside, read as a service reads them, and written as it writes them for the next: at most one valid
//! `traceparent`, one `tracestate` and a bounded `baggage`, which a second service hands on unchanged.
#![no_main]

use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;
use telemetry::fuzzing::pass_on;

// Each line is one header; its first byte says which.
fuzz_target!(|bytes: &[u8]| {
    let mut headers = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let Some((which, value)) = line.split_first() else { continue };
        let name = ["traceparent", "tracestate", "baggage"][usize::from(which % 3)];
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.append(name, value);
        }
    }
    let sent = pass_on(&headers);
    let all = |name: &str| sent.get_all(name).iter().map(|value| value.to_str().expect("ASCII")).collect::<Vec<_>>();
    assert!(all("traceparent").iter().all(|value| value.len() == 55 && value.starts_with("00-")));
    assert!(all("traceparent").len() <= 1 && all("tracestate").len() <= all("traceparent").len());
    assert!(all("tracestate").iter().all(|list| (1..=32).contains(&list.split(',').count())));
    assert!(all("baggage").iter().all(|list| list.len() <= 8192 && list.split(',').count() <= 64));
    let again = pass_on(&sent);
    for name in ["traceparent", "tracestate"] {
        assert_eq!(again.get(name), sent.get(name));
    }
});
