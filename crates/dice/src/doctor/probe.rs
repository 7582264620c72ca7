//! Questions over HTTP.

use std::time::Duration;

use anyhow::Context as _;
use reqwest::blocking::{Client, RequestBuilder};
use serde_json::Value;

use super::places::Place;
use super::report::Fault;

/// A question takes no longer than this, unless it says so.
const LIMIT: Duration = Duration::from_secs(5);

/// So much of an answer is shown where it explains a fault.
const SHOWN: usize = 200;

/// The client of all questions; it makes no spans of its own.
#[derive(Debug)]
pub(crate) struct Probe(Client);

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The header `traceresponse`.
    pub(crate) traceresponse: Option<String>,
    pub(crate) text: String,
}

impl Probe {
    pub(crate) fn new() -> anyhow::Result<Self> {
        // One TLS implementation for every client of the process; a second call changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client =
            Client::builder().no_proxy().timeout(LIMIT).build().context("the HTTP client could not be built")?;
        Ok(Self(client))
    }

    /// Whether nothing listens at `place`.
    pub(crate) fn refused(&self, place: &Place) -> bool {
        self.0.get(place.at("")).send().is_err_and(|error| error.is_connect())
    }

    /// A question to `place` that is still to be asked.
    pub(crate) fn request(&self, place: &Place, path: &str) -> RequestBuilder {
        self.0.get(place.at(path))
    }

    /// Asks `request` of `place`.
    ///
    /// # Errors
    /// When there is no answer.
    pub(crate) fn ask(&self, place: &Place, request: RequestBuilder) -> Result<Answer, Fault> {
        let silent = |error: reqwest::Error| {
            let reason = if error.is_timeout() {
                "no answer in time".to_owned()
            } else {
                anyhow::Error::new(error.without_url()).root_cause().to_string()
            };
            place.fault(format!("{} does not answer at {}: {reason}", place.name, place.origin()))
        };
        let response = request.send().map_err(silent)?;
        let traceresponse = response.headers().get("traceresponse").and_then(|value| value.to_str().ok());
        Ok(Answer {
            status: response.status().as_u16(),
            traceresponse: traceresponse.map(str::to_owned),
            text: response.text().map_err(silent)?,
        })
    }

    /// The answer to a `GET`, whatever its status.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn get(&self, place: &Place, path: &str, query: &[(&str, &str)]) -> Result<Answer, Fault> {
        self.ask(place, self.request(place, path).query(query))
    }

    /// The JSON that a `GET` is answered with.
    ///
    /// # Errors
    /// When there is no answer, another status than 2xx, or no JSON.
    pub(crate) fn json(&self, place: &Place, path: &str, query: &[(&str, &str)]) -> Result<Value, Fault> {
        self.get(place, path, query)?.json(place, path)
    }

    /// The answer to a `POST` of `body` as JSON, whatever its status.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn post(&self, place: &Place, path: &str, body: &Value) -> Result<Answer, Fault> {
        self.ask(place, self.0.post(place.at(path)).json(body))
    }
}

impl Answer {
    /// # Errors
    /// When the status is another than 2xx, or the text no JSON.
    pub(crate) fn json(&self, place: &Place, path: &str) -> Result<Value, Fault> {
        let Self { status, text, .. } = self;
        if !(200..300).contains(status) {
            return Err(place.fault(format!("{} answers {status} to /{path}: {}", place.name, self.beginning())));
        }
        serde_json::from_str(text).map_err(|error| {
            place.fault(format!("{} answers /{path} with no JSON ({error}): {}", place.name, self.beginning()))
        })
    }

    /// As much of the text as explains something, on one line.
    pub(crate) fn beginning(&self) -> String {
        let line: String = self.text.split_whitespace().collect::<Vec<_>>().join(" ");
        if line.is_empty() { "(empty)".to_owned() } else { line.chars().take(SHOWN).collect() }
    }
}
