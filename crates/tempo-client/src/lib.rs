//! Reads traces through the query API of Tempo, which the trace viewer has too.
//!
//! [`Client`] requests a trace and reads it. Who has an HTTP client of another kind requests [`trace_path`] or
//! [`SEARCH_PATH`]; the body of the one deserializes into a [`Trace`], that of the other is for [`parse_search`].
//!
//! Tempo writes OTLP in protobuf's JSON: ids in base64, 64-bit integers as texts, and nothing where a field has its
//! default. The caller gets ids in hex, as log lines and headers have them, and plain numbers. [`read_file`] reads the
//! traces of a file in OTLP's own JSON, and [`Trace::analysed`] makes of a trace what the crate `trace-analysis` needs.

mod analysed;
mod file;
mod json;

use std::collections::BTreeMap;

use reqwest::Url;
use serde::Deserialize;
use serde_json::Value;

pub use file::{FileError, MAX_FILE, MAX_SPANS, parse_file, read_file};
pub use json::parse_search;

/// Where the search is.
pub const SEARCH_PATH: &str = "api/search";

/// Where the trace of this id is, below the address of the backend. A trace that the backend does not have is 404.
pub fn trace_path(trace_id: &str) -> String {
    format!("api/traces/{trace_id}")
}

/// Spans of [`Trace::tree`] at most: a backend that returns a span as its own ancestor would make an endless tree.
const MAX_LINES: usize = 1000;

/// All spans of one trace that the backend has.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(try_from = "Value")]
pub struct Trace {
    /// In the backend's order.
    pub spans: Vec<Span>,
    /// The log lines that a file has beside the spans; a backend has none.
    pub logs: Vec<LogLine>,
}

/// A log line.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct LogLine {
    /// 32 hex digits.
    #[serde(rename = "traceId", deserialize_with = "json::trace_id")]
    pub trace_id: String,
    /// The span in which it was written: 16 hex digits.
    #[serde(rename = "spanId", deserialize_with = "json::span_id")]
    pub span_id: String,
    /// Nanoseconds since 1970; 0 where it is not known.
    #[serde(rename = "timeUnixNano", deserialize_with = "json::integer")]
    pub time: u64,
    /// `INFO`, `ERROR`, …; may be empty.
    #[serde(rename = "severityText")]
    pub level: String,
    /// The same as OTLP's number.
    #[serde(rename = "severityNumber", deserialize_with = "json::severity")]
    pub severity: u8,
    /// What it says.
    #[serde(deserialize_with = "json::body")]
    pub body: String,
}

impl LogLine {
    /// Its level in capitals: by the text, else by the number.
    pub fn level(&self) -> String {
        let of_number = match self.severity {
            1..=4 => "TRACE",
            5..=8 => "DEBUG",
            9..=12 => "INFO",
            13..=16 => "WARN",
            17..=20 => "ERROR",
            21..=24 => "FATAL",
            _ => "",
        };
        if self.level.is_empty() { of_number.to_owned() } else { self.level.to_uppercase() }
    }
}

/// One span.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Span {
    /// 32 hex digits.
    #[serde(rename = "traceId", deserialize_with = "json::trace_id")]
    pub trace_id: String,
    /// 16 hex digits.
    #[serde(rename = "spanId", deserialize_with = "json::span_id")]
    pub id: String,
    /// 16 hex digits; empty for a root.
    #[serde(rename = "parentSpanId", deserialize_with = "json::span_id")]
    pub parent_id: String,
    /// Its name.
    pub name: String,
    /// `SERVER`, `CLIENT`, `INTERNAL`, `PRODUCER` or `CONSUMER`; empty where it is unspecified.
    #[serde(deserialize_with = "json::kind")]
    pub kind: String,
    /// The `service.name` of its resource.
    #[serde(skip)]
    pub service: String,
    /// Nanoseconds since 1970.
    #[serde(rename = "startTimeUnixNano", deserialize_with = "json::integer")]
    pub start: u64,
    /// Nanoseconds since 1970.
    #[serde(rename = "endTimeUnixNano", deserialize_with = "json::integer")]
    pub end: u64,
    /// Integers, floats, booleans, texts and lists as JSON has them.
    #[serde(deserialize_with = "json::attributes")]
    pub attributes: BTreeMap<String, Value>,
    /// In the order in which they were added.
    pub events: Vec<Event>,
    /// The spans that it links to.
    pub links: Vec<Link>,
    /// Its status.
    pub status: Status,
}

/// An event of a span.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Event {
    /// Its name.
    pub name: String,
    /// As those of a span.
    #[serde(deserialize_with = "json::attributes")]
    pub attributes: BTreeMap<String, Value>,
}

/// A link to another span, of the same trace or not.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Link {
    /// 32 hex digits.
    #[serde(rename = "traceId", deserialize_with = "json::trace_id")]
    pub trace_id: String,
    /// 16 hex digits.
    #[serde(rename = "spanId", deserialize_with = "json::span_id")]
    pub span_id: String,
}

