//! Reads traces through the query API of Tempo, which the trace viewer has too.
//!
//! [`Client`] requests a trace and reads it. Who has an HTTP client of another kind requests [`trace_path`] or
//! [`SEARCH_PATH`] and hands the body to [`Trace::parse`] or [`parse_search`].
//!
//! Tempo writes OTLP in protobuf's JSON: ids in base64, 64-bit integers as texts, and nothing where a field has its
//! default. The caller gets ids in hex, as log lines and headers have them, and plain numbers.

mod client;
mod json;

use std::collections::BTreeMap;

use serde_json::Value;

pub use client::{Client, Error};
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
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Trace {
    /// In the backend's order.
    pub spans: Vec<Span>,
}

/// One span.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Span {
    /// 16 hex digits.
    pub id: String,
    /// 16 hex digits; empty for a root.
    pub parent_id: String,
    /// Its name.
    pub name: String,
    /// `SERVER`, `CLIENT`, `INTERNAL`, `PRODUCER` or `CONSUMER`; empty where it is unspecified.
    pub kind: String,
    /// The `service.name` of its resource.
    pub service: String,
    /// Nanoseconds since 1970.
    pub start: u64,
    /// Nanoseconds since 1970.
    pub end: u64,
    /// Integers, floats, booleans, texts and lists as JSON has them.
    pub attributes: BTreeMap<String, Value>,
    /// In the order in which they were added.
    pub events: Vec<Event>,
    /// Its status.
    pub status: Status,
    /// The description of an error status.
    pub status_message: String,
}

/// An event of a span.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Event {
    /// Its name.
    pub name: String,
    /// As those of a span.
    pub attributes: BTreeMap<String, Value>,
}

/// The status of a span.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs)] // OpenTelemetry's names
pub enum Status {
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
    /// Reads the body of a response to [`trace_path`].
    ///
    /// # Errors
    /// When it is no trace as Tempo writes it.
    pub fn parse(body: &[u8]) -> serde_json::Result<Self> {
        json::parse_trace(body)
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    fn span(id: &str, parent_id: &str, name: &str) -> Span {
        Span { id: id.to_owned(), parent_id: parent_id.to_owned(), name: name.to_owned(), ..Span::default() }
    }

    #[test]
    fn tree_indents_children_and_sorts_them_by_name() {
        let trace = Trace { spans: vec![span("2", "1", "c"), span("1", "f", "a"), span("3", "1", "b")] };
        assert_eq!(trace.tree(), "a  \n  b  \n  c  \n");
    }

    #[test]
    fn tree_of_spans_that_are_their_own_ancestors_ends() {
        let trace = Trace { spans: vec![span("1", "", "a"), span("1", "1", "b"), span("2", "1", "c")] };
        assert_eq!(trace.tree().lines().count(), MAX_LINES);
        assert_eq!(Trace::default().tree(), "");
    }
}
