//! What a handler says about its own span, without a type of OpenTelemetry.

use opentelemetry::trace::{Status, TraceContextExt};
use opentelemetry::{Array, KeyValue, Value};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The value of a span attribute: a text, an integer, a number, a truth value or a list of integers.
///
/// Integers are `i64`: wider and unsigned ones would be exported as text.
#[derive(Debug, Clone)]
pub struct Fact(Value);

macro_rules! fact_from {
    ($($type:ty),*) => { $(impl From<$type> for Fact {
        fn from(value: $type) -> Self { Self(value.into()) }
    })* };
}
fact_from!(bool, i64, f64, String, &'static str);

impl From<&[i64]> for Fact {
    fn from(values: &[i64]) -> Self {
        Self(Value::Array(Array::I64(values.to_vec())))
    }
}

/// Facts and outcomes of a `tracing` span that `Span::record` cannot carry.
pub trait SpanFacts {
    /// Sets an attribute. Unlike `Span::record`, the field need not be declared where the span is made, and a list
    /// stays a list.
    fn set(&self, name: &'static str, value: impl Into<Fact>);

    /// Marks the span as failed. Say it once: of two descriptions OpenTelemetry may keep the first.
    fn fail(&self, description: impl Into<String>);

    /// Adds an event with the time of now.
    fn event<const N: usize>(&self, name: &'static str, facts: [(&'static str, Fact); N]);

    /// The trace id, 32 hex digits; none while spans are switched off.
    fn trace_id(&self) -> Option<String>;
}

impl SpanFacts for Span {
    fn set(&self, name: &'static str, value: impl Into<Fact>) {
        self.set_attribute(name, value.into().0);
    }

    fn fail(&self, description: impl Into<String>) {
        self.set_status(Status::error(description.into()));
    }

    fn event<const N: usize>(&self, name: &'static str, facts: [(&'static str, Fact); N]) {
        let facts = facts.map(|(name, fact)| KeyValue::new(name, fact.0));
        self.add_event(name, facts.to_vec());
    }

    fn trace_id(&self) -> Option<String> {
        let context = self.context();
        let span = context.span();
        let span_context = span.span_context();
        span_context.is_valid().then(|| span_context.trace_id().to_string())
    }
}
