//! What the viewer takes for a span: processor time to take it in, and memory to hold it.
//!
//! 400,000 spans of five attributes in 400 requests over one connection, ten spans a trace. Of the attributes three repeat
//! and two are different for each span. Processor time is that of the viewer's process, so that it says the same on a busy
//! machine.

use std::fs::read_to_string;
use std::io::Write;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use test_support::Process;

const REQUESTS: u64 = 400;
const SPANS: u64 = 1000;
const OF_A_TRACE: u64 = 10;

fn main() {
    let limits = ["--max-spans=1000000", "--max-bytes=2000000000"];
    let ports = ["--port=0", "--otlp-port=0", "--otlp-grpc-port=0"];
    let viewer = Process::start(env!("CARGO_BIN_EXE_trace-viewer"), &[ports.as_slice(), &limits].concat(), &[]);
    let (url, pages) = (format!("{}/v1/traces", viewer.url("otlp_address")), viewer.url("address"));
    let client = test_support::http::client();
    let post = |message: Vec<u8>| {
        let request = client.post(&url).header("content-type", "application/x-protobuf").body(message);
        assert_eq!(request.send().expect("a response").status(), 200);
    };
    // The first message starts threads and fills tables.
    post(message(REQUESTS));
    let (cpu, memory) = (processor_seconds(viewer.id()), viewer.memory());
    (0..REQUESTS).for_each(|request| post(message(request)));
    let (cpu, memory) = (processor_seconds(viewer.id()) - cpu, viewer.memory() - memory);
    let held = test_support::http::metrics(&pages);
    let spans = (REQUESTS * SPANS) as f64;
    assert_eq!(held["trace_viewer_spans"], spans + SPANS as f64);
    let mut out = std::io::stdout();
    let counted = held["trace_viewer_bytes"] / held["trace_viewer_spans"];
    let _ = writeln!(out, "processor time per span taken in: {:.2} µs", cpu * 1e6 / spans);
    let _ = writeln!(
        out,
        "memory per span held: {:.0} bytes, {counted:.0} by the viewer's own count",
        memory as f64 / spans
    );
}

/// Processor time of a process; the system counts it in hundredths of a second.
fn processor_seconds(process: i32) -> f64 {
    let stat = read_to_string(format!("/proc/{process}/stat")).expect("Linux");
    // After the name, which is in parentheses: the fields from the third on.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |field: usize| fields[field - 3].parse::<f64>().expect("a number");
    (ticks(14) + ticks(15)) / 100.0
}

fn message(request: u64) -> Vec<u8> {
    let service = text("service.name", format!("service-{}", request % 5));
    let resource = Resource { attributes: vec![service], ..Resource::default() };
    let spans = (0..SPANS).map(|i| span(request * SPANS + i)).collect();
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    let resource_spans = ResourceSpans { resource: Some(resource), scope_spans, ..ResourceSpans::default() };
    ExportTraceServiceRequest { resource_spans: vec![resource_spans] }.encode_to_vec()
}

fn span(number: u64) -> Span {
    let trace = u128::from(number / OF_A_TRACE + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    let id = |number: u64| (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes().to_vec();
    let is_root = number.is_multiple_of(OF_A_TRACE);
    Span {
        trace_id: trace.to_be_bytes().to_vec(),
        span_id: id(number),
        parent_span_id: if is_root { Vec::new() } else { id(number - 1) },
        name: format!("GET /items/{{id}}/part-{}", number % 20),
        kind: 2,
        start_time_unix_nano: 1_700_000_000_000_000_000 + number * 1000,
        end_time_unix_nano: 1_700_000_000_000_900_000 + number * 1000,
        attributes: vec![
            text("http.request.method", "GET".to_owned()),
            text("http.route", format!("/items/{{id}}/part-{}", number % 20)),
            KeyValue {
                key: "http.response.status_code".to_owned(),
                value: Some(AnyValue { value: Some(Value::IntValue(200)) }),
                ..KeyValue::default()
            },
            text("url.path", format!("/items/{number:012}/part-{}", number % 20)),
            text("user.id", format!("user-{number}")),
        ],
        ..Span::default()
    }
}

fn text(key: &str, value: String) -> KeyValue {
    let value = Some(AnyValue { value: Some(Value::StringValue(value)) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}
