//! One trace: the spans that share a trace id, and the log records written in them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;

use crate::attributes;
use crate::ids::{SpanId, TraceId};
use crate::weight;

/// What sent a span: resource and instrumentation scope, shared by the spans of one message.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) resource: Resource,
    pub(crate) scope: InstrumentationScope,
    pub(crate) service: String,
    pub(crate) weight: usize,
}

impl Origin {
    pub(crate) fn new(resource: Option<Resource>, scope: Option<InstrumentationScope>) -> Arc<Self> {
        let (resource, scope) = (resource.unwrap_or_default(), scope.unwrap_or_default());
        let service = match attributes::find(&resource.attributes, "service.name") {
            Some(Value::StringValue(name)) => name.clone(),
            // The default of the OpenTelemetry specification.
            _ => "unknown_service".to_owned(),
        };
        let weight = weight::origin(&resource, &scope);
        Arc::new(Self { resource, scope, service, weight })
    }
}

/// A span with its origin.
#[derive(Debug)]
pub(crate) struct StoredSpan {
    pub(crate) id: SpanId,
    pub(crate) span: Span,
    pub(crate) origin: Arc<Origin>,
}

impl StoredSpan {
    /// The parent's id; `None` for a root span.
    pub(crate) fn parent(&self) -> Option<SpanId> {
        SpanId::from_bytes(&self.span.parent_span_id)
    }

    /// Nanoseconds since 1970.
    pub(crate) fn start(&self) -> u64 {
        self.span.start_time_unix_nano
    }

    /// Nanoseconds since 1970; never before the start, even where the sender's clock was set back.
    pub(crate) fn end(&self) -> u64 {
        self.span.end_time_unix_nano.max(self.span.start_time_unix_nano)
    }

    pub(crate) fn failed(&self) -> bool {
        self.span.status.as_ref().is_some_and(|status| status.code() == StatusCode::Error)
    }

    /// Whether it is a CLIENT span without a response and without an error.
    pub(crate) fn is_call_without_outcome(&self) -> bool {
        let has = |name| attributes::find(&self.span.attributes, name).is_some();
        let is_http_call = self.span.kind() == SpanKind::Client && has("http.request.method");
        is_http_call && !self.failed() && !has("http.response.status_code")
    }

    /// Whether it ended because its client went away.
    pub(crate) fn cancelled(&self) -> bool {
        matches!(attributes::find(&self.span.attributes, "error.type"), Some(Value::StringValue(kind)) if kind == "cancelled")
    }
}

/// A trace as far as it has arrived. Readers hold it by `Arc`: when it grows meanwhile, the store changes a copy.
#[derive(Debug, Clone)]
pub(crate) struct Trace {
    pub(crate) id: TraceId,
    pub(crate) spans: BTreeMap<SpanId, Arc<StoredSpan>>,
    pub(crate) logs: Vec<Arc<LogRecord>>,
    /// Spans and log records refused because the trace had its share of the store.
    pub(crate) refused: usize,
    /// Estimated memory.
    pub(crate) bytes: usize,
    /// The store's revision when this trace last changed.
    pub(crate) revision: u64,
    /// When something last arrived.
    pub(crate) updated: Instant,
}

impl Trace {
    /// Estimated memory of a trace without spans, with its entry in the store.
    pub(crate) const EMPTY_BYTES: usize = 256;

    pub(crate) fn new(id: TraceId) -> Self {
        Self {
            id,
            spans: BTreeMap::new(),
            logs: Vec::new(),
            refused: 0,
            bytes: Self::EMPTY_BYTES,
            revision: 0,
            updated: Instant::now(),
        }
    }

    /// The first start, in nanoseconds since 1970.
    pub(crate) fn start(&self) -> u64 {
        self.spans.values().map(|span| span.start()).min().unwrap_or(0)
    }

    /// Nanoseconds from the first start to the last end.
    pub(crate) fn duration(&self) -> u64 {
        self.spans.values().map(|span| span.end()).max().unwrap_or(0) - self.start()
    }

    /// The span without a parent, once it has arrived; the earliest of several.
    pub(crate) fn root(&self) -> Option<&Arc<StoredSpan>> {
        self.spans.values().filter(|span| span.parent().is_none()).min_by_key(|span| span.start())
    }
}
