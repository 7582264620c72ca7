//! A real OTLP receiver: it decodes what arrives, and counts it. Or one that only counts, where decoding would slow down
//! the load, which shares its core.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

/// What is done with each span.
type OnSpan = Arc<Mutex<dyn FnMut(Span) + Send>>;

/// A running receiver; it ends when dropped.
pub(crate) struct Sink {
    address: SocketAddr,
    received: Arc<AtomicU64>,
    _server: JoinSet<()>,
}

impl Sink {
    /// A receiver that hands each span to `on_span`.
    ///
    /// # Errors
    /// When it cannot listen.
    pub(crate) fn start(runtime: &Runtime, on_span: impl FnMut(Span) + Send + 'static) -> anyhow::Result<Self> {
        let received = Arc::new(AtomicU64::new(0));
        let state: (OnSpan, _) = (Arc::new(Mutex::new(on_span)), received.clone());
        Self::serve(runtime, Router::new().route("/v1/traces", post(take)).with_state(state), received)
    }

    /// A receiver that counts spans and does not decode them.
    ///
    /// # Errors
    /// When it cannot listen.
    pub(crate) fn counting(runtime: &Runtime) -> anyhow::Result<Self> {
        let received = Arc::new(AtomicU64::new(0));
        let app = Router::new().route("/v1/traces", post(count)).with_state(received.clone());
        Self::serve(runtime, app, received)
    }

    fn serve(runtime: &Runtime, app: Router, received: Arc<AtomicU64>) -> anyhow::Result<Self> {
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
        let address = listener.local_addr()?;
        let app = app.layer(DefaultBodyLimit::disable());
        let mut server = JoinSet::new();
        server.spawn_on(async move { drop(axum::serve(listener, app).await) }, runtime.handle());
        Ok(Self { address, received, _server: server })
    }

    /// The value of `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Spans so far.
    pub(crate) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Waits for the span number `count`, for at most `limit`; returns how many there are.
    pub(crate) fn wait_for(&self, count: u64, limit: Duration) -> u64 {
        let deadline = Instant::now() + limit;
        while self.received() < count && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.received()
    }
}

async fn take(State((on_span, received)): State<(OnSpan, Arc<AtomicU64>)>, body: Bytes) -> StatusCode {
    let Ok(message) = ExportTraceServiceRequest::decode(body) else { return StatusCode::BAD_REQUEST };
    let scopes = message.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
    let mut count = 0;
    let mut on_span = on_span.lock().unwrap_or_else(PoisonError::into_inner);
    for span in scopes.flat_map(|scope| scope.spans) {
        on_span(span);
        count += 1;
    }
    received.fetch_add(count, Ordering::Relaxed);
    StatusCode::OK
}

/// `ExportTraceServiceRequest` down to its spans, which stay encoded.
#[derive(Message)]
struct Request {
    #[prost(message, repeated, tag = "1")]
    resources: Vec<ResourceSpans>,
}

#[derive(Message)]
struct ResourceSpans {
    #[prost(message, repeated, tag = "2")]
    scopes: Vec<ScopeSpans>,
}

#[derive(Message)]
struct ScopeSpans {
    #[prost(bytes = "bytes", repeated, tag = "2")]
    spans: Vec<Bytes>,
}

async fn count(State(received): State<Arc<AtomicU64>>, body: Bytes) -> StatusCode {
    let Ok(message) = Request::decode(body) else { return StatusCode::BAD_REQUEST };
    let scopes = message.resources.iter().flat_map(|resource| &resource.scopes);
    let spans: usize = scopes.map(|scope| scope.spans.len()).sum();
    received.fetch_add(spans as u64, Ordering::Relaxed);
    StatusCode::OK
}
