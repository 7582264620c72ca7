//! The log signal on stdout: one line an event, with the ids of the span that is current where it is written.
//!
//! `tracing_subscriber`'s own JSON format nests an event's fields and knows nothing of OpenTelemetry ids, hence this
//! layer. Fields stay typed: numbers are numbers, a list given as `rolls = ?rolls` is a JSON array.

use std::cell::RefCell;
use std::fmt::Debug;
use std::io::Write as _;

use opentelemetry::trace::{SpanContext, TraceContextExt};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::layer::Context;

use crate::config::LogFormat;
use crate::log_sink::LogSink;

/// Writes each event as one line.
pub(crate) struct LogLines {
    service: String,
    format: LogFormat,
    sink: LogSink,
}

impl LogLines {
    pub(crate) fn new(service: String, format: LogFormat, sink: LogSink) -> Self {
        Self { service, format, sink }
    }

    fn json(&self, event: &Event<'_>, ids: &SpanContext, fields: &Fields, line: &mut Vec<u8>) -> std::io::Result<()> {
        let level = level_name(event.metadata().level());
        write!(line, r#"{{"timestamp":"{}","level":"{level}","message":"#, Now)?;
        serde_json::to_writer(&mut *line, &fields.message)?;
        line.write_all(br#","logger":"#)?;
        serde_json::to_writer(&mut *line, event.metadata().target())?;
        line.write_all(br#","service":"#)?;
        serde_json::to_writer(&mut *line, &self.service)?;
        if ids.is_valid() {
            write!(line, r#","trace_id":"{}","span_id":"{}""#, ids.trace_id(), ids.span_id())?;
        }
        line.write_all(&fields.rest)?;
        line.write_all(b"}\n")
    }

    fn pretty(&self, event: &Event<'_>, ids: &SpanContext, fields: &Fields, line: &mut Vec<u8>) -> std::io::Result<()> {
        let level = level_name(event.metadata().level());
        write!(line, "{} {level:<7} {}: {}", Now, self.service, fields.message.escape_debug())?;
        line.write_all(&fields.rest)?;
        if ids.is_valid() {
            write!(line, " trace_id={} span_id={}", ids.trace_id(), ids.span_id())?;
        }
        line.write_all(b"\n")
    }
}

/// The time, as RFC 3339 in UTC with microseconds.
struct Now;

impl std::fmt::Display for Now {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        SystemTime.format_time(&mut Writer::new(f))
    }
}

thread_local! {
    /// One buffer a thread: a line is put together here and copied once.
    static LINE: RefCell<(Vec<u8>, Fields)> = RefCell::default();
}

impl<S: Subscriber> Layer<S> for LogLines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let ids = opentelemetry::Context::map_current(|context| context.span().span_context().clone());
        LINE.with(|buffers| {
            // An event that is written while another is being written (a `Debug` that logs) is left out.
            let Ok(mut buffers) = buffers.try_borrow_mut() else { return };
            let (line, fields) = &mut *buffers;
            fields.clear(self.format);
            event.record(fields);
            if fields.message.is_empty() {
                fields.message.push_str(event.metadata().name()); // the SDK's own events have a name instead
            }
            line.clear();
            let written = match self.format {
                LogFormat::Json => self.json(event, &ids, fields, line),
                LogFormat::Pretty => self.pretty(event, &ids, fields, line),
            };
            if written.is_ok() {
                self.sink.line(line);
            }
        });
    }
}

/// The level names that Python's logging uses, which existing queries expect.
pub(crate) fn level_name(level: &Level) -> &'static str {
    match *level {
        Level::ERROR => "ERROR",
        Level::WARN => "WARNING",
        Level::INFO => "INFO",
        Level::DEBUG | Level::TRACE => "DEBUG",
    }
}

/// The message of an event, and its other fields in the form that the line needs: `,"name":value` or ` name=value`.
struct Fields {
    format: LogFormat,
    message: String,
    rest: Vec<u8>,
}

impl Default for Fields {
    fn default() -> Self {
        Self { format: LogFormat::Json, message: String::new(), rest: Vec::new() }
    }
}

// Every write below goes to memory, where it cannot fail; `write!` wants its answer looked at all the same.
impl Fields {
    fn clear(&mut self, format: LogFormat) {
        self.format = format;
        self.message.clear();
        self.rest.clear();
    }

    /// A value that is written as it is: a number, a boolean, a list.
    fn literal(&mut self, field: &Field, value: impl std::fmt::Display) {
        let _ = match self.format {
            LogFormat::Json => write!(self.rest, r#","{}":{value}"#, field.name()),
            LogFormat::Pretty => write!(self.rest, " {}={value}", field.name()),
        };
    }

    /// A value that may hold anything: quoted, so that it cannot forge a field or a line.
    fn text(&mut self, field: &Field, value: &str) {
        let plain = |c: char| c.is_ascii_graphic() && c != '"' && c != '=';
        if self.format == LogFormat::Pretty && !value.is_empty() && value.chars().all(plain) {
            return self.literal(field, value);
        }
        self.literal(field, "");
        let _ = serde_json::to_writer(&mut self.rest, value);
    }
}

impl Visit for Fields {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.literal(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.literal(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.literal(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if value.is_finite() {
            self.literal(field, value);
        } else {
            self.text(field, &value.to_string()); // JSON has no NaN
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.message.push_str(value),
            _ => self.text(field, value),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            let _ = std::fmt::Write::write_fmt(&mut self.message, format_args!("{value:?}"));
            return;
        }
        let text = format!("{value:?}");
        if is_list(&text) {
            self.literal(field, text);
        } else {
            self.text(field, &text);
        }
    }
}

/// Whether the `Debug` text of a field is a JSON array of numbers or of strings, as that of a `Vec` is.
pub(crate) fn is_list(text: &str) -> bool {
    let list = || {
        serde_json::from_str::<Vec<f64>>(text).is_ok()
            || serde_json::from_str::<Vec<std::borrow::Cow<'_, str>>>(text).is_ok()
    };
    text.starts_with('[') && list()
}
