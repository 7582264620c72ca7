//! An HTTP server in this process, for a stand-in: one function that handles every request.

use std::convert::Infallible;

use axum::Router;
use axum::body::Bytes;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use tokio::runtime::Runtime;

/// Gone when it is dropped.
pub(crate) struct Server {
    pub(crate) url: String,
    _runtime: Runtime,
}

/// A request with its whole body.
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) body: Bytes,
}

impl Request {
    /// A parameter of the query, decoded; empty where there is none.
    pub(crate) fn parameter(&self, name: &str) -> String {
        let url = reqwest::Url::parse(&format!("http://stand-in{}", self.uri)).unwrap();
        url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned()).unwrap_or_default()
    }
}

impl Server {
    /// `respond` runs on a thread that may wait for other servers.
    pub(crate) fn start(respond: impl Fn(&Request) -> Response + Clone + Send + Sync + 'static) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serve = move |request: axum::extract::Request| {
            let respond = respond.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
                let request = Request { method: parts.method, uri: parts.uri, body };
                Ok::<_, Infallible>(tokio::task::spawn_blocking(move || respond(&request)).await.unwrap())
            }
        };
        let router = Router::new().fallback_service(tower::service_fn(serve));
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self { url, _runtime: runtime }
    }
}

/// JSON with a status, and a header that says that this is no real backend.
pub(crate) fn json(status: u16, body: &Value) -> Response {
    let status = StatusCode::from_u16(status).unwrap();
    (status, [("content-type", "application/json"), ("x-stand-in", "true")], body.to_string()).into_response()
}
