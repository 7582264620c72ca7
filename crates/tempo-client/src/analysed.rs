//! A trace as the crate `trace-analysis` takes it.

use serde_json::Value;
use trace_analysis::{Kind, READ_ATTRIBUTES, Span, SpanId, Tree};

use crate::{StatusCode, Trace};

impl Trace {
    /// The tree of its spans, for a report or a comparison.
    pub fn analysed(&self) -> Tree {
        Tree::new(self.spans.iter().map(span).collect())
    }
}

fn span(span: &crate::Span) -> Span {
    let exception = span.events.iter().rev().find(|event| event.name == "exception");
    let attributes = span.attributes.iter().chain(exception.iter().flat_map(|event| &event.attributes));
    let read = attributes.filter(|(key, _)| READ_ATTRIBUTES.contains(&key.as_str()));
    // The default of the OpenTelemetry specification.
    let service = if span.service.is_empty() { "unknown_service" } else { &span.service };
    Span {
        parent: SpanId::new(number(&span.parent_id)),
        name: span.name.as_str().into(),
        service: service.into(),
        kind: Kind::from_name(&span.kind),
        start: span.start,
        end: span.end,
        failed: span.status.code == StatusCode::Error,
        message: span.status.message.as_str().into(),
        attributes: read.map(|(key, value)| (key.into(), text(value).into())).collect(),
        ..Span::new(SpanId(number(&span.id)))
    }
}

/// Ids have 16 hex digits, or none where there is no parent.
fn number(id: &str) -> u64 {
    u64::from_str_radix(id, 16).unwrap_or(0)
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
