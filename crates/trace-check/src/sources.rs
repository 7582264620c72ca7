//! Where spans come from: memory, a file of OTLP/JSON, the query API of Tempo and the trace viewer.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry::trace::{SpanKind, Status};
use opentelemetry::{Array, Value as AttributeValue};
use opentelemetry_sdk::trace::SpanData;
use serde_json::Value;
use tempo_client::{FileError, StatusCode};
use trace_analysis::{Kind, Span, SpanId};

use crate::trace::{Details, Link, Trace};

impl Trace {
    /// The trace of what an `InMemorySpanExporter` has, all of one `service`.
    pub fn from_memory(service: &str, spans: impl IntoIterator<Item = SpanData>) -> Self {
        Self::new(spans.into_iter().map(|span| from_memory(service, span)))
    }

    /// All spans of a file in OTLP's JSON, as the collector's file exporter and the viewer's download write it, or of a
    /// response of Tempo.
    ///
    /// # Errors
    /// When it cannot be read, or is no trace.
    pub fn from_file(path: &Path) -> Result<Self, FileError> {
        let traces = tempo_client::read_file(path)?;
        Ok(Self::new(traces.into_iter().flat_map(|trace| trace.spans).map(from_backend)))
    }
}

impl From<tempo_client::Trace> for Trace {
    fn from(trace: tempo_client::Trace) -> Self {
        Self::new(trace.spans.into_iter().map(from_backend))
    }
}

fn from_memory(service: &str, data: SpanData) -> (Span, Details) {
    let (failed, message) = match data.status {
        Status::Error { description } => (true, description.into_owned()),
        Status::Ok | Status::Unset => (false, String::new()),
    };
    let id = |id: opentelemetry::trace::SpanId| u64::from_be_bytes(id.to_bytes());
    let link = |link: opentelemetry::trace::Link| Link {
        trace_id: link.span_context.trace_id().to_string(),
        span: SpanId(id(link.span_context.span_id())),
    };
    let details = Details {
        trace_id: data.span_context.trace_id().to_string(),
        attributes: data.attributes.into_iter().map(|pair| (pair.key.to_string(), json(pair.value))).collect(),
        events: data.events.into_iter().map(|event| event.name.into_owned()).collect(),
        links: data.links.into_iter().map(link).collect(),
        remote_parent: data.parent_span_is_remote,
        open: false, // the exporter has ended ones only
    };
    let span = Span {
        parent: SpanId::new(id(data.parent_span_id)),
        name: data.name.into(),
        service: service.into(),
        kind: match data.span_kind {
            SpanKind::Internal => Kind::Internal,
            SpanKind::Server => Kind::Server,
            SpanKind::Client => Kind::Client,
            SpanKind::Producer => Kind::Producer,
            SpanKind::Consumer => Kind::Consumer,
        },
        start: nanoseconds(data.start_time),
        end: nanoseconds(data.end_time),
        failed,
        message: message.into(),
        ..Span::new(SpanId(id(data.span_context.span_id())))
    };
    (span, details)
}

fn nanoseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

fn json(value: AttributeValue) -> Value {
    match value {
        AttributeValue::Bool(value) => value.into(),
        AttributeValue::I64(value) => value.into(),
        AttributeValue::F64(value) => value.into(),
        AttributeValue::Array(Array::Bool(values)) => values.into(),
        AttributeValue::Array(Array::I64(values)) => values.into(),
        AttributeValue::Array(Array::F64(values)) => values.into(),
        AttributeValue::Array(Array::String(values)) => values.iter().map(|value| value.as_str()).collect(),
        text => text.to_string().into(),
    }
}

fn from_backend(span: tempo_client::Span) -> (Span, Details) {
    // Ids have 16 hex digits, or none where there is no parent.
    let id = |id: &str| u64::from_str_radix(id, 16).unwrap_or(0);
    let details = Details {
        trace_id: span.trace_id,
        attributes: span.attributes,
        events: span.events.into_iter().map(|event| event.name).collect(),
        links: span
            .links
            .into_iter()
            .map(|link| Link { trace_id: link.trace_id, span: SpanId(id(&link.span_id)) })
            .collect(),
        remote_parent: false,
        open: span.end == 0,
    };
    let of = Span {
        parent: SpanId::new(id(&span.parent_id)),
        name: span.name.into(),
        service: span.service.into(),
        kind: Kind::from_name(&span.kind),
        start: span.start,
        end: span.end,
        failed: span.status.code == StatusCode::Error,
        message: span.status.message.into(),
        ..Span::new(SpanId(id(&span.id)))
    };
    (of, details)
}
