//! OTLP over gRPC.

use std::time::Duration;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::{HeaderMap, Request};
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;
use serde_json::json;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::ingest::{gzip, has, protobuf};
use crate::support::{Viewer, new_trace, span, traces};

pub(crate) const TRACES: &str = "trace.v1.TraceService";
const LOGS: &str = "logs.v1.LogsService";
const METRICS: &str = "metrics.v1.MetricsService";

/// A message with its prefix.
pub(crate) fn framed(message: &[u8], is_compressed: bool) -> Vec<u8> {
    [&[u8::from(is_compressed)], (message.len() as u32).to_be_bytes().as_slice(), message].concat()
}

/// What `Export` of `service` responds to these bytes: the status, and the message in front of it.
pub(crate) fn export(viewer: &Viewer, service: &str, body: Vec<u8>, encoding: Option<&str>) -> (Status, Vec<u8>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(viewer.otlp_grpc.trim_start_matches("http://"));
        let stream = TokioIo::new(stream.await.expect("a connection"));
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream);
        let (mut client, connection) = handshake.await.expect("HTTP/2");
        #[allow(clippy::disallowed_methods)] // no span to lose
        let connection = tokio::spawn(connection);
        let path = format!("{}/opentelemetry.proto.collector.{service}/Export", viewer.otlp_grpc);
        let mut request = Request::post(path).header("content-type", "application/grpc").header("te", "trailers");
        if let Some(encoding) = encoding {
            request = request.header("grpc-encoding", encoding);
        }
        let request = request.body(Full::new(Bytes::from(body))).expect("a request");
        let response = client.send_request(request).await.expect("a response");
        let headers = response.headers().clone();
        assert_eq!(response.status(), 200);
        assert_eq!(headers["content-type"], "application/grpc");
        let body = response.into_body().collect().await.expect("a body");
        // A refusal has its status in the headers.
        let status = |headers: &HeaderMap| Status::from_header_map(headers);
        let status = status(&headers).or_else(|| status(body.trailers()?)).expect("a status");
        connection.abort();
        (status, body.to_bytes().to_vec())
    })
}

#[test]
fn spans_are_stored_plain_gzipped_and_deflated() {
    let viewer = Viewer::start(&[]);
    for encoding in [None, Some("identity"), Some("gzip"), Some("deflate")] {
        let trace = new_trace();
        let message = protobuf(traces("x", &[span(&trace, 1, 0, "a", 0, 5)]));
        let body = match encoding {
            Some("gzip") => framed(&gzip(&message), true),
            Some("deflate") => framed(&deflate(&message), true),
            _ => framed(&message, false),
        };
        let (status, response) = export(&viewer, TRACES, body, encoding);
        assert_eq!((status.code(), response), (Code::Ok, framed(&[], false)), "{encoding:?}");
        assert!(has(&viewer, &trace), "{encoding:?}");
    }
    // Some clients name a compression and then do not use it for a small message.
    let trace = new_trace();
    let message = protobuf(traces("x", &[span(&trace, 1, 0, "a", 0, 5)]));
    assert_eq!(export(&viewer, TRACES, framed(&message, false), Some("gzip")).0.code(), Code::Ok);
    assert!(has(&viewer, &trace));
}

pub(crate) fn deflate(body: &[u8]) -> Vec<u8> {
    let mut deflated = ZlibEncoder::new(Vec::new(), Compression::fast());
    std::io::Write::write_all(&mut deflated, body).expect("in memory");
    deflated.finish().expect("in memory")
}

#[test]
fn log_records_are_stored_and_metrics_are_dropped() {
    let viewer = Viewer::start(&[]);
    let trace = new_trace();
    viewer.send("x", &[span(&trace, 1, 0, "a", 0, 5)]);
    let record = json!({"traceId": trace, "spanId": format!("{:016x}", 1), "body": {"stringValue": "written"}});
    let message = json!({"resourceLogs": [{"resource": {}, "scopeLogs": [{"scope": {}, "logRecords": [record]}]}]});
    let message: ExportLogsServiceRequest = serde_json::from_value(message).expect("OTLP");
    assert_eq!(export(&viewer, LOGS, framed(&message.encode_to_vec(), false), None).0.code(), Code::Ok);
    let details = viewer.json(&format!("/view/traces/{trace}/spans/{:016x}", 1));
    assert_eq!(details["logs"][0]["message"], "written");

    assert_eq!(viewer.json("/view/traces")["kept"]["metrics_ignored"], false);
    assert_eq!(export(&viewer, METRICS, framed(b"\x0a\x00", false), None).0.code(), Code::Ok);
    assert_eq!(viewer.json("/view/traces")["kept"]["metrics_ignored"], true);
}

#[test]
fn refusals_have_the_status_that_tells_clients_whether_to_retry() {
    let viewer = Viewer::start(&[]);
    let zero = framed(&protobuf(traces("x", &[span(&"0".repeat(32), 1, 0, "a", 0, 5)])), false);
    let cases = [
        ("not protobuf", framed(b"\xff\xff\xff", false), None, Code::InvalidArgument),
        ("no valid id", zero, None, Code::InvalidArgument),
        ("no prefix", vec![], None, Code::InvalidArgument),
        ("shorter than its prefix says", framed(b"abc", false)[..6].to_vec(), None, Code::InvalidArgument),
        ("two messages", framed(&[], false).repeat(2), None, Code::InvalidArgument),
        ("not gzip", framed(b"abc", true), Some("gzip"), Code::InvalidArgument),
        ("unknown compression", framed(b"abc", true), Some("zstd"), Code::Unimplemented),
        ("too large", framed(&vec![0; (8 << 20) + 1], false), None, Code::ResourceExhausted),
        (
            "too large when unpacked",
            framed(&gzip(&vec![0; (8 << 20) + 1]), true),
            Some("gzip"),
            Code::ResourceExhausted,
        ),
    ];
    for (what, body, encoding, expected) in cases {
        let (status, _) = export(&viewer, TRACES, body, encoding);
        assert_eq!(status.code(), expected, "{what}: {}", status.message());
        assert!(status.get_details_retry_info().is_none(), "{what}: no use to send it again");
    }
    assert_eq!(export(&viewer, "trace.v2.TraceService", framed(&[], false), None).0.code(), Code::Unimplemented);

    // The valid spans of a message are kept, and the others counted.
    let trace = new_trace();
    let spans = [span(&trace, 1, 0, "a", 0, 5), span(&"0".repeat(32), 1, 0, "a", 0, 5)];
    let (status, response) = export(&viewer, TRACES, framed(&protobuf(traces("x", &spans)), false), None);
    let response = ExportTraceServiceResponse::decode(&response[5..]).expect("protobuf");
    assert_eq!((status.code(), response.partial_success.map(|partial| partial.rejected_spans)), (Code::Ok, Some(1)));
    assert!(has(&viewer, &trace));
}

#[test]
fn silent_connection_does_not_prevent_exit() {
    let viewer = Viewer::start(&[]);
    let mut connection = std::net::TcpStream::connect(viewer.otlp_grpc.trim_start_matches("http://")).expect("one");
    // HTTP/2's preface and an empty SETTINGS frame, as from a client that has nothing to send yet.
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    std::io::Write::write_all(&mut connection, preface).expect("a preface");
    connection.set_read_timeout(Some(Duration::from_secs(20))).expect("a time limit");
    std::io::Read::read_exact(&mut connection, &mut [0; 9]).expect("the viewer's SETTINGS");
    let (status, _) = viewer.stop();
    assert!(status.success(), "{status}");
}
