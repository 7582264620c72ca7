//! Costly queries: over traces of many spans, of many conditions, many at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::attacks::{BESIDE, MAX_BYTES, field};
use crate::responses::send_spans;
use crate::support::{Viewer, client, new_trace, span, traces, with};

/// Sends one trace of `spans` spans: a root of two hours, and its children.
fn send_large_trace(viewer: &Viewer, spans: u64) -> String {
    let trace = new_trace();
    let root = span(&trace, 1, 0, "root", 0, 2 * 3600 * 1000);
    let attributes = json!({"attributes": [{"key": "text", "value": {"stringValue": "x".repeat(100)}}]});
    let child = |number| with(span(&trace, number, 1, "child", 0, 5), attributes.clone());
    let children: Vec<Value> = (2..=spans).map(child).collect();
    viewer.send("large", &[root]);
    children.chunks(2000).for_each(|chunk| viewer.send("large", chunk));
    trace
}

fn search(viewer: &Viewer, query: &str) -> (u16, String) {
    let url = format!("{}/api/search", viewer.pages);
    let response = client().get(url).query(&[("q", query)]).send().expect("a response");
    (response.status().as_u16(), response.text().expect("text"))
}

/// A condition that is evaluated for each span, and holds for none.
fn costly() -> String {
    let condition = "(span.text = \"y\" || span.nowhere = 1)";
    format!("{{ {} }}", vec![condition; 60].join(" || "))
}

