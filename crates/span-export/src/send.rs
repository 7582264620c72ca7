//! One request over HTTP: compression, retries, and what the response says about its spans.
//!
//! Source: OpenTelemetry Protocol Specification 1.x, "OTLP/HTTP Response" and "OTLP/HTTP Throttling".

use std::hash::{BuildHasher, RandomState};
use std::io::Write;
use std::time::{Duration, Instant, SystemTime};

use flate2::{Compression, write::GzEncoder};
use futures_executor::block_on;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use opentelemetry::otel_warn;
use opentelemetry_http::{Bytes, HttpError, Request, Response, ResponseBodyTooLarge};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;

use crate::shared::Shared;

/// The wait before the second attempt; it doubles with each further one up to the maximum.
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const MAX_BACKOFF: Duration = Duration::from_millis(1600);
/// When less than this is left of the timeout, there is no further attempt.
const TOO_LATE: Duration = Duration::from_millis(50);

impl Shared {
    /// Sends `body` with `count` spans and returns how many of them were not exported.
    pub(crate) fn send(&self, body: Vec<u8>, count: usize) -> usize {
        self.try_send(body).map(|response| rejected_spans(response, count)).unwrap_or_else(|error| {
            // The cause is what an operator needs, and HTTP clients leave it out of their own text.
            let causes = std::iter::successors(error.source(), |&cause| cause.source());
            let error = causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"));
            otel_warn!(name: "SpanExport.Failed", spans = count, error = error.as_str());
            count
        })
    }

    fn try_send(&self, body: Vec<u8>) -> Result<Bytes, HttpError> {
        let (settings, started) = (&self.settings, Instant::now());
        let mut request = Request::post(&settings.endpoint).header(CONTENT_TYPE, "application/x-protobuf");
        let mut body = Bytes::from(body);
        if settings.gzip {
            request = request.header(CONTENT_ENCODING, "gzip");
            let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(&body)?;
            body = encoder.finish()?.into();
        }
        let request = request.body(body)?;
        let mut backoff = FIRST_BACKOFF;
        let mut is_last = self.pause(Duration::ZERO);
        loop {
            let (error, retry_after) = match block_on(settings.client.send_bytes(request.clone())) {
                Ok(response) if response.status().is_success() => return Ok(response.into_body()),
                Ok(response) => {
                    (format!("the receiver responded {}", response.status()).into(), retry_after(&response))
                }
                // A response that is too long came from a receiver that has the spans: a retry would duplicate them.
                Err(error) if error.is::<ResponseBodyTooLarge>() => return Err(error),
                Err(error) => (error, Some(Duration::ZERO)),
            };
            let left = settings.timeout.saturating_sub(started.elapsed());
            let Some(least) = retry_after.filter(|least| !is_last && left >= TOO_LATE && *least < left) else {
                return Err(error);
            };
            // Shortened so that one attempt falls just before the timeout: the receiver may be back by then.
            is_last = self.pause(jittered(backoff).min(left * 7 / 8).max(least));
            backoff = MAX_BACKOFF.min(backoff * 2);
        }
    }
}

/// Whether a request with this response is to be repeated, and after how long at least. `Retry-After` has seconds or a
/// date (RFC 9110, 10.2.3); what cannot be parsed counts as none.
fn retry_after(response: &Response<Bytes>) -> Option<Duration> {
    let value = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let seconds = value.trim().parse().map(Duration::from_secs).ok();
    let until = |date: SystemTime| date.duration_since(SystemTime::now()).ok();
    let wait = seconds.or_else(|| httpdate::parse_http_date(value).ok().and_then(until)).unwrap_or_default();
    [429, 502, 503, 504].contains(&response.status().as_u16()).then_some(wait)
}

/// Between a half and the whole of `backoff`, so that the clients of a receiver that was away do not return all at once.
fn jittered(backoff: Duration) -> Duration {
    let random = RandomState::new().hash_one(0) as u32; // each `RandomState` has a key of its own
    backoff.mul_f64(0.5 + f64::from(random) / f64::from(u32::MAX) / 2.0)
}

/// Receivers may take a part of a request only, or warn although they took all of it.
fn rejected_spans(response: Bytes, count: usize) -> usize {
    // Some receivers respond with a text.
    let partial = ExportTraceServiceResponse::decode(response).unwrap_or_default().partial_success.unwrap_or_default();
    let rejected = usize::try_from(partial.rejected_spans).unwrap_or(0).min(count);
    if rejected > 0 || !partial.error_message.is_empty() {
        let message: String = partial.error_message.chars().take(500).collect(); // a receiver may write a page
        otel_warn!(name: "SpanExport.PartialSuccess", rejected_spans = rejected, error_message = message.as_str());
    }
    rejected
}
