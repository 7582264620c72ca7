//! The HTTP client under the exporters of spans and log records.
//!
//! `opentelemetry_otlp` encodes, compresses and retries; this client adds what it does not do: it follows no redirect
//! (a 301 would count as exported, and would hand the headers to another host), it tells how many items of a batch the
//! receiver rejected and what went wrong with a connection, and it lets a flag win over its variable, because the
//! library reads headers and compression from the environment by itself. At most 4 MiB of a response are read
//! (`opentelemetry_http`).

use std::io::Read;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use async_trait::async_trait;
use bytes::Bytes;
use flate2::read::GzDecoder;
use http::{HeaderMap, HeaderName, header};
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Compression, Protocol, RetryPolicy, WithExportConfig, WithHttpConfig};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;
use reqwest::redirect;

use crate::client::{IDLE_TIMEOUT, chain};
use crate::settings::Destination;

/// What the exporter itself decides about a request; every other header is a setting.
const OWN_HEADERS: [HeaderName; 3] = [header::CONTENT_TYPE, header::CONTENT_ENCODING, header::USER_AGENT];

/// The most of a receiver's message, in bytes, that the exporter gets to log: a receiver may write a page into each.
const MAX_MESSAGE: usize = 500;

/// The client of one signal.
#[derive(Debug)]
pub(crate) struct ExportClient {
    http: reqwest::blocking::Client,
    url: String,
    headers: HeaderMap,
    gzip: bool,
    rejected: AtomicUsize,
    failure: Mutex<Option<String>>,
}

impl ExportClient {
    /// A blocking client: exporters run on threads of their own, where an async client finds no reactor and panics,
    /// after which everything is lost in silence.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub(crate) fn new(destination: &Destination) -> anyhow::Result<Arc<Self>> {
        let mut http = reqwest::blocking::Client::builder()
            .timeout(destination.timeout)
            .redirect(redirect::Policy::none())
            .pool_idle_timeout(IDLE_TIMEOUT);
        if destination.url.starts_with("http:") {
            http = http.tls_certs_only([]); // or it reads all of the system's (docs/PERFORMANCE.md)
        }
        Ok(Arc::new(Self {
            http: http.build().context("the export client could not be built")?,
            url: destination.url.clone(),
            headers: destination.headers.clone(),
            gzip: destination.gzip,
            rejected: AtomicUsize::new(0),
            failure: Mutex::new(None),
        }))
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// How many items of the last batch the receiver rejected; zero at the next call.
    pub(crate) fn take_rejected(&self) -> usize {
        self.rejected.swap(0, Ordering::Relaxed)
    }

    /// Why the last attempt brought no response; none at the next call.
    pub(crate) fn take_failure(&self) -> Option<String> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn set_failure(&self, failure: Option<String>) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = failure;
    }
}

#[async_trait]
impl HttpClient for ExportClient {
    async fn send_bytes(&self, mut request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let mut headers = self.headers.clone();
        for name in OWN_HEADERS {
            if let Some(value) = request.headers_mut().remove(&name) {
                headers.insert(name, value);
            }
        }
        *request.headers_mut() = headers;
        if !self.gzip && request.headers_mut().remove(header::CONTENT_ENCODING).is_some() {
            let mut plain = Vec::new();
            GzDecoder::new(&**request.body()).read_to_end(&mut plain)?;
            *request.body_mut() = plain.into();
        }
        let mut response =
            self.http.send_bytes(request).await.inspect_err(|error| self.set_failure(Some(chain(&**error))))?;
        self.set_failure(None);
        // The responses for spans and for log records have the same form. Some receivers send a text.
        let mut decoded = ExportTraceServiceResponse::decode(&**response.body()).unwrap_or_default();
        let mut rejected = 0;
        if let Some(partial) = &mut decoded.partial_success {
            rejected = partial.rejected_spans;
            let end = partial.error_message.floor_char_boundary(MAX_MESSAGE);
            partial.error_message.truncate(end);
        }
        self.rejected.store(usize::try_from(rejected).unwrap_or(0), Ordering::Relaxed);
        *response.body_mut() = decoded.encode_to_vec().into();
        Ok(response)
    }
}

/// What both exporters are told. A receiver that cannot be reached, or responds 429, 502, 503 or 504, is tried again
/// until the time limit is over; `Retry-After` is honoured.
pub(crate) fn configure<B: WithExportConfig + WithHttpConfig>(
    builder: B,
    client: &Arc<ExportClient>,
    destination: &Destination,
) -> B {
    let builder = builder
        .with_shared_http_client(client.clone())
        .with_endpoint(&destination.url)
        .with_timeout(destination.timeout)
        .with_protocol(Protocol::HttpBinary)
        .with_retry_policy(RetryPolicy::recommended().with_max_retries(usize::MAX));
    if destination.gzip { builder.with_compression(Compression::Gzip) } else { builder }
}
