//! The standard OpenTelemetry environment: the effect of each value on the whole system, and the error for a wrong one.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::mpsc;

use test_support::http;

use crate::common::{System, dice};

#[test]
fn without_exporter_lines_have_ids_and_no_span_leaves() {
    let mut system = System::start(&[("OTEL_TRACES_EXPORTER", "none"), ("ROLL_DELAY_MAX_MS", "0")]);
    let id = system.get("/roll?die=fair").trace_id();
    let exported = http::metrics(&system.ports.frontend())["telemetry_spans_exported_total"];
    system.stop();
    assert_eq!(exported, 0.0);
    assert!(system.backend.find(&id).is_none());
    let services: Vec<_> = ["Roll completed", "Die specification requested", "Backend response received"]
        .iter()
        .flat_map(|message| system.log_of(message))
        .map(|line| line["trace_id"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(services, [Some(id.clone()), Some(id.clone()), Some(id)]);
}

/// A stand-in for die-service that returns the headers of each request for a die.
fn recorder() -> (String, mpsc::Receiver<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (sender, heads) = mpsc::channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map(Result::unwrap) {
            let lines = BufReader::new(&stream).lines().map(Result::unwrap);
            let head: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
            let body = if head.first().is_some_and(|line| line.contains("identifier=")) {
                sender.send(head).unwrap();
                r#"{"identifier":"fair","specification":{"faces":[1],"error_rate":0}}"#
            } else {
                r#"{"identifiers":["fair"]}"#
            };
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length:";
            write!(stream, "{head} {}\r\n\r\n{body}", body.len()).unwrap();
        }
    });
    (url, heads)
}

#[test]
fn disabled_sdk_forwards_context_of_caller_unchanged() {
    let (url, heads) = recorder();
    let mut system =
        System::start(&[("OTEL_SDK_DISABLED", "true"), ("DIE_SERVICE_URL", &url), ("ROLL_DELAY_MAX_MS", "0")]);
    let (traceparent, tracestate) = ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "a=1,b=2");
    let request = http::client().get(system.ports.frontend() + "/roll?die=fair");
    let response = http::send(request.header("traceparent", traceparent).header("tracestate", tracestate));
    assert_eq!(response.json(), serde_json::json!({"roll": 1}));
    assert_eq!(response.header("traceresponse"), None);

    let head = heads.recv().unwrap();
    assert!(head.contains(&format!("traceparent: {traceparent}")), "{head:?}");
    assert!(head.contains(&format!("tracestate: {tracestate}")), "{head:?}");
    system.stop();
    assert!(system.log().iter().all(|line| line.get("trace_id").is_none()));
    assert!(system.backend.find("0af7651916cd43dd8448eb211c80319c").is_none());
}

#[test]
fn invalid_value_stops_service_before_it_binds() {
    // The service would not get this port: were it to try, it would complain of that.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for (name, value, allowed) in [
        ("OTEL_SDK_DISABLED", "maybe", "true, false"),
        ("OTEL_TRACES_EXPORTER", "zipkin", "otlp, console, none"),
        ("OTEL_LOGS_EXPORTER", "console", "otlp, none"),
        ("OTEL_TRACES_SAMPLER", "sometimes", "parentbased_always_on"),
        ("OTEL_TRACES_SAMPLER_ARG", "2", "from 0 to 1"),
        ("OTEL_PROPAGATORS", "b3", "tracecontext, baggage, none"),
        ("OTEL_RESOURCE_ATTRIBUTES", "team", "key=value"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4318", "http://"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "nowhere", "http://"),
        ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "ftp://x", "http://"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "secret", "key=value"),
        ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "a b=1", "header name"),
        ("OTEL_EXPORTER_OTLP_LOGS_HEADERS", "=1", "key=value"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s", "a number from 1"),
        ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "-1", "a number from 1"),
        ("OTEL_EXPORTER_OTLP_LOGS_TIMEOUT", "0", "a number from 1"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "x", "http/protobuf"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0", "a number from 1"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "many", "a number from 1"),
        ("OTEL_BSP_SCHEDULE_DELAY", "1.5", "a number from 1"),
        ("OTEL_BSP_EXPORT_TIMEOUT", "-", "a number from 1"),
    ] {
        let mut service = dice(&["die-service"], &[("PORT", &*port), (name, value)]);
        let status = service.wait();
        let lines = service.lines();
        let [line] = lines.as_slice() else { panic!("{name}={value}: not one line: {lines:#?}") };
        assert_eq!(status.code(), Some(2), "{line}");
        assert!(line.starts_with(&format!("error: {name} (--")), "{line}");
        assert!(line.contains(&format!("'{value}'")) && line.contains(allowed), "{line}");
    } // An empty value counts as unset: this one gets as far as the port.
    let mut service = dice(&["die-service"], &[("PORT", &*port), ("OTEL_TRACES_EXPORTER", "")]);
    assert_eq!(service.wait().code(), Some(1));
    assert!(service.text().contains("cannot listen"), "{}", service.text());
}