/// The status of a span.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Status {
    /// Its code.
    #[serde(deserialize_with = "json::status_code")]
    pub code: StatusCode,
    /// The description of an error.
    pub message: String,
}

/// The code of a status.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs)] // OpenTelemetry's names
pub enum StatusCode {
    #[default]
    Unset,
    Ok,
    Error,
}

impl Span {
    /// How long it took, in seconds.
    pub fn seconds(&self) -> f64 {
        self.end.saturating_sub(self.start) as f64 / 1e9
    }

    /// `name KIND service`.
    pub fn title(&self) -> String {
        format!("{} {} {}", self.name, self.kind, self.service)
    }
}

impl Trace {
    /// The first span of this [title](Span::title).
    pub fn span(&self, title: &str) -> Option<&Span> {
        self.spans.iter().find(|span| span.title() == title)
    }

    /// The tree as text, the title of a span on each line, children indented and sorted by name, then start. A span
    /// whose parent is not there is a root.
    pub fn tree(&self) -> String {
        let mut lines = Vec::new();
        self.draw(&mut lines, 0, &|span| self.spans.iter().all(|other| other.id != span.parent_id));
        lines.concat()
    }

    fn draw(&self, lines: &mut Vec<String>, depth: usize, wanted: &dyn Fn(&Span) -> bool) {
        let mut spans: Vec<_> = self.spans.iter().filter(|span| wanted(span)).collect();
        spans.sort_by_key(|span| (&span.name, span.start));
        for span in spans {
            if lines.len() < MAX_LINES {
                lines.push(format!("{}{}\n", "  ".repeat(depth), span.title()));
                self.draw(lines, depth + 1, &|child| child.parent_id == span.id);
            }
        }
    }
}

/// A client of one backend. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    /// Its timeouts and proxies hold here too.
    pub http: reqwest::Client,
    /// The address of the backend.
    pub base: Url,
}

/// The longest response that is read: a trace of [`MAX_SPANS`] small spans.
pub const MAX_RESPONSE: usize = 64 << 20;

/// There is no trace to read.
#[derive(Debug, thiserror::Error)]
#[error("no trace from {base} (TEMPO_URL)")]
pub struct Error {
    /// The address of the backend.
    pub base: Url,
    /// Why.
    pub source: Cause,
}

/// Why there is no trace to read.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// No response, another status than 2xx and 404, or a body that broke off.
    #[error(transparent)]
    Http(#[from] reqwest::Error),
    /// The response is longer than [`MAX_RESPONSE`]; the rest of it is not read.
    #[error("the response is longer than {} MiB", MAX_RESPONSE >> 20)]
    TooLong,
    /// The trace has more than [`MAX_SPANS`].
    #[error("the trace has more than {MAX_SPANS} spans")]
    TooMany,
    /// The body is something else.
    #[error("the response is no trace: {0}")]
    NoTrace(#[from] serde_json::Error),
}

impl Client {
    /// All spans of this trace that the backend has; none of a trace that it does not know.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn trace(&self, trace_id: &str) -> Result<Trace, Error> {
        let url = format!("{}/{}", self.base.as_str().trim_end_matches('/'), trace_path(trace_id));
        self.read(url).await.map_err(|source| Error { base: self.base.clone(), source })
    }

    async fn read(&self, url: String) -> Result<Trace, Cause> {
        // Without the address, which is in the message already.
        let http = |error: reqwest::Error| Cause::Http(error.without_url());
        let response = self.http.get(url).header("accept", "application/json").send().await.map_err(http)?;
        if response.status() == reqwest::StatusCode::NOT_FOUND {
            return Ok(Trace::default());
        }
        let mut response = response.error_for_status().map_err(http)?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(http)? {
            if body.len() + chunk.len() > MAX_RESPONSE {
                return Err(Cause::TooLong);
            }
            body.extend_from_slice(&chunk);
        }
        let trace: Trace = serde_json::from_slice(&body)?;
        if trace.spans.len() > MAX_SPANS { Err(Cause::TooMany) } else { Ok(trace) }
    }
}

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(test)]
mod tests {
    use super::*;

    fn span(id: &str, parent_id: &str, name: &str) -> Span {
        Span { id: id.to_owned(), parent_id: parent_id.to_owned(), name: name.to_owned(), ..Span::default() }
    }

    #[test]
    fn tree_indents_children_and_sorts_them_by_name() {
        let trace =
            Trace { spans: vec![span("2", "1", "c"), span("1", "f", "a"), span("3", "1", "b")], ..Trace::default() };
        assert_eq!(trace.tree(), "a  \n  b  \n  c  \n");
    }

    #[test]
    fn tree_of_spans_that_are_their_own_ancestors_ends() {
        let trace =
            Trace { spans: vec![span("1", "", "a"), span("1", "1", "b"), span("2", "1", "c")], ..Trace::default() };
        assert_eq!(trace.tree().lines().count(), MAX_LINES);
        assert_eq!(Trace::default().tree(), "");
    }
}
