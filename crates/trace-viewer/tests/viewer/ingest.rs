//! OTLP in, in each form that exporters have, and what is refused.

use std::io::{Read, Write};
use std::net::TcpStream;

use flate2::Compression;
use flate2::write::GzEncoder;
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use prost::Message;
use serde_json::{Value, json};

use crate::support::{Viewer, client, new_trace, post, post_json, span, traces};

const LARGEST: usize = 8 << 20;

fn protobuf(message: Value) -> Vec<u8> {
    let message: ExportTraceServiceRequest = serde_json::from_value(message).expect("OTLP");
    message.encode_to_vec()
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(body).expect("in memory");
    packed.finish().expect("in memory")
}

fn knows(viewer: &Viewer, trace: &str) -> bool {
    viewer.get(&format!("/api/traces/{trace}")).status() == 200
}

#[test]
fn protobuf_and_json_both_plain_and_packed_are_seen_at_once() {
    let viewer = Viewer::start(&[]);
    let url = format!("{}/v1/traces", viewer.otlp);
    for (content_type, packed) in [
        ("application/x-protobuf", false),
        ("application/x-protobuf", true),
        ("application/json", false),
        ("application/json; charset=utf-8", true),
    ] {
        let trace = new_trace();
        let message = traces("x", &[span(&trace, 1, 0, "a", 0, 5)]);
        let is_protobuf = content_type.contains("protobuf");
        let body = if is_protobuf { protobuf(message) } else { message.to_string().into_bytes() };
        let request = client().post(&url).header("content-type", content_type);
        let request =
            if packed { request.header("content-encoding", "gzip").body(gzip(&body)) } else { request.body(body) };
        let answer = request.send().expect("an answer");
        assert_eq!(answer.status(), 200);
        if is_protobuf {
            assert_eq!(answer.headers()["content-type"], "application/x-protobuf");
            let response = ExportTraceServiceResponse::decode(answer.bytes().expect("a body")).expect("protobuf");
            assert_eq!(response.partial_success, None);
        }
        assert!(knows(&viewer, &trace), "{content_type}, packed: {packed}");
    }
}

#[test]
fn what_is_malformed_is_refused_in_its_own_encoding() {
    let viewer = Viewer::start(&[]);
    for signal in ["traces", "logs"] {
        let url = format!("{}/v1/{signal}", viewer.otlp);
        for body in ["", "{", "[]", "null", r#"{"resourceSpans": 5, "resourceLogs": 5}"#, "\u{0}"] {
            let answer = post(&url, "application/json", body.as_bytes().to_vec());
            assert_eq!(answer.status(), 400, "{signal}: {body}");
            assert_eq!(answer.json::<Value>().expect("JSON")["code"], 3);
        }
        let answer = post(&url, "application/x-protobuf", b"\xff\xff\xff".to_vec());
        assert_eq!(answer.status(), 400);
        assert_eq!(answer.headers()["content-type"], "application/x-protobuf");
        // google.rpc.Status: field 1 is the number 3.
        assert_eq!(answer.bytes().expect("a body")[..2], [0x08, 3]);

        let not_packed =
            client().post(&url).header("content-type", "application/json").header("content-encoding", "gzip");
        assert_eq!(not_packed.body("{}").send().expect("an answer").status(), 400);
        let unknown = client().post(&url).header("content-type", "application/json").header("content-encoding", "br");
        assert_eq!(unknown.body("{}").send().expect("an answer").status(), 415);
    }
    assert_eq!(client().post(format!("{}/v1/metrics", viewer.otlp)).send().expect("an answer").status(), 404);
}

