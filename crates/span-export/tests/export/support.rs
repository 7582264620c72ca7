//! A client in memory, a span, and the count of what the processor reports.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use opentelemetry::InstrumentationScope;
use opentelemetry::trace::{SpanContext, SpanKind, Status, TraceFlags, TraceState};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use prost::Message;
use span_export::{Builder, DropReason, SpanExport};

pub(crate) const LONG: Duration = Duration::from_secs(60);

type Reply = Result<Response<Bytes>, HttpError>;

/// Responds to the request of each number (from 0) as the test says, and keeps all requests.
pub(crate) struct Client {
    reply: Box<dyn Fn(usize) -> Reply + Send + Sync>,
    received: Mutex<Vec<(Instant, Request<Bytes>)>>,
}

impl Client {
    pub(crate) fn new(reply: impl Fn(usize) -> Reply + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { reply: Box::new(reply), received: Mutex::default() })
    }

    pub(crate) fn requests(&self) -> Vec<Request<Bytes>> {
        self.received.lock().unwrap().iter().map(|(_, request)| request.clone()).collect()
    }

    /// When each request came, counted from the first.
    pub(crate) fn times(&self) -> Vec<Duration> {
        let received = self.received.lock().unwrap();
        received.iter().map(|(at, _)| *at - received[0].0).collect()
    }

    /// Number of spans in each request.
    pub(crate) fn batches(&self) -> Vec<usize> {
        self.requests().into_iter().map(|request| span_count(request.into_body())).collect()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Reply {
        let number = {
            let mut received = self.received.lock().unwrap();
            received.push((Instant::now(), request));
            received.len() - 1
        };
        (self.reply)(number)
    }
}

pub(crate) fn span_count(body: Bytes) -> usize {
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    let scopes = request.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
    scopes.map(|scope| scope.spans.len()).sum()
}

pub(crate) fn ok() -> Reply {
    Ok(Response::default())
}

pub(crate) fn status(status: u16) -> Reply {
    Ok(Response::builder().status(status).body(Bytes::new())?)
}

pub(crate) fn retry_after(status: u16, value: &str) -> Reply {
    Ok(Response::builder().status(status).header("Retry-After", value).body(Bytes::new())?)
}

pub(crate) fn partial(rejected_spans: i64, error_message: &str) -> Reply {
    let partial = ExportTracePartialSuccess { rejected_spans, error_message: error_message.to_owned() };
    Ok(Response::new(ExportTraceServiceResponse { partial_success: Some(partial) }.encode_to_vec().into()))
}

/// What the two callbacks were told, in sum.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Sums {
    pub(crate) exported: usize,
    pub(crate) queue_full: usize,
    pub(crate) failed: usize,
    pub(crate) shutdown: usize,
}

impl Sums {
    pub(crate) fn total(&self) -> usize {
        self.exported + self.queue_full + self.failed + self.shutdown
    }
}

#[derive(Default, Clone)]
pub(crate) struct Counted(Arc<Mutex<Sums>>);

impl Counted {
    pub(crate) fn sums(&self) -> Sums {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn exported(exported: usize) -> Sums {
        Sums { exported, ..Sums::default() }
    }

    pub(crate) fn failed(failed: usize) -> Sums {
        Sums { failed, ..Sums::default() }
    }
}

/// A processor over `client` that counts. Nothing leaves before a batch is full, unless a test flushes.
pub(crate) fn processor(client: &Arc<Client>, settings: impl FnOnce(Builder) -> Builder) -> (SpanExport, Counted) {
    let counted = Counted::default();
    let (exported, dropped) = (counted.0.clone(), counted.0.clone());
    let builder = SpanExport::builder(client.clone(), "http://receiver:4318/v1/traces").schedule_delay(10 * LONG);
    let builder =
        builder.on_export(move |count| exported.lock().unwrap().exported += count).on_drop(move |reason, count| {
            let mut sums = dropped.lock().unwrap();
            match reason {
                DropReason::QueueFull => sums.queue_full += count,
                DropReason::ExportFailed => sums.failed += count,
                DropReason::Shutdown => sums.shutdown += count,
            }
        });
    (settings(builder).build().unwrap(), counted)
}

/// A sampled span whose name has `length` bytes.
pub(crate) fn span_of(length: usize) -> SpanData {
    SpanData {
        span_context: SpanContext::new(1.into(), 1.into(), TraceFlags::SAMPLED, false, TraceState::NONE),
        parent_span_id: 0.into(),
        parent_span_is_remote: false,
        span_kind: SpanKind::Internal,
        name: "x".repeat(length).into(),
        start_time: SystemTime::now(),
        end_time: SystemTime::now(),
        attributes: Vec::new(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: Status::Unset,
        instrumentation_scope: InstrumentationScope::builder("scope").build(),
    }
}

pub(crate) fn span() -> SpanData {
    span_of(10)
}

/// Waits until `condition` holds; fails the test when it never does.
pub(crate) fn eventually(condition: impl Fn() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < LONG, "it never happened");
        std::thread::sleep(Duration::from_millis(1));
    }
}
