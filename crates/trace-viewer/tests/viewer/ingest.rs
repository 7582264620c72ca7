//! OTLP in each form that exporters send, and what is refused.

use std::io::{Read, Write};
use std::net::TcpStream;

use flate2::Compression;
use flate2::write::GzEncoder;
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use prost::Message;
use serde_json::{Value, json};

use crate::grpc::deflate;
use crate::support::{Viewer, client, new_trace, post, post_json, span, traces, with};

const LARGEST: usize = 8 << 20;

pub(crate) fn protobuf(message: Value) -> Vec<u8> {
    let message: ExportTraceServiceRequest = serde_json::from_value(message).expect("OTLP");
    message.encode_to_vec()
}

pub(crate) fn gzip(body: &[u8]) -> Vec<u8> {
    let mut gzipped = GzEncoder::new(Vec::new(), Compression::fast());
    gzipped.write_all(body).expect("in memory");
    gzipped.finish().expect("in memory")
}

pub(crate) fn has(viewer: &Viewer, trace: &str) -> bool {
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
fn deflated_body_is_stored() {
    let viewer = Viewer::start(&[]);
    let trace = new_trace();
    let body = deflate(traces("x", &[span(&trace, 1, 0, "a", 0, 5)]).to_string().as_bytes());
    let request = client().post(format!("{}/v1/traces", viewer.otlp)).header("content-type", "application/json");
    let response = request.header("content-encoding", "deflate").body(body).send().expect("a response");
    assert_eq!(response.status(), 200);
    assert!(has(&viewer, &trace));
}

#[test]
fn metrics_get_200_and_are_named_once_as_ignored() {
    let viewer = Viewer::start(&[]);
    let ignored = || viewer.json("/view/traces")["kept"]["metrics_ignored"].clone();
    assert_eq!(ignored(), false);
    let url = format!("{}/v1/metrics", viewer.otlp);
    for _ in 0..3 {
        let response = post_json(&url, &json!({"resourceMetrics": [{"scopeMetrics": []}]}));
        assert_eq!((response.status().as_u16(), response.json().ok()), (200, Some(json!({"partialSuccess": {}}))));
        let response = post(&url, "application/x-protobuf", vec![0x0a, 0]);
        assert_eq!((response.status().as_u16(), response.bytes().expect("a body").len()), (200, 0));
    }
    assert_eq!(ignored(), true);
    assert_eq!(client().get(&url).send().expect("a response").status(), 405);
    viewer.signal(test_support::Signal::SIGTERM);
    let (_, lines) = viewer.wait();
    let named = lines.iter().filter(|line| line["message"].as_str().is_some_and(|text| text.contains("Metrics")));
    assert_eq!(named.count(), 1);
}

#[test]
fn values_that_other_encoders_write_do_not_lose_the_batch() {
    let viewer = Viewer::start(&[]);
    let trace = new_trace();
    let values = json!([
        {"key": "empty.list", "value": {"arrayValue": {}}},
        {"key": "empty.map", "value": {"kvlistValue": {}}},
        {"key": "not.a.number", "value": {"doubleValue": "NaN"}},
        {"key": "infinite", "value": {"doubleValue": "Infinity"}},
        {"key": "number", "value": {"intValue": 7}},
        {"key": "nothing", "value": null},
        {"key": "absent"},
    ]);
    let fields = json!({"attributes": values, "links": null, "droppedLinksCount": "0", "ofTomorrow": {"a": [1]}});
    let mut message = traces("x", &[with(span(&trace, 1, 0, "a", 0, 5), fields)]);
    message["resourceSpans"][0]["resource"]["entityRefs"] = json!([{"type": "service", "idKeys": ["service.name"]}]);
    let response = post_json(&format!("{}/v1/traces", viewer.otlp), &message);
    assert_eq!(response.status(), 200, "{}", response.text().expect("text"));
    let attributes = viewer.json(&format!("/view/traces/{trace}/spans/{:016x}", 1))["attributes"].clone();
    let expected = json!({
        "empty.list": [], "empty.map": {}, "not.a.number": "NaN", "infinite": "inf", "number": 7, "nothing": null,
        "absent": null,
    });
    assert_eq!(attributes, expected);
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
