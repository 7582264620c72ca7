//! The log signal on stdout: one line an event, with the ids of the span that is active where it is written.
//!
//! `tracing_subscriber`'s JSON format nests an event's fields and knows no OpenTelemetry ids; json-subscriber 0.3 nests
//! the ids. Hence this layer. Fields stay typed: numbers are numbers, a list given as `rolls = ?rolls` is a JSON array.

use std::fmt::Debug;
use std::io::Write as _;
use std::time::SystemTime;

use humantime::format_rfc3339_micros;

use opentelemetry::trace::{SpanContext, TraceContextExt};
use serde::Serialize;
use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use crate::log_writer::LogWriter;
use crate::settings::LogFormat;

/// Writes each event as one line.
struct JsonLines {
    /// With its quotes.
    service: String,
    writer: LogWriter,
}

/// The layer of log lines: JSON, or for people the format of `tracing_subscriber`.
pub(crate) fn layer<S>(service: String, format: LogFormat, writer: LogWriter) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    match format {
        LogFormat::Json => JsonLines { service: serde_json::Value::from(service).to_string(), writer }.boxed(),
        LogFormat::Pretty => {
            tracing_subscriber::fmt::layer().with_ansi(false).with_writer(move || Readable(writer.clone())).boxed()
        }
    }
}

/// Writes lines for people: what a client sent must not reorder or hide text on a terminal. `tracing_subscriber`
/// escapes control characters by itself, but not U+202E and its like.
struct Readable(LogWriter);