#[test]
fn a_body_may_be_as_large_as_the_limit_and_no_larger() {
    let viewer = Viewer::start(&[]);
    let url = format!("{}/v1/traces", viewer.otlp);
    let padded = |size: usize| {
        let mut body = b"{}".to_vec();
        body.resize(size, b' ');
        body
    };
    assert_eq!(post(&url, "application/json", padded(LARGEST)).status(), 200);
    let answer = post(&url, "application/json", padded(LARGEST + 1));
    assert_eq!(answer.status(), 413);
    assert!(answer.json::<Value>().expect("JSON")["message"].as_str().is_some_and(|text| text.contains("8388608")));

    // Far beyond the limit too the answer reaches a sender that writes to the end before it reads.
    let mut connection = TcpStream::connect(viewer.otlp.trim_start_matches("http://")).expect("a connection");
    let head = format!(
        "POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        4 * LARGEST
    );
    connection
        .write_all(head.as_bytes())
        .and_then(|()| connection.write_all(&padded(4 * LARGEST)))
        .expect("all is taken");
    let mut status = [0; 12];
    connection.read_exact(&mut status).expect("an answer");
    assert_eq!(&status, b"HTTP/1.1 413");

    // The same packed: a few kilobytes that become more than is allowed, and a megabyte that becomes a gigabyte.
    let packed = |body: Vec<u8>| {
        let request = client().post(&url).header("content-type", "application/json").header("content-encoding", "gzip");
        request.body(body).send().expect("an answer").status()
    };
    assert_eq!(packed(gzip(&padded(LARGEST))), 200);
    assert_eq!(packed(gzip(&padded(LARGEST + 1))), 413);
    assert_eq!(packed(gzip(&padded(LARGEST)).repeat(128)), 413);
    assert!(viewer.memory().is_none_or(|most| most < 128 << 20), "no more was unpacked than is allowed");
}

#[test]
fn what_cannot_be_placed_is_counted_and_the_rest_is_kept() {
    let viewer = Viewer::start(&[]);
    let url = format!("{}/v1/traces", viewer.otlp);
    let trace = new_trace();
    let good = span(&trace, 1, 0, "a", 0, 5);
    let zero = span(&"0".repeat(32), 1, 0, "a", 0, 5);
    let short = span("abcd", 1, 0, "a", 0, 5);
    let nameless = span(&trace, 0, 0, "a", 0, 5);
    let answer = post_json(&url, &traces("x", &[zero.clone(), good, short, nameless]));
    assert_eq!(answer.status(), 200);
    let partial: Value = answer.json().expect("JSON");
    assert_eq!(partial["partialSuccess"]["rejectedSpans"], "3");
    assert!(partial["partialSuccess"]["errorMessage"].as_str().is_some_and(|text| text.contains("trace id")));
    assert!(knows(&viewer, &trace));

    assert_eq!(post_json(&url, &traces("x", std::slice::from_ref(&zero))).status(), 400, "nothing was left of it");
    let answer = post(&url, "application/x-protobuf", protobuf(traces("x", &[zero, span(&trace, 2, 1, "b", 1, 2)])));
    let response = ExportTraceServiceResponse::decode(answer.bytes().expect("a body")).expect("protobuf");
    assert_eq!(response.partial_success.map(|partial| partial.rejected_spans), Some(1));
}

#[test]
fn a_message_that_is_sent_twice_counts_once() {
    let viewer = Viewer::start(&[]);
    let trace = new_trace();
    for name in ["first", "again"] {
        viewer.send("x", &[span(&trace, 1, 0, name, 0, 5)]);
    }
    assert_eq!(viewer.metric("trace_viewer_spans"), 1);
    let spans = viewer.json(&format!("/api/traces/{trace}"))["batches"][0]["scopeSpans"][0]["spans"].clone();
    assert_eq!(spans.as_array().map(Vec::len), Some(1));
    assert_eq!(spans[0]["name"], "first");
}

#[test]
fn spans_of_several_messages_become_one_trace() {
    let viewer = Viewer::start(&[]);
    let trace = new_trace();
    viewer.send("callee", &[span(&trace, 2, 1, "b", 1, 4)]);
    viewer.send("caller", &[span(&trace, 1, 0, "a", 0, 5)]);
    viewer.send("callee", &[span(&trace, 3, 2, "c", 2, 3)]);
    let batches = viewer.json(&format!("/api/traces/{trace}"))["batches"].clone();
    // One batch a service, however many messages it took.
    let names = |batch: &Value| {
        let spans = batch["scopeSpans"][0]["spans"].as_array().cloned().unwrap_or_default();
        spans.iter().map(|span| span["name"].clone()).collect::<Value>()
    };
    let all: Vec<Value> = batches.as_array().into_iter().flatten().map(names).collect();
    assert_eq!(all, [json!(["a"]), json!(["b", "c"])]);
}
