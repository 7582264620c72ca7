//! The HTTP client, and JSON as it comes back.

use std::time::Duration;

use anyhow::Context as _;
use reqwest::blocking::{Client, RequestBuilder};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::report::Failure;
use crate::targets::{Target, Trouble};

/// Of a request that sets none itself.
const LIMIT: Duration = Duration::from_secs(5);

/// Characters of a body that are shown where they explain a failure.
const SHOWN: usize = 200;

/// Makes no spans of its own: those would be part of what is checked.
#[derive(Debug)]
pub(crate) struct HttpClient(Client);

/// A response, read to its end.
#[derive(Debug)]
pub(crate) struct Response<'a> {
    target: &'a Target,
    path: String,
    pub(crate) status: u16,
    /// The header `traceresponse`.
    pub(crate) traceresponse: Option<String>,
    pub(crate) text: String,
}

impl HttpClient {
    pub(crate) fn new() -> anyhow::Result<Self> {
        // One TLS implementation for every client of the process; a second call changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().no_proxy().timeout(LIMIT).build();
        Ok(Self(client.context("the HTTP client could not be built")?))
    }

    /// Whether nothing listens at `target`.
    pub(crate) fn refused(&self, target: &Target) -> bool {
        self.0.get(target.at("")).send().is_err_and(|error| error.is_connect())
    }

    /// The response to a `GET`, whatever its status.
    ///
    /// # Errors
    /// When there is no response.
    pub(crate) fn get<'a>(
        &self,
        target: &'a Target,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<Response<'a>, Failure> {
        self.get_with(target, path, |request| request.query(query))
    }

    /// The same with headers or a timeout, which `more` adds.
    pub(crate) fn get_with<'a>(
        &self,
        target: &'a Target,
        path: &str,
        more: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Result<Response<'a>, Failure> {
        send(target, more(self.0.get(target.at(path))))
    }

    /// The JSON body of a `GET`.
    ///
    /// # Errors
    /// When there is no response, another status than 2xx, or no JSON.
    pub(crate) fn json(&self, target: &Target, path: &str, query: &[(&str, &str)]) -> Result<Value, Failure> {
        self.get(target, path, query)?.json()
    }

    /// The response to a `POST` of `body` as JSON, whatever its status.
    ///
    /// # Errors
    /// When there is no response.
    pub(crate) fn post<'a>(&self, target: &'a Target, path: &str, body: &Value) -> Result<Response<'a>, Failure> {
        send(target, self.0.post(target.at(path)).json(body))
    }
}

fn send(target: &Target, request: RequestBuilder) -> Result<Response<'_>, Failure> {
    let silent = |error: reqwest::Error| {
        let (trouble, reason) = match (error.is_timeout(), error.is_connect()) {
            (true, _) => (Trouble::Silent, "no response in time".to_owned()),
            (false, true) => (Trouble::Absent, anyhow::Error::new(error.without_url()).root_cause().to_string()),
            (false, false) => (Trouble::Wrong, anyhow::Error::new(error.without_url()).root_cause().to_string()),
        };
        target.failure(trouble, format!("{} does not respond at {}: {reason}", target.name, target.origin()))
    };
    let response = request.send().map_err(silent)?;
    let traceresponse = response.headers().get("traceresponse").and_then(|value| value.to_str().ok());
    Ok(Response {
        target,
        path: response.url().path().to_owned(),
        status: response.status().as_u16(),
        traceresponse: traceresponse.map(str::to_owned),
        text: response.text().map_err(silent)?,
    })
}

impl Response<'_> {
    /// The text of a response with 2xx.
    ///
    /// # Errors
    /// When the status is another.
    pub(crate) fn success(&self) -> Result<&str, Failure> {
        let Self { target, path, status, text, .. } = self;
        match status {
            200..300 => Ok(text),
            _ => Err(target.failure(
                Trouble::Wrong,
                format!("{} responds with {status} to {path}: {}", target.name, self.beginning()),
            )),
        }
    }

    /// # Errors
    /// When the status is another than 2xx, or the text no such JSON.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        self.read(|body| serde_json::from_slice(body))
    }

    /// What `parse` makes of the body.
    ///
    /// # Errors
    /// When the status is another than 2xx, or `parse` fails.
    pub(crate) fn read<T>(&self, parse: impl Fn(&[u8]) -> serde_json::Result<T>) -> Result<T, Failure> {
        parse(self.success()?.as_bytes()).map_err(|error| {
            let (name, path, text) = (self.target.name, &self.path, self.beginning());
            self.target
                .failure(Trouble::Wrong, format!("{name} responds to {path} with no such JSON ({error}): {text}"))
        })
    }

    /// As much of the text as explains something, on one line.
    pub(crate) fn beginning(&self) -> String {
        let line: String = self.text.split_whitespace().collect::<Vec<_>>().join(" ");
        if line.is_empty() { "(empty)".to_owned() } else { line.chars().take(SHOWN).collect() }
    }
}

/// The elements of a list; none of anything else.
pub(crate) fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// A text; empty for anything else.
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
