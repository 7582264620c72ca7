//! Spans of any shape leave `span-export` with the bytes that the library makes of them.
#![no_main]

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use async_trait::async_trait;
use libfuzzer_sys::arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use opentelemetry::trace::{Event, Link, SpanContext, SpanKind, Status, TraceFlags, TraceState};
use opentelemetry::{Array, InstrumentationScope, KeyValue, StringValue, Value};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks, SpanProcessor};
use prost::Message;
use span_export::SpanExport;

/// Keeps the last request.
#[derive(Debug, Default)]
struct InMemory(Mutex<Bytes>);

#[async_trait]
impl HttpClient for InMemory {
    async fn send_bytes(&self, request: Request<Bytes>) -> std::result::Result<Response<Bytes>, HttpError> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = request.into_body();
        Ok(Response::default())
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut input = Unstructured::new(bytes);
    let Ok((resource, spans)) = resource_and_spans(&mut input) else { return };
    let client = Arc::new(InMemory::default());
    let settings = SpanExport::builder(client.clone(), "http://in.memory").max_request_bytes(usize::MAX);
    let mut processor = settings.schedule_delay(Duration::from_secs(3600)).build().expect("a thread");
    processor.set_resource(&resource);
    spans.iter().cloned().for_each(|span| processor.on_end(span));
    processor.shutdown().expect("nothing is left");
    let resource_spans = group_spans_by_resource_and_scope(spans, &(&resource).into());
    let library = ExportTraceServiceRequest { resource_spans }.encode_to_vec();
    assert_eq!(client.0.lock().expect("no panic")[..], library[..]);
});

fn resource_and_spans(input: &mut Unstructured<'_>) -> Result<(Resource, Vec<SpanData>)> {
    let attributes = list(input, 4, attribute)?;
    let resource = Resource::builder_empty().with_schema_url(attributes, input.arbitrary::<String>()?).build();
    let scopes = [scope(input)?, scope(input)?, scope(input)?];
    let first = span(input, &scopes)?;
    let mut spans = list(input, 6, |input| span(input, &scopes))?;
    spans.push(first);
    Ok((resource, spans))
}

fn list<T>(
    input: &mut Unstructured<'_>,
    most: usize,
    mut each: impl FnMut(&mut Unstructured<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    let length = input.int_in_range(0..=most)?;
    (0..length).map(|_| each(input)).collect()
}

fn attribute(input: &mut Unstructured<'_>) -> Result<KeyValue> {
    let value = match input.int_in_range(0..=7_u8)? {
        0 => Value::Bool(input.arbitrary()?),
        1 => Value::I64(input.arbitrary()?),
        2 => Value::F64(input.arbitrary()?),
        3 => Value::String(input.arbitrary::<String>()?.into()),
        4 => Value::Array(Array::Bool(input.arbitrary()?)),
        5 => Value::Array(Array::I64(input.arbitrary()?)),
        6 => Value::Array(Array::F64(input.arbitrary()?)),
        _ => Value::Array(Array::String(list(input, 4, |input| Ok(StringValue::from(input.arbitrary::<String>()?)))?)),
    };
    Ok(KeyValue::new(input.arbitrary::<String>()?, value))
}

fn scope(input: &mut Unstructured<'_>) -> Result<InstrumentationScope> {
    let mut scope = InstrumentationScope::builder(input.arbitrary::<String>()?);
    if let Some(version) = input.arbitrary::<Option<String>>()? {
        scope = scope.with_version(version);
    }
    if let Some(schema_url) = input.arbitrary::<Option<String>>()? {
        scope = scope.with_schema_url(schema_url);
    }
    Ok(scope.with_attributes(list(input, 2, attribute)?).build())
}

fn context(input: &mut Unstructured<'_>, sampled: bool) -> Result<SpanContext> {
    let state = TraceState::from_key_value(list(input, 2, |input| input.arbitrary::<(String, String)>())?);
    let flags = TraceFlags::new(input.arbitrary()?).with_sampled(sampled);
    let (trace, span) = input.arbitrary::<(u128, u64)>()?;
    Ok(SpanContext::new(trace.into(), span.into(), flags, input.arbitrary()?, state.unwrap_or_default()))
}

fn span(input: &mut Unstructured<'_>, scopes: &[InstrumentationScope]) -> Result<SpanData> {
    let kinds = [SpanKind::Internal, SpanKind::Server, SpanKind::Client, SpanKind::Producer, SpanKind::Consumer];
    let (mut events, mut links) = (SpanEvents::default(), SpanLinks::default());
    (events.dropped_count, links.dropped_count) = input.arbitrary()?;
    events.events = list(input, 3, |input| {
        let (name, at) = (input.arbitrary::<String>()?, time(input)?);
        Ok(Event::new(name, at, list(input, 3, attribute)?, input.arbitrary()?))
    })?;
    links.links = list(input, 3, |input| {
        let sampled = input.arbitrary()?;
        Ok(Link::new(context(input, sampled)?, list(input, 3, attribute)?, input.arbitrary()?))
    })?;
    Ok(SpanData {
        span_context: context(input, true)?,
        parent_span_id: input.arbitrary::<u64>()?.into(),
        parent_span_is_remote: input.arbitrary()?,
        span_kind: input.choose(&kinds)?.clone(),
        name: input.arbitrary::<String>()?.into(),
        start_time: time(input)?,
        end_time: time(input)?,
        attributes: list(input, 6, attribute)?,
        dropped_attributes_count: input.arbitrary()?,
        events,
        links,
        status: match input.arbitrary::<Option<String>>()? {
            Some(description) => Status::error(description),
            None => input.choose(&[Status::Unset, Status::Ok])?.clone(),
        },
        instrumentation_scope: input.choose(scopes)?.clone(),
    })
}

fn time(input: &mut Unstructured<'_>) -> Result<std::time::SystemTime> {
    let offset = Duration::from_nanos(input.arbitrary()?);
    Ok(if input.ratio(1, 16)? { UNIX_EPOCH - offset } else { UNIX_EPOCH + offset })
}