impl std::io::Write for Readable {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        match text.strip_suffix('\n') {
            Some(text) => self.0.write_line(format!("{}\n", visible(text)).as_bytes()),
            None => self.0.write_line(visible(&text).as_bytes()),
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// `text` with `\u{…}` in place of what a terminal does not show as itself: control and format characters, such as U+202E,
/// which reverses what follows, and separators of lines. For text from outside that is shown to people.
pub fn visible(text: &str) -> String {
    let escape = |c: char| match c {
        '"' | '\'' | '\\' | '\t' => c.to_string(),
        c => c.escape_debug().to_string(), // of what Unicode calls Cc, Cf, Zl and Zp, all
    };
    text.chars().map(escape).collect()
}

impl JsonLines {
    /// Everything but the values is written as it is: names, levels and modules come from the source code.
    fn json(&self, event: &Event<'_>, ids: &SpanContext) -> std::io::Result<Vec<u8>> {
        let metadata = event.metadata();
        let mut line = Vec::with_capacity(512);
        write!(line, r#"{{"timestamp":"{}""#, format_rfc3339_micros(SystemTime::now()))?;
        line.extend_from_slice(br#","level":""#);
        line.extend_from_slice(level_name(metadata.level()).as_bytes());
        line.push(b'"');
        let mut written = Ok(());
        fields(event, |name, value| {
            line.extend_from_slice(b",\"");
            line.extend_from_slice(name.as_bytes());
            line.extend_from_slice(b"\":");
            if let Err(error) = serde_json::to_writer(&mut line, &value) {
                written = Err(error);
            }
        });
        written?;
        line.extend_from_slice(br#","logger":""#);
        line.extend_from_slice(metadata.target().as_bytes());
        line.extend_from_slice(br#"","service":"#);
        line.extend_from_slice(self.service.as_bytes());
        if ids.is_valid() {
            line.extend_from_slice(br#","trace_id":""#);
            push_hex(&ids.trace_id().to_bytes(), &mut line);
            line.extend_from_slice(br#"","span_id":""#);
            push_hex(&ids.span_id().to_bytes(), &mut line);
            line.push(b'"');
        }
        line.extend_from_slice(b"}\n");
        Ok(line)
    }
}

impl<S: Subscriber> Layer<S> for JsonLines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let line = opentelemetry::Context::map_current(|context| self.json(event, context.span().span_context()));
        if let Ok(line) = line {
            self.writer.write_line(&line); // writing into memory cannot fail
        }
    }
}

/// The level names of Python's logging, which existing queries expect.
pub(crate) fn level_name(level: &Level) -> &'static str {
    match *level {
        Level::ERROR => "ERROR",
        Level::WARN => "WARNING",
        Level::INFO => "INFO",
        Level::DEBUG | Level::TRACE => "DEBUG",
    }
}

/// In lower case.
pub(crate) fn push_hex(bytes: &[u8], line: &mut Vec<u8>) {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    line.extend(digits.map(|digit| b"0123456789abcdef"[usize::from(digit)]));
}

/// The value of an event's field, with its type.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum FieldValue<'a> {
    Bool(bool),
    I64(i64),
    U64(u64),
    F64(f64),
    Text(&'a str),
    List(Vec<Value>),
}

/// Calls `each` with every field of `event`, the message first under the name `message`. An event of the SDK has none: its
/// name stands for it.
pub(crate) fn fields(event: &Event<'_>, each: impl FnMut(&'static str, FieldValue<'_>)) {
    let mut visitor = EachField(each);
    if event.fields().all(|field| field.name() != "message") {
        (visitor.0)("message", FieldValue::Text(event.metadata().name()));
    }
    event.record(&mut visitor);
}

struct EachField<F>(F);

impl<F: FnMut(&'static str, FieldValue<'_>)> Visit for EachField<F> {
    fn record_i64(&mut self, field: &Field, value: i64) {
        (self.0)(field.name(), FieldValue::I64(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        (self.0)(field.name(), FieldValue::U64(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        (self.0)(field.name(), FieldValue::Bool(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        (self.0)(field.name(), FieldValue::F64(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        (self.0)(field.name(), FieldValue::Text(value));
    }

    /// A list of numbers or of texts has the same form in `Debug` and in JSON.
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut text = String::with_capacity(64);
        let _ = std::fmt::Write::write_fmt(&mut text, format_args!("{value:?}")); // fails where the value's `Debug` does
        let may_be_list = field.name() != "message" && text.starts_with('[');
        match may_be_list.then(|| serde_json::from_str(&text).ok()).flatten() {
            Some(list) => (self.0)(field.name(), FieldValue::List(list)),
            None => (self.0)(field.name(), FieldValue::Text(&text)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use prometheus::Registry;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;
    use crate::delivery::Counters;
    use crate::testing::Lines;

    /// One of each kind: Cc, Cf (reverses, hides, isolates, is no space, is not even there), Zl, Zp.
    const HIDDEN: &str = "\u{1b}\u{9b}\n\u{202e}\u{200b}\u{2066}\u{feff}\u{ad}\u{e0041}\u{2028}\u{2029}";

    #[test]
    fn visible_text_shows_every_character_that_hides_or_reorders() {
        let shown = visible(&format!("a{HIDDEN}é漢\"'\\\tz"));
        assert_eq!(
            shown,
            "a\\u{1b}\\u{9b}\\n\\u{202e}\\u{200b}\\u{2066}\\u{feff}\\u{ad}\\u{e0041}\\u{2028}\\u{2029}é漢\"'\\\tz"
        );
    }

    #[test]
    fn pretty_line_shows_every_character_that_hides_or_reorders() {
        let lines = Lines::default();
        let writer = LogWriter::new(lines.clone(), Counters::register(&Registry::new()).unwrap().1).unwrap();
        let layer = layer("test-service".to_owned(), LogFormat::Pretty, writer.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::info!(text = HIDDEN, shown = %HIDDEN, "a{HIDDEN}b");
        });
        drop(writer.flush(Duration::from_secs(60)));
        let text = lines.text();
        let hidden: Vec<_> = HIDDEN.chars().filter(|c| text.trim_end().contains(*c)).collect();
        assert!(text.contains('b') && text.ends_with('\n'), "{text:?}");
        assert_eq!(hidden, [] as [char; 0], "{text:?}");
    }
}
