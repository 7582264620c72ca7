//! What a span costs in each processor: `SpanExport` and the SDK's `BatchSpanProcessor` with `opentelemetry_otlp`, both over
//! the same in-memory client.
//!
//! Two costs, both in CPU time, so that a busy machine changes little: of the thread that ends the spans, in `on_end`; and of
//! the whole process, the exporting thread included. A figure counts only if the client received every span: a dropped span
//! is cheap. Linux only: CPU time is read from `/proc`.
//!
//! ```text
//! cargo bench -p span-export
//! ```
#![allow(missing_docs, clippy::print_stdout)]

use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use opentelemetry::trace::{SpanContext, SpanKind, Status, TraceFlags, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SpanData, SpanEvents, SpanLinks, SpanProcessor,
};
use prost::Message;
use span_export::SpanExport;

const SPANS: usize = 60_000;
const ROUNDS: usize = 15;
const BATCH: usize = 2048;
const DELAY: Duration = Duration::from_millis(200);
const ENDPOINT: &str = "http://in.memory/v1/traces";

/// Keeps the requests; they are parsed only after the clock has stopped.
#[derive(Debug, Default)]
struct InMemory(Mutex<Vec<Bytes>>);

#[async_trait]
impl HttpClient for InMemory {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(request.into_body());
        Ok(Response::default())
    }
}

impl InMemory {
    /// How many spans were received.
    fn spans(&self) -> usize {
        let requests = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let requests =
            requests.into_iter().map(|body| ExportTraceServiceRequest::decode(body).expect("an export request"));
        let scopes = requests.flat_map(|request| request.resource_spans).flat_map(|resource| resource.scope_spans);
        scopes.map(|scope| scope.spans.len()).sum()
    }
}

/// The server span of a small service.
fn span(number: u64) -> SpanData {
    let flags = TraceFlags::SAMPLED;
    let number = number + 1;
    let text = |key: &'static str, value: &'static str| KeyValue::new(key, value);
    SpanData {
        span_context: SpanContext::new(u128::from(number).into(), number.into(), flags, false, TraceState::NONE),
        parent_span_id: (number / 2).into(),
        parent_span_is_remote: true,
        span_kind: SpanKind::Server,
        name: "GET /roll".into(),
        start_time: SystemTime::now(),
        end_time: SystemTime::now(),
        attributes: vec![
            text("http.request.method", "GET"),
            text("http.route", "/roll"),
            text("url.scheme", "http"),
            text("url.path", "/roll"),
            text("server.address", "localhost"),
            KeyValue::new("server.port", 8080),
            text("user_agent.original", "Mozilla/5.0 (X11; Linux x86_64)"),
            KeyValue::new("http.response.status_code", 200),
        ],
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: Status::Unset,
        instrumentation_scope: InstrumentationScope::builder("dice-roller").with_version("1.0.0").build(),
    }
}

fn direct(client: Arc<InMemory>) -> Box<dyn SpanProcessor> {
    let settings = SpanExport::builder(client, ENDPOINT).max_queue_size(SPANS).max_export_batch_size(BATCH);
    Box::new(settings.schedule_delay(DELAY).build().expect("a thread"))
}

fn standard(client: Arc<InMemory>) -> Box<dyn SpanProcessor> {
    let exporter = SpanExporter::builder().with_http().with_shared_http_client(client).with_endpoint(ENDPOINT).build();
    let settings = BatchConfigBuilder::default().with_max_queue_size(SPANS).with_max_export_batch_size(BATCH);
    let settings = settings.with_scheduled_delay(DELAY).build();
    Box::new(BatchSpanProcessor::builder(exporter.expect("an exporter")).with_batch_config(settings).build())
}

type Build = fn(Arc<InMemory>) -> Box<dyn SpanProcessor>;

/// Nanoseconds a span: in `on_end`, and of CPU in all; and how many spans were lost.
struct Round {
    on_end: f64,
    cpu: f64,
    lost: usize,
}

fn round(build: Build) -> Round {
    let client = Arc::new(InMemory::default());
    let processor = build(client.clone());
    let spans: Vec<_> = (0..SPANS as u64).map(span).collect();
    let (all, thread) = (of_process(), of_this_thread());
    spans.into_iter().for_each(|span| processor.on_end(span));
    let on_end = of_this_thread() - thread;
    processor.force_flush().expect("all spans are exported in time");
    let cpu = of_process() - all;
    processor.shutdown().expect("nothing is left");
    let each = |time: Duration| time.as_nanos() as f64 / SPANS as f64;
    Round { on_end: each(on_end), cpu: each(cpu), lost: SPANS - client.spans() }
}

/// CPU time of all threads. Those that have stopped are left out: none does while it is measured.
fn of_process() -> Duration {
    thread::yield_now(); // the kernel brings the figure of a running thread up to date when it switches
    let threads = Path::new("/proc/self/task").read_dir().expect("Linux's /proc");
    threads.flatten().filter_map(|thread| cpu_time(&thread.path())).sum()
}

fn of_this_thread() -> Duration {
    thread::yield_now();
    cpu_time(Path::new("/proc/thread-self")).expect("this thread is running")
}

fn cpu_time(thread: &Path) -> Option<Duration> {
    let text = std::fs::read_to_string(thread.join("schedstat")).ok()?;
    text.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() -> ExitCode {
    let processors: [(&str, Build); 2] =
        [("BatchSpanProcessor + opentelemetry_otlp", standard), ("SpanExport", direct)];
    let mut rounds = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for (rounds, (_, build)) in rounds.iter_mut().zip(processors) {
            rounds.push(round(build)); // in turn, so that a busy machine disturbs both
        }
    }
    println!("{ROUNDS} rounds of {SPANS} spans with 8 attributes, medians, ns of CPU a span");
    println!("{:40} {:>8} {:>10} {:>6}", "processor", "on_end", "in all", "lost");
    for (rounds, (name, _)) in rounds.iter().zip(processors) {
        let on_end = median(rounds.iter().map(|round| round.on_end));
        let cpu = median(rounds.iter().map(|round| round.cpu));
        let lost: usize = rounds.iter().map(|round| round.lost).sum();
        println!("{name:40} {on_end:>8.0} {cpu:>10.0} {lost:>6}");
    }
    if rounds.iter().flatten().any(|round| round.lost > 0) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
