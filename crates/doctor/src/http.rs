//! The HTTP client.

use std::time::Duration;

use anyhow::Context as _;
use reqwest::blocking::{Client, RequestBuilder};
use serde_json::Value;

use crate::report::Failure;
use crate::targets::Target;

/// Of a request that sets none itself.
const LIMIT: Duration = Duration::from_secs(5);

/// Characters of a body that are shown where they explain a failure.
const SHOWN: usize = 200;

/// Makes no spans of its own: those would be part of what is checked.
#[derive(Debug)]
pub(crate) struct HttpClient(Client);

/// A response, read to its end.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// The header `traceresponse`.
    pub(crate) traceresponse: Option<String>,
    pub(crate) text: String,
}

impl HttpClient {
    pub(crate) fn new() -> anyhow::Result<Self> {
        // One TLS implementation for every client of the process; a second call changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client =
            Client::builder().no_proxy().timeout(LIMIT).build().context("the HTTP client could not be built")?;
        Ok(Self(client))
    }

    /// Whether nothing listens at `target`.
    pub(crate) fn refused(&self, target: &Target) -> bool {
        self.0.get(target.at("")).send().is_err_and(|error| error.is_connect())
    }

    /// A `GET` that can still get headers and a timeout.
    pub(crate) fn request(&self, target: &Target, path: &str) -> RequestBuilder {
        self.0.get(target.at(path))
    }

    /// Sends `request`, which goes to `target`.
    ///
    /// # Errors
    /// When there is no response.
    pub(crate) fn send(&self, target: &Target, request: RequestBuilder) -> Result<Response, Failure> {
        let silent = |error: reqwest::Error| {
            let reason = if error.is_timeout() {
                "no response in time".to_owned()
            } else {
                anyhow::Error::new(error.without_url()).root_cause().to_string()
            };
            target.failure(format!("{} does not answer at {}: {reason}", target.name, target.origin()))
        };
        let response = request.send().map_err(silent)?;
        let traceresponse = response.headers().get("traceresponse").and_then(|value| value.to_str().ok());
        Ok(Response {
            status: response.status().as_u16(),
            traceresponse: traceresponse.map(str::to_owned),
            text: response.text().map_err(silent)?,
        })
    }

    /// The response to a `GET`, whatever its status.
    ///
    /// # Errors
    /// When there is no response.
    pub(crate) fn get(&self, target: &Target, path: &str, query: &[(&str, &str)]) -> Result<Response, Failure> {
        self.send(target, self.request(target, path).query(query))
    }

    /// The JSON body of a `GET`.
    ///
    /// # Errors
    /// When there is no response, another status than 2xx, or no JSON.
    pub(crate) fn json(&self, target: &Target, path: &str, query: &[(&str, &str)]) -> Result<Value, Failure> {
        self.get(target, path, query)?.json(target, path)
    }

    /// The response to a `POST` of `body` as JSON, whatever its status.
    ///
    /// # Errors
    /// When there is no response.
    pub(crate) fn post(&self, target: &Target, path: &str, body: &Value) -> Result<Response, Failure> {
        self.send(target, self.0.post(target.at(path)).json(body))
    }
}

impl Response {
    /// # Errors
    /// When the status is another than 2xx, or the text no JSON.
    pub(crate) fn json(&self, target: &Target, path: &str) -> Result<Value, Failure> {
        self.read(target, path, |body| serde_json::from_slice(body))
    }

    /// What `parse` makes of the body.
    ///
    /// # Errors
    /// When the status is another than 2xx, or `parse` fails.
    pub(crate) fn read<T>(
        &self,
        target: &Target,
        path: &str,
        parse: impl Fn(&[u8]) -> serde_json::Result<T>,
    ) -> Result<T, Failure> {
        let Self { status, text, .. } = self;
        if !(200..300).contains(status) {
            return Err(target.failure(format!("{} answers {status} to /{path}: {}", target.name, self.beginning())));
        }
        parse(text.as_bytes()).map_err(|error| {
            target.failure(format!("{} answers /{path} with no such JSON ({error}): {}", target.name, self.beginning()))
        })
    }

    /// As much of the text as explains something, on one line.
    pub(crate) fn beginning(&self) -> String {
        let line: String = self.text.split_whitespace().collect::<Vec<_>>().join(" ");
        if line.is_empty() { "(empty)".to_owned() } else { line.chars().take(SHOWN).collect() }
    }
}
