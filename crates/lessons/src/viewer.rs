//! Sends the learner's trace and the reference to the trace viewer, which shows them beside each other.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use rand::RngExt as _;
use reqwest::Url;
use tempo_client::Client;

/// A viewer on this machine responds in milliseconds.
const LIMIT: Duration = Duration::from_secs(2);

/// How often, and after which pause, what was sent is requested from the viewer.
const TRIES: usize = 10;
const PAUSE: Duration = Duration::from_millis(100);

/// The address of the page that compares both.
///
/// # Errors
/// When there is no viewer, or it does not have them.
pub(crate) async fn compare(
    viewer: &Url,
    otlp: &Url,
    yours: &ExportTraceServiceRequest,
    reference: &str,
) -> anyhow::Result<Url> {
    // One TLS implementation for every client of the process; a second call changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::builder().no_proxy().timeout(LIMIT).build()?;
    let reference = again(serde_json::from_str(reference)?, yours);
    let (a, b) = (largest(yours).context("no span arrived")?, largest(&reference).context("no reference")?);
    let page = viewer.join(&format!("compare/{a}/{b}"))?;
    // Tempo has no such page.
    http.get(page.clone()).send().await?.error_for_status()?;
    for message in [yours, &reference] {
        let request = http.post(otlp.join("v1/traces")?).header("content-type", "application/x-protobuf");
        request.body(message.encode_to_vec()).send().await?.error_for_status()?;
    }
    let client = Client { http, base: viewer.clone() };
    for id in [&a, &b] {
        ensure!(arrives(&client, id).await?, "the viewer does not have the trace {id}");
    }
    Ok(page)
}

async fn arrives(client: &Client, id: &str) -> anyhow::Result<bool> {
    for _ in 0..TRIES {
        if !client.trace(id).await?.spans.is_empty() {
            return Ok(true);
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(false)
}

/// The trace with the most spans.
fn largest(message: &ExportTraceServiceRequest) -> Option<String> {
    let json = serde_json::to_vec(message).ok()?;
    tempo_client::parse_file(&json).ok()?.first()?.spans.first().map(|span| span.trace_id.clone())
}

/// The reference with a trace id of its own and with its times moved beside yours: the viewer drops the oldest trace first,
/// and would have the spans of every check in one trace.
fn again(mut reference: ExportTraceServiceRequest, yours: &ExportTraceServiceRequest) -> ExportTraceServiceRequest {
    let start = |message: &ExportTraceServiceRequest| spans(message).map(|span| span.start_time_unix_nano).min();
    let (from, to) = (start(&reference).unwrap_or(0), start(yours).unwrap_or(0));
    let moved = |time: u64| time.saturating_sub(from).saturating_add(to);
    let first = spans(&reference).next().map(|span| span.trace_id.clone()).unwrap_or_default();
    let new: [u8; 16] = rand::rng().random();
    let renamed = |id: &mut Vec<u8>| {
        // A reference with several traces keeps them apart.
        id.iter_mut().zip(new).zip(&first).for_each(|((byte, new), first)| *byte ^= new ^ first);
    };
    let scopes = reference.resource_spans.iter_mut().flat_map(|resource| &mut resource.scope_spans);
    for span in scopes.flat_map(|scope| &mut scope.spans) {
        renamed(&mut span.trace_id);
        span.links.iter_mut().for_each(|link| renamed(&mut link.trace_id));
        span.start_time_unix_nano = moved(span.start_time_unix_nano);
        span.end_time_unix_nano = moved(span.end_time_unix_nano);
        span.events.iter_mut().for_each(|event| event.time_unix_nano = moved(event.time_unix_nano));
    }
    reference
}

fn spans(message: &ExportTraceServiceRequest) -> impl Iterator<Item = &Span> {
    let scopes = message.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
    scopes.flat_map(|scope| &scope.spans)
}
