//! The log signal on stdout: one line an event, with the ids of the span that is current where it is written.
//!
//! `tracing_subscriber`'s own JSON format nests an event's fields and knows nothing of OpenTelemetry ids, hence this
//! layer. Fields stay typed: numbers are numbers, a list given as `rolls = ?rolls` is a JSON array.

use std::cell::RefCell;
use std::fmt::Debug;
use std::io::Write as _;
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{SpanContext, TraceContextExt};
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tracing::field::{Field, Visit};
use tracing::{Event, Level};

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

    pub(crate) fn write(&self, event: &Event<'_>) {
        LINE.with(|buffers| {
            // An event that is written while another is being written (a `Debug` that logs) is left out.
            let Ok(mut buffers) = buffers.try_borrow_mut() else { return };
            let Buffers { line, fields, clock } = &mut *buffers;
            fields.clear(self.format);
            event.record(fields);
            if fields.message.is_empty() {
                fields.message.push_str(event.metadata().name()); // the SDK's own events have a name instead
            }
            line.clear();
            let now = clock.at(SystemTime::now());
            let written = opentelemetry::Context::map_current(|context| {
                let span = context.span();
                match self.format {
                    LogFormat::Json => self.json(event, span.span_context(), fields, now, line),
                    LogFormat::Pretty => self.pretty(event, span.span_context(), fields, now, line),
                }
            });
            if written.is_ok() {
                self.sink.line(line);
            }
        });
    }

    // A request writes a dozen lines, so this goes without the standard library's formatting: half the work (docs/PERFORMANCE.md).
    fn json(
        &self,
        event: &Event<'_>,
        ids: &SpanContext,
        fields: &Fields,
        now: Stamp<'_>,
        line: &mut Vec<u8>,
    ) -> std::io::Result<()> {
        line.extend_from_slice(br#"{"timestamp":""#);
        now.write(line)?;
        line.extend_from_slice(br#"","level":""#);
        line.extend_from_slice(level_name(event.metadata().level()).as_bytes());
        line.extend_from_slice(br#"","message":"#);
        serde_json::to_writer(&mut *line, &fields.message)?;
        line.extend_from_slice(br#","logger":"#);
        serde_json::to_writer(&mut *line, event.metadata().target())?;
        line.extend_from_slice(br#","service":"#);
        serde_json::to_writer(&mut *line, &self.service)?;
        if ids.is_valid() {
            line.extend_from_slice(br#","trace_id":""#);
            write_hex(ids.trace_id().to_bytes(), line);
            line.extend_from_slice(br#"","span_id":""#);
            write_hex(ids.span_id().to_bytes(), line);
            line.push(b'"');
        }
        line.extend_from_slice(&fields.rest);
        line.extend_from_slice(b"}\n");
        Ok(())
    }

    fn pretty(
        &self,
        event: &Event<'_>,
        ids: &SpanContext,
        fields: &Fields,
        now: Stamp<'_>,
        line: &mut Vec<u8>,
    ) -> std::io::Result<()> {
        let level = level_name(event.metadata().level());
        now.write(line)?;
        write!(line, " {level:<7} {}: {}", self.service, fields.message.escape_debug())?;
        line.extend_from_slice(&fields.rest);
        if ids.is_valid() {
            write!(line, " trace_id={} span_id={}", ids.trace_id(), ids.span_id())?;
        }
        line.push(b'\n');
        Ok(())
    }
}

/// Lower case, as trace context has it.
pub(crate) fn write_hex<const N: usize>(bytes: [u8; N], line: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [[0; 2]; N];
    for (pair, byte) in text.iter_mut().zip(bytes) {
        *pair = [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
    }
    line.extend_from_slice(text.as_flattened());
}

/// The time, as RFC 3339 in UTC with microseconds. What is left of the point is put together once a second.
#[derive(Default)]
struct Clock {
    second: Option<u64>,
    text: String,
}

/// A moment of the clock.
struct Stamp<'a> {
    text: &'a str,
    microseconds: u32,
}

impl Clock {
    fn at(&mut self, time: SystemTime) -> Stamp<'_> {
        let time = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        if self.second != Some(time.as_secs()) {
            let second = OffsetDateTime::UNIX_EPOCH + Duration::from_secs(time.as_secs());
            self.text = second.format(&Rfc3339).unwrap_or_default();
            self.second = Some(time.as_secs());
        }
        Stamp { text: self.text.trim_end_matches('Z'), microseconds: time.subsec_micros() }
    }
}

impl Stamp<'_> {
    fn write(&self, line: &mut Vec<u8>) -> std::io::Result<()> {
        line.extend_from_slice(self.text.as_bytes());
        write!(line, ".{:06}Z", self.microseconds)
    }
}

thread_local! {
    /// Of each thread: a line is put together here and copied once.
    static LINE: RefCell<Buffers> = RefCell::default();
}

#[derive(Default)]
struct Buffers {
    line: Vec<u8>,
    fields: Fields,
    clock: Clock,
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

    /// What stands before a value.
    fn name(&mut self, field: &Field) {
        let (before, after): (&[u8], &[u8]) = match self.format {
            LogFormat::Json => (b",\"", b"\":"),
            LogFormat::Pretty => (b" ", b"="),
        };
        self.rest.extend_from_slice(before);
        self.rest.extend_from_slice(field.name().as_bytes());
        self.rest.extend_from_slice(after);
    }

    /// A number or a boolean: the same in both formats.
    fn plain(&mut self, field: &Field, value: impl Serialize) {
        self.name(field);
        let _ = serde_json::to_writer(&mut self.rest, &value);
    }

    /// A value that may hold anything: quoted, so that it cannot forge a field or a line.
    fn text(&mut self, field: &Field, value: &str) {
        self.name(field);
        let plain = |c: char| c.is_ascii_graphic() && c != '"' && c != '=';
        if self.format == LogFormat::Pretty && !value.is_empty() && value.chars().all(plain) {
            self.rest.extend_from_slice(value.as_bytes());
        } else {
            let _ = serde_json::to_writer(&mut self.rest, value);
        }
    }
}

impl Visit for Fields {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.plain(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.plain(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.plain(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if value.is_finite() {
            self.plain(field, value);
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
            self.name(field);
            self.rest.extend_from_slice(text.as_bytes());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_is_that_of_its_own_second_and_microsecond() {
        let mut clock = Clock::default();
        for (nanoseconds, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (1_795_458_554_000_001_999, "2026-11-23T18:29:14.000001Z"),
            (1_795_458_554_999_999_999, "2026-11-23T18:29:14.999999Z"),
            (1_795_458_555_020_000_000, "2026-11-23T18:29:15.020000Z"),
            (1_795_458_554_000_000_000, "2026-11-23T18:29:14.000000Z"), // a clock that was set back
        ] {
            let mut line = Vec::new();
            clock.at(SystemTime::UNIX_EPOCH + Duration::from_nanos(nanoseconds)).write(&mut line).unwrap();
            assert_eq!(String::from_utf8_lossy(&line), text);
        }
    }
}
