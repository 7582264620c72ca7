//! What a handler says about its own span, and spans for the parts of its work, without a type of OpenTelemetry.

use std::borrow::Cow;
use std::sync::Arc;

use opentelemetry::trace::{FutureExt as _, SpanBuilder, Status, TraceContextExt, Tracer as _};
use opentelemetry::{Array, Context, KeyValue, Value};
use opentelemetry_sdk::trace::SdkTracer;
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
fact_from!(bool, i64, f64, String, &'static str, Arc<str>);

impl From<&[i64]> for Fact {
    fn from(values: &[i64]) -> Self {
        Self(Value::Array(Array::I64(values.to_vec())))
    }
}

/// Facts and outcomes of a span that `tracing`'s `Span::record` cannot carry.
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

fn key_values<const N: usize>(facts: [(&'static str, Fact); N]) -> [KeyValue; N] {
    facts.map(|(name, fact)| KeyValue::new(name, fact.0))
}

impl SpanFacts for Span {
    fn set(&self, name: &'static str, value: impl Into<Fact>) {
        self.set_attribute(name, value.into().0);
    }

    fn fail(&self, description: impl Into<String>) {
        self.set_status(Status::error(description.into()));
    }

    fn event<const N: usize>(&self, name: &'static str, facts: [(&'static str, Fact); N]) {
        if !self.is_disabled() {
            self.add_event(name, key_values(facts).to_vec());
        }
    }

    fn trace_id(&self) -> Option<String> {
        let context = self.context();
        let span = context.span();
        let span_context = span.span_context();
        span_context.is_valid().then(|| span_context.trace_id().to_string())
    }
}

/// Makes spans by OpenTelemetry's own interface, at less than half the price of `tracing`'s, which keeps a register of
/// spans beside it: for the place where a request makes twenty. Elsewhere `tracing::info_span!` does.
#[derive(Debug, Clone)]
pub struct Tracer(pub(crate) Option<SdkTracer>);

impl Tracer {
    /// Starts an internal span below the one that is current.
    pub fn child<const N: usize>(
        &self,
        name: impl Into<Cow<'static, str>>,
        facts: [(&'static str, Fact); N],
    ) -> ChildSpan {
        let parent = Context::current();
        let Some(tracer) = &self.0 else { return ChildSpan { context: parent, ended: true } };
        let facts = key_values(facts);
        let span = tracer.build_with_context(SpanBuilder::from_name(name).with_attributes(facts), &parent);
        ChildSpan { context: parent.with_span(span), ended: false }
    }
}

/// A part of a request's work. Dropped before its end it says so: `error.type` is then `cancelled`, or `panic`.
#[derive(Debug)]
pub struct ChildSpan {
    context: Context,
    ended: bool,
}

impl ChildSpan {
    /// `work` with this span as OpenTelemetry's current one: its log lines carry the span's ids, its calls continue the
    /// span. `tracing::Span::current()` is still the request's in it; facts of this span are set on `self`.
    pub fn around<W: Future>(&self, work: W) -> impl Future<Output = W::Output> + use<W> {
        work.with_context(self.context.clone())
    }

    /// The work is done.
    pub fn end(mut self) {
        self.ended = true;
        self.context.span().end();
    }
}

/// The `error.type` of a span that is dropped before its end: our own fault, or nobody waited any more.
pub(crate) fn unfinished() -> &'static str {
    if std::thread::panicking() { "panic" } else { "cancelled" }
}

impl SpanFacts for ChildSpan {
    fn set(&self, name: &'static str, value: impl Into<Fact>) {
        self.context.span().set_attribute(KeyValue::new(name, value.into().0));
    }

    fn fail(&self, description: impl Into<String>) {
        self.context.span().set_status(Status::error(description.into()));
    }

    fn event<const N: usize>(&self, name: &'static str, facts: [(&'static str, Fact); N]) {
        self.context.span().add_event(name, key_values(facts).to_vec());
    }

    fn trace_id(&self) -> Option<String> {
        let span = self.context.span();
        span.span_context().is_valid().then(|| span.span_context().trace_id().to_string())
    }
}

impl Drop for ChildSpan {
    fn drop(&mut self) {
        if !self.ended {
            self.set("error.type", unfinished());
            self.context.span().end();
        }
    }
}
