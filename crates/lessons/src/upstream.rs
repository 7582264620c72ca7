//! The service that an exercise calls. It writes down the requests that it sees, so that spans can be held against them.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;

use crate::setup::Handler;

/// Requests that are written down; more get 503.
const MOST_REQUESTS: usize = 2000;

/// Bytes of a request's body.
const MAX_BODY: usize = 8 << 10;

/// A header that is longer is written down as missing.
const MAX_HEADER: usize = 512;

/// A request that the upstream has seen.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// `GET`, `POST`, …
    pub method: String,
    /// Such as `/items/lamp-417`, without the query.
    pub path: String,
    /// What follows `?`, or nothing.
    pub query: String,
    /// The header of that name, which holds the ids of the caller's span.
    pub traceparent: Option<String>,
    /// The header of that name.
    pub baggage: Option<String>,
    /// Its body, as text.
    pub body: String,
    /// When it was received, in nanoseconds since 1970, as the times of spans.
    pub begin: u64,
    /// When its response was ready, or the client had gone; 0 where neither has happened.
    pub end: u64,
    /// Whether the client went away before the response.
    pub cancelled: bool,
    /// The status of its response; 0 without one.
    pub status: u16,
    /// The body of its response; empty without one.
    pub response: String,
}

impl Request {
    /// The last part of the path: `lamp-417` of `/items/lamp-417`.
    pub fn last(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// The trace id and the span id of `traceparent`.
    pub fn ids(&self) -> Option<(&str, &str)> {
        let mut parts = self.traceparent.as_deref()?.split('-').skip(1);
        parts.next().zip(parts.next())
    }
}

/// What the upstream responds.
#[derive(Debug, Clone)]
pub struct Reply {
    status: StatusCode,
    body: String,
    delay: Duration,
}

impl Reply {
    /// 200 with this body, at once.
    pub fn text(body: impl Into<String>) -> Self {
        Self { status: StatusCode::OK, body: body.into(), delay: Duration::ZERO }
    }

    /// With this status.
    #[must_use]
    pub fn status(self, status: u16) -> Self {
        Self { status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), ..self }
    }

    /// After this time.
    #[must_use]
    pub fn after(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }
}

/// The running server. It ends with the runtime.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    handler: Handler,
    requests: Mutex<Vec<Request>>,
}

impl Upstream {
    /// Starts it on a free port.
    pub(crate) async fn start(handler: Handler) -> std::io::Result<Self> {
        let shared = Arc::new(Shared { handler, requests: Mutex::default() });
        let app = Router::new().fallback(respond).with_state(Arc::clone(&shared));
        Ok(Self { address: serve(app).await?, shared })
    }

    /// The requests so far, in the sequence in which they were received.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Serves `app` on a free port of the loopback address until the runtime ends.
#[allow(clippy::disallowed_methods)] // no span is current
pub(crate) async fn serve(app: Router) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(address)
}

async fn respond(State(shared): State<Arc<Shared>>, request: axum::extract::Request) -> Response {
    let begin = now();
    let (parts, body) = request.into_parts();
    let request = Request {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        traceparent: header(&parts.headers, "traceparent"),
        baggage: header(&parts.headers, "baggage"),
        begin,
        ..Request::default()
    };
    let Some(mut seen) = Seen::new(&shared, request) else { return StatusCode::SERVICE_UNAVAILABLE.into_response() };
    let Ok(body) = to_bytes(body, MAX_BODY).await else { return StatusCode::PAYLOAD_TOO_LARGE.into_response() };
    let request = seen.change(|request| {
        request.body = String::from_utf8_lossy(&body).into_owned();
        request.clone()
    });
    let reply = (shared.handler)(&request);
    tokio::time::sleep(reply.delay).await;
    seen.status = reply.status.as_u16();
    seen.change(|request| request.response.clone_from(&reply.body));
    (reply.status, Body::from(reply.body)).into_response()
}

/// A request in progress. The server drops it when the response is ready, and when the client goes away before.
struct Seen<'s> {
    shared: &'s Shared,
    index: usize,
    status: u16,
}

impl<'s> Seen<'s> {
    fn new(shared: &'s Shared, request: Request) -> Option<Self> {
        let mut requests = shared.requests.lock().unwrap_or_else(PoisonError::into_inner);
        // A path is as long as the server allows; one that is longer than a header is of no lesson.
        if requests.len() == MOST_REQUESTS || request.path.len() + request.query.len() > MAX_HEADER {
            return None;
        }
        requests.push(request);
        Some(Self { shared, index: requests.len() - 1, status: 0 })
    }

    fn change<T>(&self, change: impl FnOnce(&mut Request) -> T) -> T {
        let mut requests = self.shared.requests.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut requests[self.index])
    }
}

impl Drop for Seen<'_> {
    fn drop(&mut self) {
        self.change(|request| {
            request.end = now();
            request.status = self.status;
            request.cancelled = self.status == 0;
        });
    }
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(name)?.to_str().ok()?;
    (value.len() <= MAX_HEADER).then(|| value.to_owned())
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client() -> reqwest::Client {
        let _ = rustls::crypto::ring::default_provider().install_default();
        reqwest::Client::builder().no_proxy().build().unwrap()
    }

    async fn upstream(delay: Duration) -> (Upstream, String) {
        let handler: Handler = Box::new(move |request| Reply::text(request.last()).status(418).after(delay));
        let upstream = Upstream::start(handler).await.unwrap();
        let url = format!("http://{}", upstream.address);
        (upstream, url)
    }

    #[tokio::test]
    async fn request_is_written_down_with_its_ids_and_times() {
        let (upstream, url) = upstream(Duration::from_millis(30)).await;
        let request = client().post(url + "/items/lamp?x=1").header("traceparent", "00-a-b-01").body("text");
        let response = request.send().await.unwrap();
        assert_eq!((response.status().as_u16(), response.text().await.unwrap().as_str()), (418, "lamp"));
        let [seen] = &upstream.requests()[..] else { panic!("one request") };
        assert_eq!((seen.method.as_str(), seen.path.as_str(), seen.query.as_str()), ("POST", "/items/lamp", "x=1"));
        assert_eq!((seen.ids(), seen.body.as_str(), seen.status), (Some(("a", "b")), "text", 418));
        assert!(seen.begin + 30_000_000 <= seen.end && !seen.cancelled, "{seen:?}");
    }

    #[tokio::test]
    async fn client_that_goes_away_cancels_its_request() {
        let (upstream, url) = upstream(Duration::from_secs(60)).await;
        tokio::select! {
            _ = client().get(url).send() => panic!("no response is ready"),
            () = async { while upstream.requests().is_empty() { tokio::task::yield_now().await } } => {}
        }
        while upstream.requests()[0].end == 0 {
            tokio::task::yield_now().await;
        }
        assert!(upstream.requests()[0].cancelled);
    }

    #[tokio::test]
    async fn requests_that_are_too_long_or_too_many_are_refused() {
        let (upstream, url) = upstream(Duration::ZERO).await;
        let client = client();
        let long = client.post(&url).body("x".repeat(MAX_BODY + 1)).send().await.unwrap();
        assert_eq!(long.status(), 413);
        let path = client.get(format!("{url}/{}", "x".repeat(MAX_HEADER))).send().await.unwrap();
        assert_eq!(path.status(), 503);
        for _ in 1..MOST_REQUESTS {
            assert_eq!(client.get(&url).send().await.unwrap().status(), 418);
        }
        assert_eq!(client.get(&url).send().await.unwrap().status(), 503);
        assert_eq!(upstream.requests().len(), MOST_REQUESTS);
    }
}
