//! The limits of the store.

use serde_json::{Value, json};

use crate::support::{Viewer, client, new_trace, post_json, span, traces, with};

#[test]
fn full_store_drops_the_oldest_whole_traces() {
    let viewer = Viewer::start(&["--max-spans=10"]);
    let ids: Vec<String> = (0..6).map(|_| new_trace()).collect();
    for id in &ids[..5] {
        viewer.send("x", &[span(id, 1, 0, "a", 0, 5), span(id, 2, 1, "b", 1, 4)]);
    }
    let known = |id: &String| viewer.get(&format!("/api/traces/{id}")).status() == 200;
    assert!(ids[..5].iter().all(known));
    viewer.send("x", &[span(&ids[5], 1, 0, "a", 0, 5)]);
    let expected = [false, true, true, true, true, true];
    assert_eq!(ids.iter().map(known).collect::<Vec<_>>(), expected);
    assert_eq!(viewer.metric("trace_viewer_spans"), 9, "the first was dropped as a whole");
    assert_eq!(viewer.metric("trace_viewer_traces_evicted_total"), 1);
}

#[test]
fn one_trace_gets_half_of_the_store_and_the_rest_is_counted_as_rejected() {
    let viewer = Viewer::start(&["--max-spans=10"]);
    let (other, endless) = (new_trace(), new_trace());
    viewer.send("x", &[span(&other, 1, 0, "a", 0, 5)]);
    let spans: Vec<Value> = (1..=8).map(|number| span(&endless, number, 0, "a", 0, 5)).collect();
    let response: Value = post_json(&format!("{}/v1/traces", viewer.otlp), &traces("x", &spans)).json().expect("JSON");
    assert_eq!(response["partialSuccess"]["rejectedSpans"], "3");
    assert_eq!(viewer.metric("trace_viewer_spans"), 6);
    assert_eq!(viewer.get(&format!("/api/traces/{other}")).status(), 200, "the others stay");
    assert_eq!(viewer.json(&format!("/view/traces/{endless}"))["refused"], 3);
}

#[test]
fn late_span_of_a_dropped_trace_starts_it_again() {
    let viewer = Viewer::start(&["--max-spans=4"]);
    let (old, new) = (new_trace(), new_trace());
    viewer.send("x", &[span(&old, 1, 0, "a", 0, 5)]);
    viewer.send("x", &[span(&new, 1, 0, "a", 0, 5), span(&new, 2, 1, "b", 1, 4)]);
    viewer.send("x", &[span(&new_trace(), 1, 0, "a", 0, 5), span(&new_trace(), 1, 0, "a", 0, 5)]);
    assert_eq!(viewer.get(&format!("/api/traces/{old}")).status(), 404);
    viewer.send("x", &[span(&old, 3, 1, "late", 2, 3)]);
    assert_eq!(viewer.json(&format!("/view/traces/{old}"))["complete"], false);
}

#[test]
fn memory_stays_bounded_when_more_is_sent_than_is_kept() {
    const MAX_BYTES: u64 = 8 << 20;
    let viewer = Viewer::start(&[&format!("--max-bytes={MAX_BYTES}")]);
    let url = format!("{}/v1/traces", viewer.otlp);
    let attributes = json!([{"key": "text", "value": {"stringValue": "x".repeat(4000)}}]);
    let client = client();
    let mut sent = 0;
    for round in 0..40 {
        let spans: Vec<Value> = (0..300)
            .map(|i| with(span(&new_trace(), 1 + i, 0, "a", 0, 5), json!({"attributes": attributes})))
            .collect();
        let body = traces(&format!("service-{round}"), &spans).to_string();
        sent += body.len() as u64;
        let response =
            client.post(&url).header("content-type", "application/json").body(body).send().expect("a response");
        assert_eq!(response.status(), 200);
        assert!(viewer.metric("trace_viewer_bytes") <= MAX_BYTES);
    }
    assert!(sent > 4 * MAX_BYTES, "enough was sent to tell: {sent}");
    assert!(viewer.metric("trace_viewer_traces_evicted_total") > 0);
    // Beside the store: the program, the current message, and the allocator's overhead.
    if let Some(most) = viewer.memory() {
        assert!(most < 5 * MAX_BYTES, "{} MiB resident after {} MiB", most >> 20, sent >> 20);
    }
}