#[test]
fn query_for_root_or_duration_of_a_large_trace_costs_as_much_as_one_for_a_name() {
    let viewer = Viewer::start(&[]);
    send_large_trace(&viewer, 20_000);
    let time = |query: &str, found: usize| {
        let run = || {
            let start = Instant::now();
            let (status, body) = search(&viewer, query);
            let body: Value = serde_json::from_str(&body).expect("JSON");
            let traces = body["traces"].as_array().expect("traces").len();
            assert_eq!((status, traces), (200, found), "{query}");
            start.elapsed()
        };
        (0..3).map(|_| run()).min().expect("three runs")
    };
    let name = time(r#"{ name = "nobody" }"#, 0);
    for (query, found) in [
        ("{ traceDuration > 1h }", 1),
        ("{ traceDuration > 3h }", 0),
        (r#"{ rootName = "root" }"#, 1),
        (r#"{ rootServiceName = "nobody" }"#, 0),
        ("{ trace:duration > 1h && trace:rootService = \"large\" && nestedSetParent > 0 && span:childCount = 0 }", 1),
    ] {
        let taken = time(query, found);
        assert!(taken < name * 20 + Duration::from_millis(20), "{query}: {taken:?}, a name {name:?}");
    }
}

#[test]
fn waterfall_of_10000_spans_takes_no_longer_for_each_than_one_of_1000() {
    let viewer = Viewer::start(&[]);
    let fastest = |spans| {
        let trace = send_large_trace(&viewer, spans);
        let run = || {
            let start = Instant::now();
            let text = viewer.get(&format!("/view/traces/{trace}")).text().expect("text");
            (start.elapsed(), text)
        };
        let (taken, text) = (0..5).map(|_| run()).min().expect("five runs");
        let waterfall: Value = serde_json::from_str(&text).expect("JSON");
        let rows = waterfall["rows"].as_array().expect("rows");
        assert_eq!(rows.len() as u64, spans);
        let plain =
            rows.iter().filter(|row| row.get("critical").is_none()).map(|row| row.as_object().map(|row| row.len()));
        assert!(plain.clone().count() > 900 && plain.clone().all(|fields| fields == Some(7)), "defaults are left out");
        taken
    };
    let (small, large) = (fastest(1_000), fastest(10_000));
    assert!(large < small * 3 * 10, "1,000 spans: {small:?}, 10,000: {large:?}");
}

#[test]
fn query_of_2500_conditions_is_refused_without_delay() {
    let viewer = Viewer::start(&[]);
    send_large_trace(&viewer, 2_000);
    for condition in [".a=1", "span.a > 1"] {
        let (status, reason) = search(&viewer, &format!("{{ {} }}", vec![condition; 2500].join("||")));
        assert_eq!(status, 400, "{reason}");
        assert!(reason.starts_with("invalid TraceQL query: the query has "), "{reason}");
    }
    assert_eq!(search(&viewer, &format!("{{ {} }}", "(".repeat(10_000))).0, 400);
    assert_eq!(search(&viewer, &format!("{{ {} }}", vec![".a=1"; 100].join("||"))).0, 200);
}

#[test]
fn query_that_takes_too_long_gets_503() {
    let viewer = Viewer::start(&["--query-timeout-ms=1"]);
    send_large_trace(&viewer, 20_000);
    let url = format!("{}/api/search", viewer.pages);
    let response = client().get(url).query(&[("q", costly())]).send().expect("a response");
    assert_eq!((response.status().as_u16(), response.headers()["retry-after"].to_str().ok()), (503, Some("1")));
    assert!(response.text().expect("text").starts_with("the query took too long"), "a reason");
    for path in ["/api/search/tag/span.text/values?q=%7B.a%3D1%7D", "/view/map"] {
        assert_eq!(viewer.get(path).status(), 503, "{path}");
    }
    let list = viewer.json("/view/traces?name=nobody");
    assert!(list["invalid"].as_str().is_some_and(|reason| reason.starts_with("The query took too long")), "{list}");
}

#[test]
fn costly_queries_delay_neither_probes_nor_ingest() {
    const QUERIES: usize = 16;
    let viewer = Viewer::start(&["--query-timeout-ms=600000"]);
    send_large_trace(&viewer, 40_000);
    let ended = Arc::new(AtomicUsize::new(0));
    for _ in 0..QUERIES {
        let (ended, url) = (ended.clone(), format!("{}/api/search", viewer.pages));
        std::thread::spawn(move || {
            // An error when the viewer ends below.
            let _ = client().get(url).query(&[("q", costly())]).send();
            ended.fetch_add(1, Ordering::Relaxed);
        });
    }
    let client = client();
    for _ in 0..5 {
        let ready = client.get(format!("{}/ready", viewer.pages)).send().expect("a response");
        let message = traces("other", &[span(&new_trace(), 1, 0, "meanwhile", 0, 5)]).to_string();
        let message =
            client.post(format!("{}/v1/traces", viewer.otlp)).header("content-type", "application/json").body(message);
        assert_eq!((ready.status().as_u16(), message.send().expect("a response").status().as_u16()), (200, 200));
    }
    // Where a query holds the runtime or the store, these wait for all that came before.
    let ended = ended.load(Ordering::Relaxed);
    assert!(ended < QUERIES, "all {QUERIES} queries ended before five probes and five messages were answered");
}

#[test]
fn chain_of_250_sets_holds_the_spans_of_a_trace_once() {
    let viewer = Viewer::start(&[&format!("--max-bytes={}", 2 * MAX_BYTES)]);
    send_spans(&viewer, &new_trace(), (1, 60_000), |_| Vec::new());
    for operator in ["&&", "||"] {
        let query = vec!["{}"; 250].join(operator);
        std::thread::scope(|threads| {
            for _ in 0..2 {
                threads.spawn(|| assert_eq!(search(&viewer, &query).0, 200));
            }
        });
    }
    if let Some(most) = viewer.memory() {
        assert!(most < 2 * MAX_BYTES + BESIDE, "{} MiB", most >> 20);
    }
}

/// An attribute with a list of so many integers from `first` on.
fn list(key: &[u8], first: u64, count: u64) -> Vec<u8> {
    let item = |number| {
        let mut item = vec![3 << 3];
        prost::encoding::encode_varint(number, &mut item);
        field(1, &item)
    };
    let items: Vec<u8> = (first..first + count).flat_map(item).collect();
    field(9, &[field(1, key), field(2, &field(5, &items))].concat())
}

#[test]
fn lists_that_are_compared_item_by_item_and_patterns_end_at_the_deadline() {
    let viewer = Viewer::start(&["--query-timeout-ms=1000"]);
    send_spans(&viewer, &new_trace(), (1, 1), |_| [list(b"k", 1, 40_000), list(b"j", 1_000_000, 40_000)].concat());
    // In a text without regularity each character takes time in proportion to the pattern.
    let text: Vec<u8> =
        (0..2_u64 << 20).map(|i| b"ab"[(i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 60) as usize % 2]).collect();
    send_spans(&viewer, &new_trace(), (1, 1), |_| field(5, &text));
    for query in ["{ span.k = span.j }", r#"{ name =~ ".*a[ab]{900}z" }"#] {
        let start = Instant::now();
        let status = search(&viewer, query).0;
        assert!([200, 503].contains(&status), "{query}: {status}");
        assert!(start.elapsed() < Duration::from_secs(15), "{query}: {:?}", start.elapsed());
    }
}
