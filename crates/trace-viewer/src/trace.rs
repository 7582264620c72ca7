//! One trace: the spans that share a trace id, and the log lines that were written inside them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;

use crate::attributes;
use crate::ids::{SpanId, TraceId};
use crate::weight;

/// What sent a span or a log line: the service and the library in it. Shared by all that came in one message.
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
            // The name that the OpenTelemetry specification gives to a service without one.
            _ => "unknown_service".to_owned(),
        };
        let weight = weight::origin(&resource, &scope);
        Arc::new(Self { resource, scope, service, weight })
    }
}

/// A span and what sent it.
#[derive(Debug)]
pub(crate) struct StoredSpan {
    pub(crate) id: SpanId,
    pub(crate) span: Span,
    pub(crate) origin: Arc<Origin>,
}

impl StoredSpan {
    /// The caller's span, if there is one.
    pub(crate) fn parent(&self) -> Option<SpanId> {
        SpanId::from_bytes(&self.span.parent_span_id)
    }

    /// Nanoseconds since 1970.
    pub(crate) fn start(&self) -> u64 {
        self.span.start_time_unix_nano
    }

    /// Nanoseconds since 1970; never before the start, whatever the sender's clock did.
    pub(crate) fn end(&self) -> u64 {
        self.span.end_time_unix_nano.max(self.span.start_time_unix_nano)
    }

    pub(crate) fn failed(&self) -> bool {
        self.span.status.as_ref().is_some_and(|status| status.code() == StatusCode::Error)
    }

    /// Whether it ended because nobody waited for it any more.
    pub(crate) fn cancelled(&self) -> bool {
        matches!(attributes::find(&self.span.attributes, "error.type"), Some(Value::StringValue(kind)) if kind == "cancelled")
    }
}

/// What is known of a trace so far. Readers hold it by `Arc`; the store copies it when it grows under their hands.
#[derive(Debug, Clone)]
pub(crate) struct Trace {
    pub(crate) id: TraceId,
    pub(crate) spans: BTreeMap<SpanId, Arc<StoredSpan>>,
    pub(crate) logs: Vec<Arc<LogRecord>>,
    /// Spans and log lines turned away because the trace had its share of the store.
    pub(crate) refused: usize,
    /// Estimated memory.
    pub(crate) bytes: usize,
    /// The store's count of changes when this trace last changed.
    pub(crate) revision: u64,
    /// When something last arrived.
    pub(crate) updated: Instant,
}

impl Trace {
    /// Memory of a trace without spans, with its place in the store.
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

    /// Nanoseconds since 1970 of the first start.
    pub(crate) fn start(&self) -> u64 {
        self.spans.values().map(|span| span.start()).min().unwrap_or(0)
    }

    /// Nanoseconds from the first start to the last end.
    pub(crate) fn duration(&self) -> u64 {
        self.spans.values().map(|span| span.end()).max().unwrap_or(0) - self.start()
    }

    /// The span without a parent, once it has arrived; the first, should there be several.
    pub(crate) fn root(&self) -> Option<&Arc<StoredSpan>> {
        self.spans.values().filter(|span| span.parent().is_none()).min_by_key(|span| span.start())
    }

    /// How many spans, and how many failed spans, each service sent.
    pub(crate) fn services(&self) -> BTreeMap<&str, Share> {
        let mut services = BTreeMap::<_, Share>::new();
        for span in self.spans.values() {
            let share = services.entry(span.origin.service.as_str()).or_default();
            share.spans += 1;
            share.failed += usize::from(span.failed());
        }
        services
    }
}

/// What one service has in a trace.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Share {
    pub(crate) spans: usize,
    pub(crate) failed: usize,
}
