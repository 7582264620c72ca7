//! The exporters of OpenTelemetry's Python SDK, as a program uses them.

use std::process::Command;

use test_support::{Process, eventually, skip};

use crate::support::Viewer;

/// A span of every kind of attribute, with an event and a link, exported when the program ends. The argument is the
/// exporter's protocol.
const PROGRAM: &str = r#"
import sys
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
if sys.argv[1] == "grpc":
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
else:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
tracer = provider.get_tracer("python")
with tracer.start_as_current_span("parent", kind=trace.SpanKind.SERVER) as parent:
    link = trace.Link(parent.get_span_context(), {"why": "test"})
    with tracer.start_as_current_span("child", links=[link]) as child:
        child.set_attribute("list", ["a", "b"])
        child.set_attribute("float", 0.5)
        child.set_attribute("flag", True)
        child.add_event("happened", {"count": 3})
        child.set_status(trace.StatusCode.ERROR, "on purpose")
provider.shutdown()
print(format(parent.get_span_context().trace_id, "032x"))
"#;

/// The Python that has the exporters: `PYTHON_OTLP`, or `python3`.
fn python() -> Option<String> {
    #[allow(clippy::disallowed_methods)] // a setting of the tests, not of a service
    let python = std::env::var("PYTHON_OTLP").unwrap_or_else(|_| "python3".to_owned());
    let modules = "import opentelemetry.exporter.otlp.proto.http, opentelemetry.exporter.otlp.proto.grpc";
    let how = "with the packages opentelemetry-sdk, opentelemetry-exporter-otlp-proto-http and -grpc of PyPI";
    skip::unless(skip::runs(Command::new(&python).args(["-c", modules]), how), "REQUIRE_PYTHON_OTLP").map(|()| python)
}

#[test]
fn spans_of_the_python_sdk_arrive_over_http_and_grpc() {
    let Some(python) = python() else { return };
    let viewer = Viewer::start(&[]);
    for (protocol, endpoint, compression) in [
        ("http", &viewer.otlp, ""),
        ("http", &viewer.otlp, "gzip"),
        ("http", &viewer.otlp, "deflate"),
        ("grpc", &viewer.otlp_grpc, ""),
        ("grpc", &viewer.otlp_grpc, "gzip"),
    ] {
        let mut command = Command::new(&python);
        command.args(["-c", PROGRAM, protocol]).env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint);
        command.env("OTEL_SERVICE_NAME", "snake");
        // Only the exporter over HTTP takes `none`.
        if !compression.is_empty() {
            command.env("OTEL_EXPORTER_OTLP_COMPRESSION", compression);
        }
        let finished = Process::spawn(command).expect("python").finish();
        assert!(
            finished.status.success() && finished.stderr.is_empty(),
            "{protocol} {compression}: {}",
            finished.stderr
        );
        let id = finished.stdout.trim();
        let trace = eventually("both spans", || {
            let trace = viewer.json(&format!("/view/traces/{id}"));
            (trace["rows"].as_array().map(Vec::len) == Some(2)).then_some(trace)
        });
        let child = &trace["rows"][1];
        assert_eq!((child["name"].as_str(), child["service"].as_str()), (Some("child"), Some("snake")), "{protocol}");
        let details = viewer.json(&format!("/view/traces/{id}/spans/{}", child["id"].as_str().expect("an id")));
        assert_eq!(details["attributes"], serde_json::json!({"list": ["a", "b"], "float": 0.5, "flag": true}));
        assert_eq!(details["events"][0]["attributes"]["count"], 3);
        assert_eq!(details["links"][0]["attributes"]["why"], "test");
        assert_eq!((details["status"].as_str(), details["message"].as_str()), (Some("error"), Some("on purpose")));
    }
}
