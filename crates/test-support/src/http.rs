//! An HTTP client for tests.

use std::collections::BTreeMap;
use std::sync::Once;

use reqwest::blocking::{Client, RequestBuilder};
use serde_json::Value;

use crate::PATIENCE;

/// A response with its whole body.
#[derive(Debug, Clone)]
pub struct Response {
    /// Its status code.
    pub status: u16,
    /// Names are in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// The first header of that name, in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The `trace_id` in the body.
    pub fn trace_id(&self) -> String {
        self.json()["trace_id"].as_str().unwrap_or_else(|| panic!("no trace_id in {}", self.text())).to_owned()
    }
}

/// A client that waits as long as the services do, and uses no proxy.
pub fn client() -> Client {
    tls();
    Client::builder().no_proxy().timeout(PATIENCE).build().unwrap()
}

/// Chooses a TLS implementation for this process, which every client of it needs, also where it does without TLS.
pub fn tls() {
    static TLS: Once = Once::new();
    TLS.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
}

/// The response to a request.
pub fn send(request: RequestBuilder) -> Response {
    let response = request.send().unwrap();
    let text = |value: &reqwest::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    Response {
        status: response.status().as_u16(),
        headers: response.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
        body: response.bytes().unwrap().into(),
    }
}

/// The response to a `GET`.
pub fn get(url: impl AsRef<str>) -> Response {
    send(client().get(url.as_ref()))
}

/// `/metrics` of the service at `url`: every sample by its name and labels as they stand there.
pub fn metrics(url: &str) -> BTreeMap<String, f64> {
    let text = get(format!("{url}/metrics")).text();
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples.map(|line| line.rsplit_once(' ').unwrap()).map(|(name, v)| (name.to_owned(), v.parse().unwrap())).collect()
}
