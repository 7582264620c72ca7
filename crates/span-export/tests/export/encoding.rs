//! The bytes that leave, against those that the library makes of the same spans.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry::trace::{Event, Link, SpanContext, SpanKind, Status, TraceFlags, TraceState};
use opentelemetry::{Array, InstrumentationScope, Key, KeyValue, StringValue, Value};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks, SpanProcessor};
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;

use crate::support::{Client, ok, processor};

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::F64),
        ".{0,300}".prop_map(Value::from),
        vec(any::<i64>(), 0..80).prop_map(|values| Value::Array(Array::I64(values))),
        vec(any::<bool>(), 0..3).prop_map(|values| Value::Array(Array::Bool(values))),
        vec(any::<f64>(), 0..3).prop_map(|values| Value::Array(Array::F64(values))),
        vec(".{0,9}".prop_map(StringValue::from), 0..3).prop_map(|values| Value::Array(Array::String(values))),
    ]
}

fn attributes(most: usize) -> impl Strategy<Value = Vec<KeyValue>> {
    vec(("[a-z.]{0,20}", value()).prop_map(|(key, value)| KeyValue::new(Key::from(key), value)), 0..=most)
}

prop_compose! {
    fn context()(
        trace in any::<u128>(),
        span in any::<u64>(),
        flags in any::<u8>(),
        is_remote in any::<bool>(),
        with_state in any::<bool>(),
    ) -> SpanContext {
        let state = if with_state { "a=1,b=2".parse().unwrap() } else { TraceState::NONE };
        SpanContext::new(trace.into(), span.into(), TraceFlags::new(flags) | TraceFlags::SAMPLED, is_remote, state)
    }
}

fn status() -> impl Strategy<Value = Status> {
    prop_oneof![Just(Status::Unset), Just(Status::Ok), ".{0,200}".prop_map(Status::error)]
}

fn time() -> impl Strategy<Value = SystemTime> {
    let after = any::<u32>().prop_map(|seconds| UNIX_EPOCH + Duration::new(seconds.into(), seconds % 1_000_000_000));
    prop_oneof![9 => after, 1 => Just(UNIX_EPOCH), 1 => Just(UNIX_EPOCH - Duration::from_secs(1))]
}

fn kind() -> impl Strategy<Value = SpanKind> {
    use SpanKind::*;
    prop::sample::select(vec![Internal, Server, Client, Producer, Consumer])
}

prop_compose! {
    fn scope()(
        name in "[a-c]?",
        version in prop::option::of("[12]?"),
        schema_url in prop::option::of("(http://schema)?"),
        attributes in prop_oneof![Just(Vec::new()), attributes(2)],
    ) -> InstrumentationScope {
        let mut scope = InstrumentationScope::builder(name).with_attributes(attributes);
        if let Some(version) = version {
            scope = scope.with_version(version);
        }
        if let Some(schema_url) = schema_url {
            scope = scope.with_schema_url(schema_url);
        }
        scope.build()
    }
}

prop_compose! {
    fn span(scopes: Vec<InstrumentationScope>)(
        span_context in context(),
        parent in prop_oneof![Just(0), any::<u64>()],
        parent_span_is_remote in any::<bool>(),
        span_kind in kind(),
        name in ".{0,200}",
        start_time in time(),
        end_time in time(),
        attributes in attributes(8),
        dropped in any::<u32>(),
        events in vec((time(), ".{0,20}", attributes(4), any::<u32>()), 0..4),
        links in vec((context(), attributes(4), any::<u32>()), 0..3),
        status in status(),
        instrumentation_scope in prop::sample::select(scopes),
    ) -> SpanData {
        let (mut span_events, mut span_links) = (SpanEvents::default(), SpanLinks::default());
        (span_events.dropped_count, span_links.dropped_count) = (dropped / 3, dropped / 7);
        let event = |(at, name, attributes, dropped)| Event::new::<String>(name, at, attributes, dropped);
        span_events.events = events.into_iter().map(event).collect();
        let link = |(context, attributes, dropped)| Link::new(context, attributes, dropped);
        span_links.links = links.into_iter().map(link).collect();
        SpanData {
            span_context,
            parent_span_id: parent.into(),
            parent_span_is_remote,
            span_kind,
            name: name.into(),
            start_time,
            end_time,
            attributes,
            dropped_attributes_count: dropped,
            events: span_events,
            links: span_links,
            status,
            instrumentation_scope,
        }
    }
}

fn spans() -> impl Strategy<Value = Vec<SpanData>> {
    vec(scope(), 1..4).prop_flat_map(|scopes| vec(span(scopes), 1..8))
}

prop_compose! {
    fn resource()(attributes in attributes(4), schema_url in prop::option::of("(http://schema)?")) -> Resource {
        let builder = Resource::builder_empty();
        match schema_url {
            Some(schema_url) => builder.with_schema_url(attributes, schema_url).build(),
            None => builder.with_attributes(attributes).build(),
        }
    }
}

proptest! {
    #[test]
    fn request_has_bytes_of_library(resource in resource(), spans in spans()) {
        let client = Client::new(|_| ok());
        let (mut processor, _) = processor(&client, |builder| builder);
        processor.set_resource(&resource);
        spans.iter().cloned().for_each(|span| processor.on_end(span));
        processor.force_flush().unwrap();
        let resource_spans = group_spans_by_resource_and_scope(spans, &(&resource).into());
        let library = ExportTraceServiceRequest { resource_spans }.encode_to_vec();
        prop_assert_eq!(client.requests().remove(0).into_body(), library);
    }
}
