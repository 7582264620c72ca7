//! What a handler says about its span, and a roll about its own.
//!
//! All of it acts on the active OpenTelemetry span: in a handler the SERVER span, inside
//! `.instrument(info_span!(…))` that span. An attribute need not be declared where the span is made (`tracing`'s
//! `Span::record` drops an undeclared one in silence), and a list stays a list. Integers are `i64`: OpenTelemetry has
//! no other.

use std::borrow::Cow;

use opentelemetry::trace::{Status, get_active_span};
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_semantic_conventions::trace::ERROR_TYPE;

/// Sets an attribute of the active span.
pub fn set(key: &'static str, value: impl Into<Value>) {
    get_active_span(|span| span.set_attribute(KeyValue::new(key, value)));
}

/// Sets the status of the active span to Error. Call it once: of two descriptions the SDK may keep the first.
pub fn set_error(description: impl Into<Cow<'static, str>>) {
    get_active_span(|span| span.set_status(Status::error(description)));
}

/// Adds a span event with the current time.
pub fn add_event(name: &'static str, attributes: Vec<KeyValue>) {
    get_active_span(|span| span.add_event(name, attributes));
}

/// The trace id, 32 hex digits; none where no span is active.
pub fn trace_id() -> Option<String> {
    get_active_span(|span| span.span_context().is_valid().then(|| span.span_context().trace_id().to_string()))
}

/// Work of the active span that has not finished. Dropped before [`Unfinished::done`], because nobody waits any more or
/// because of a panic, it sets `error.type` to `cancelled` or `panic`.
#[derive(Debug)]
pub struct Unfinished(Option<Context>);

impl Unfinished {
    /// The work of the active span begins.
    pub fn work() -> Self {
        Self(Some(Context::current()))
    }

    /// The work is done.
    pub fn done(mut self) {
        self.0 = None;
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(context) = self.0.take() {
            let _active = context.attach();
            if std::thread::panicking() {
                set(ERROR_TYPE, "panic");
                set_error("panicked");
            } else {
                set(ERROR_TYPE, "cancelled");
            }
        }
    }
}
