use std::io::{Read, Write};
use std::sync::{Arc, Mutex};

use flate2::read::GzDecoder;
use http::Method;
use opentelemetry::trace::{SpanContext, TraceFlags, TraceState, Tracer, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanProcessor};
use prost::Message;
use span_export::SpanExport;

use crate::support::*;

#[test]
fn request_is_otlp_over_http_with_protobuf() {
    let client = Client::new(|_| ok());
    let (processor, _) = processor(&client, |builder| builder);
    processor.on_end(span());
    processor.force_flush().unwrap();
    let request = &client.requests()[0];
    assert_eq!(
        (request.method(), request.uri().to_string().as_str()),
        (&Method::POST, "http://receiver:4318/v1/traces")
    );
    assert_eq!(request.headers()["content-type"], "application/x-protobuf");
    assert!(!request.headers().contains_key("content-encoding"));
}

#[test]
fn gzip_request_holds_same_bytes() {
    let [plain, compressed] = [false, true].map(|gzip| {
        let client = Client::new(|_| ok());
        let (processor, _) = processor(&client, |builder| builder.gzip(gzip));
        let mut same = span_of(5000);
        (same.start_time, same.end_time) = (std::time::UNIX_EPOCH, std::time::UNIX_EPOCH);
        processor.on_end(same);
        processor.force_flush().unwrap();
        client.requests().remove(0)
    });
    assert_eq!(compressed.headers()["content-encoding"], "gzip");
    assert!(compressed.body().len() < plain.body().len() / 4);
    let mut body = Vec::new();
    GzDecoder::new(&compressed.body()[..]).read_to_end(&mut body).unwrap();
    assert_eq!(body, plain.body()[..]);
}

#[test]
fn batches_are_bounded_in_spans() {
    let client = Client::new(|_| ok());
    let (processor, counted) = processor(&client, |builder| builder.max_export_batch_size(4));
    (0..10).for_each(|_| processor.on_end(span()));
    processor.force_flush().unwrap();
    assert!(client.batches().iter().all(|count| *count <= 4), "{:?}", client.batches());
    assert_eq!(counted.sums(), Counted::exported(10));
}

#[test]
fn batches_are_bounded_in_bytes_and_longer_span_is_sent_alone() {
    let client = Client::new(|_| ok());
    let (processor, counted) = processor(&client, |builder| builder.max_request_bytes(10_000));
    for length in [3000, 3000, 3000, 20_000, 3000, 9000, 50_000] {
        processor.on_end(span_of(length));
    }
    processor.force_flush().unwrap();
    assert_eq!(counted.sums(), Counted::exported(7));
    for (request, count) in client.requests().iter().zip(client.batches()) {
        assert!(count == 1 || request.body().len() < 10_200, "{count} spans in {} bytes", request.body().len());
    }
    assert!(client.batches().contains(&1) && client.batches().iter().any(|count| *count > 1), "{:?}", client.batches());
}

#[test]
fn bytes_of_full_request_leave_without_waiting() {
    let client = Client::new(|_| ok());
    let (processor, counted) = processor(&client, |builder| builder.max_request_bytes(10_000));
    processor.on_end(span_of(6000));
    processor.on_end(span_of(6000));
    eventually(|| counted.sums().exported >= 1);
}

#[test]
fn spans_that_are_not_sampled_are_neither_sent_nor_counted() {
    let client = Client::new(|_| ok());
    let (processor, counted) = processor(&client, |builder| builder);
    let context = SpanContext::new(1.into(), 2.into(), TraceFlags::default(), false, TraceState::NONE);
    processor.on_end(SpanData { span_context: context, ..span() });
    processor.on_end(span());
    processor.force_flush().unwrap();
    assert_eq!((client.batches(), counted.sums()), (vec![1], Counted::exported(1)));
}

#[test]
fn provider_sets_resource_and_each_tracer_its_scope() {
    let client = Client::new(|_| ok());
    let (processor, _) = processor(&client, |builder| builder);
    let resource = Resource::builder_empty().with_attribute(KeyValue::new("service.name", "shop")).build();
    let provider = SdkTracerProvider::builder().with_resource(resource).with_span_processor(processor).build();
    for scope in ["web", "database", "web"] {
        drop(provider.tracer(scope).start("span"));
    }
    provider.force_flush().unwrap();
    let mut request = ExportTraceServiceRequest::decode(client.requests()[0].body().clone()).unwrap();
    let spans = request.resource_spans.remove(0);
    assert_eq!(spans.resource.unwrap().attributes[0].key, "service.name");
    let scopes: Vec<_> =
        spans.scope_spans.into_iter().map(|spans| (spans.scope.unwrap().name, spans.spans.len())).collect();
    assert_eq!(scopes, [("web".to_owned(), 2), ("database".to_owned(), 1)]);
    assert!(request.resource_spans.is_empty());
}

#[test]
fn client_runs_with_telemetry_suppressed() {
    let client = Client::new(|_| if Context::is_current_telemetry_suppressed() { ok() } else { status(400) });
    let (processor, counted) = processor(&client, |builder| builder);
    processor.on_end(span());
    processor.force_flush().unwrap();
    assert_eq!(counted.sums(), Counted::exported(1));
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let build = |endpoint: &str| SpanExport::builder(Client::new(|_| ok()), endpoint);
    assert!(build("http://receiver:4318/v1/traces").build().is_ok());
    assert!(build("not a URI").build().unwrap_err().to_string().contains("not a URI"));
    for builder in [build("http://x").max_queue_size(0), build("http://x").max_request_bytes(0)] {
        assert_eq!(builder.build().unwrap_err().kind(), std::io::ErrorKind::InvalidInput);
    }
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

// One test, because a process has one global subscriber, and the exporting thread has no other.
#[test]
fn failures_and_messages_of_receiver_are_logged() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();

    let replies: [fn() -> _; 3] =
        [|| partial(1, "the name is too long"), || partial(0, "please upgrade"), || status(418)];
    let client = Client::new(move |number| replies[number]());
    let (processor, counted) = processor(&client, |builder| builder);
    for _ in 0..3 {
        processor.on_end(span());
        processor.force_flush().unwrap();
    }
    assert_eq!(counted.sums(), Sums { exported: 1, failed: 2, ..Sums::default() });
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    for expected in ["the name is too long", "please upgrade", "the receiver responded 418"] {
        assert!(text.contains(expected), "{text}");
    }
}
