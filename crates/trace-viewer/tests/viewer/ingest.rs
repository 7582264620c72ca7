//! OTLP in each form that exporters send, and what is refused.

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
    let mut gzipped = GzEncoder::new(Vec::new(), Compression::fast());
    gzipped.write_all(body).expect("in memory");
    gzipped.finish().expect("in memory")
}

fn has(viewer: &Viewer, trace: &str) -> bool {
    viewer.get(&format!("/api/traces/{trace}")).status() == 200
}

#[test]
fn protobuf_and_json_plain_and_gzipped_are_stored_when_the_response_comes() {
    let viewer = Viewer::start(&[]);
    let url = format!("{}/v1/traces", viewer.otlp);
    for (content_type, gzipped) in [
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
            if gzipped { request.header("content-encoding", "gzip").body(gzip(&body)) } else { request.body(body) };
        let response = request.send().expect("a response");
        assert_eq!(response.status(), 200);
        if is_protobuf {
            assert_eq!(response.headers()["content-type"], "application/x-protobuf");
            let response = ExportTraceServiceResponse::decode(response.bytes().expect("a body")).expect("protobuf");
            assert_eq!(response.partial_success, None);
        }
        assert!(has(&viewer, &trace), "{content_type}, gzipped: {gzipped}");
    }
}

#[test]
fn malformed_message_gets_400_in_its_own_encoding() {
    let viewer = Viewer::start(&[]);
    for signal in ["traces", "logs"] {
        let url = format!("{}/v1/{signal}", viewer.otlp);
        for body in ["", "{", "[]", "null", r#"{"resourceSpans": 5, "resourceLogs": 5}"#, "\u{0}"] {
            let response = post(&url, "application/json", body.as_bytes().to_vec());
            assert_eq!(response.status(), 400, "{signal}: {body}");
            assert_eq!(response.json::<Value>().expect("JSON")["code"], 3);
        }
        let response = post(&url, "application/x-protobuf", b"\xff\xff\xff".to_vec());
        assert_eq!(response.status(), 400);
        assert_eq!(response.headers()["content-type"], "application/x-protobuf");
        // google.rpc.Status: field 1 is the number 3.
        assert_eq!(response.bytes().expect("a body")[..2], [0x08, 3]);

        let not_gzipped =
            client().post(&url).header("content-type", "application/json").header("content-encoding", "gzip");
        assert_eq!(not_gzipped.body("{}").send().expect("a response").status(), 400);
        let unknown = client().post(&url).header("content-type", "application/json").header("content-encoding", "br");
        assert_eq!(unknown.body("{}").send().expect("a response").status(), 415);
    }
    assert_eq!(client().post(format!("{}/v1/metrics", viewer.otlp)).send().expect("a response").status(), 404);
}

#[test]
fn body_above_the_limit_gets_413_without_using_memory() {
    let viewer = Viewer::start(&[]);
    let url = format!("{}/v1/traces", viewer.otlp);
    let padded = |size: usize| {
        let mut body = b"{}".to_vec();
        body.resize(size, b' ');
        body
    };
    assert_eq!(post(&url, "application/json", padded(LARGEST)).status(), 200);
    let response = post(&url, "application/json", padded(LARGEST + 1));
    assert_eq!(response.status(), 413);
    assert!(response.json::<Value>().expect("JSON")["message"].as_str().is_some_and(|text| text.contains("8388608")));

    // Also far above the limit the response reaches a client that writes all before it reads.
    let mut connection = TcpStream::connect(viewer.otlp.trim_start_matches("http://")).expect("a connection");
    let head = format!(
        "POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        4 * LARGEST
    );
    connection
        .write_all(head.as_bytes())
        .and_then(|()| connection.write_all(&padded(4 * LARGEST)))
        .expect("the whole body is read");
    let mut status = [0; 12];
    connection.read_exact(&mut status).expect("a response");
    assert_eq!(&status, b"HTTP/1.1 413");

    // The same with gzip: a few kilobytes that become more than is allowed, and a megabyte that becomes a gigabyte.
    let gzipped = |body: Vec<u8>| {
        let request = client().post(&url).header("content-type", "application/json").header("content-encoding", "gzip");
        request.body(body).send().expect("a response").status()
    };
    assert_eq!(gzipped(gzip(&padded(LARGEST))), 200);
    assert_eq!(gzipped(gzip(&padded(LARGEST + 1))), 413);
    assert_eq!(gzipped(gzip(&padded(LARGEST)).repeat(128)), 413);
    assert!(viewer.memory().is_none_or(|most| most < 128 << 20), "decompressed no more than is allowed");
}

#[test]
fn spans_with_invalid_ids_are_counted_as_rejected_and_the_rest_is_kept() {
    let viewer = Viewer::start(&[]);
    let url = format!("{}/v1/traces", viewer.otlp);
    let trace = new_trace();
    let good = span(&trace, 1, 0, "a", 0, 5);
    let zero = span(&"0".repeat(32), 1, 0, "a", 0, 5);
    let short = span("abcd", 1, 0, "a", 0, 5);
    let without_span_id = span(&trace, 0, 0, "a", 0, 5);
    let response = post_json(&url, &traces("x", &[zero.clone(), good, short, without_span_id]));
    assert_eq!(response.status(), 200);
    let partial: Value = response.json().expect("JSON");
    assert_eq!(partial["partialSuccess"]["rejectedSpans"], "3");
    assert!(partial["partialSuccess"]["errorMessage"].as_str().is_some_and(|text| text.contains("trace id")));
    assert!(has(&viewer, &trace));

    assert_eq!(post_json(&url, &traces("x", std::slice::from_ref(&zero))).status(), 400, "no span was valid");
    let response = post(&url, "application/x-protobuf", protobuf(traces("x", &[zero, span(&trace, 2, 1, "b", 1, 2)])));
    let response = ExportTraceServiceResponse::decode(response.bytes().expect("a body")).expect("protobuf");
    assert_eq!(response.partial_success.map(|partial| partial.rejected_spans), Some(1));
}

#[test]
fn span_that_is_sent_twice_is_kept_once() {
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
    // One batch for each service, of several messages.
    let names = |batch: &Value| {
        let spans = batch["scopeSpans"][0]["spans"].as_array().cloned().unwrap_or_default();
        spans.iter().map(|span| span["name"].clone()).collect::<Value>()
    };
    let all: Vec<Value> = batches.as_array().into_iter().flatten().map(names).collect();
    assert_eq!(all, [json!(["a"]), json!(["b", "c"])]);
}
