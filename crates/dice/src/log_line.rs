//! A service's JSON log line, made readable:
//!
//! ```text
//! 12:34:56.789Z  dice-roller   INFO     Async roll completed  die_type=fair roll_index=3 roll_value=4  trace=4bf92f35
//! ```

use serde_json::{Map, Value};
use telemetry::visible;

use crate::services::SERVICES;

/// One line of a service.
#[derive(Debug)]
pub(crate) enum LogLine<'a> {
    /// A log event, field by field.
    Event(Map<String, Value>),
    /// Anything else: a setting that is not valid, a panic before logging began, a span on the console.
    Text(&'a str),
}

/// Fields that stand at a fixed position in the line, or are left out because the line says the same already.
const PLACED: [&str; 7] = ["timestamp", "level", "message", "service", "logger", "trace_id", "span_id"];

impl<'a> LogLine<'a> {
    /// Reads a line, without its line feed.
    pub(crate) fn read(line: &'a str) -> Self {
        match serde_json::from_str(line) {
            Ok(Value::Object(fields)) if fields.contains_key("message") => LogLine::Event(fields),
            _ => LogLine::Text(line),
        }
    }

    /// Its timestamp, if it has one: RFC 3339, in UTC.
    pub(crate) fn time(&self) -> Option<&str> {
        match self {
            LogLine::Text(_) => None,
            LogLine::Event(fields) => fields.get("timestamp").and_then(Value::as_str),
        }
    }

    /// The error that it reports, if it reports one.
    pub(crate) fn error(&self) -> Option<String> {
        match self {
            LogLine::Text(line) => line.strip_prefix("error: ").map(str::to_owned),
            LogLine::Event(fields) if text(fields, "level") == "ERROR" => {
                let cause = fields.get("error").and_then(Value::as_str).map(|cause| format!(": {cause}"));
                Some(text(fields, "message").to_owned() + &cause.unwrap_or_default())
            }
            LogLine::Event(_) => None,
        }
    }

    /// The line as people read it, with its line feed.
    pub(crate) fn shown(&self, service: &str, coloured: bool) -> String {
        let paint = |colour: &str, text: &str| match (coloured, colour) {
            (false, _) | (_, "") => text.to_owned(),
            (true, colour) => format!("\x1b[{colour}m{text}\x1b[0m"),
        };
        let service = paint(service_colour(service), &format!("{service:<12}"));
        let fields = match self {
            LogLine::Text(line) => return format!("{:13}  {service}  {}\n", "", visible(line)),
            LogLine::Event(fields) => fields,
        };

        // Of an RFC 3339 timestamp the time of day, to the millisecond.
        let time = format!("{}Z", text(fields, "timestamp").get(11..23).unwrap_or_default());
        let level = text(fields, "level");
        let level = paint(level_colour(level), &visible(&format!("{level:<7}")));
        let message = visible(text(fields, "message"));
        let mut line = format!("{}  {service}  {level}  {message}", paint(DIM, &time));

        let others = fields.iter().filter(|(name, _)| !PLACED.contains(&name.as_str()));
        for (index, (name, value)) in others.enumerate() {
            line += if index == 0 { "  " } else { " " };
            line += &format!("{}{}", paint(DIM, &format!("{}=", visible(name))), shown_value(value));
        }
        // Eight digits are enough to tell the lines of one click from others by eye.
        if let Some(short) = text(fields, "trace_id").get(..8) {
            line += &format!("  {}", paint(DIM, &format!("trace={}", visible(short))));
        }
        line + "\n"
    }
}

const DIM: &str = "2";

fn service_colour(name: &str) -> &'static str {
    SERVICES.into_iter().find(|service| service.name == name).map_or("", |service| service.colour)
}

fn level_colour(level: &str) -> &'static str {
    match level {
        "ERROR" => "1;31",
        "WARNING" => "33",
        "DEBUG" => DIM,
        _ => "",
    }
}

/// The text of that field, empty where there is none.
fn text<'f>(fields: &'f Map<String, Value>, name: &str) -> &'f str {
    fields.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// A text is quoted where it could be taken for more than one field.
fn shown_value(value: &Value) -> String {
    let plain = |c: char| c.is_ascii_graphic() && c != '"' && c != '=';
    match value {
        Value::String(text) if !text.is_empty() && text.chars().all(plain) => text.clone(),
        Value::String(text) => format!("{text:?}"),
        other => visible(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str = r#"{"timestamp":"2026-11-23T12:34:56.789012Z","level":"INFO","message":"Async roll completed","logger":"dice_roller::batch","service":"dice-roller","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","span_id":"00f067aa0ba902b7","die_type":"fair","roll_index":3,"rolls":[1,2]}"#;

    #[test]
    fn event_shows_time_service_level_message_fields_and_trace() {
        assert_eq!(
            LogLine::read(EVENT).shown("dice-roller", false),
            "12:34:56.789Z  dice-roller   INFO     Async roll completed  die_type=fair roll_index=3 rolls=[1,2]  trace=4bf92f35\n"
        );
    }

    #[test]
    fn coloured_line_has_colour_of_service() {
        let line = LogLine::read(EVENT).shown("dice-roller", true);
        assert!(line.contains("\x1b[33mdice-roller \x1b[0m"), "{line:?}");
    }

    #[test]
    fn line_that_is_no_event_stays_unchanged() {
        for text in ["error: PORT (--port): 'x' is not valid", "\tName : GET /roll", "{\"a\": 1}", "12", ""] {
            let shown = LogLine::read(text).shown("frontend", false);
            assert_eq!(shown, format!("               frontend      {text}\n"));
        }
    }

    #[test]
    fn control_characters_of_client_are_visible() {
        let sent = "\u{1b}[2J\u{9b}31m\u{202e}\u{7}é\n";
        for line in [
            serde_json::json!({"message": sent}),
            serde_json::json!({"message": "m", "level": sent, "trace_id": sent.repeat(3)}),
            serde_json::json!({"message": "m", "error": sent, sent: 1, "list": [sent]}),
        ] {
            let shown = LogLine::read(&line.to_string()).shown("frontend", false);
            let visible = shown.strip_suffix('\n').unwrap();
            assert!(!visible.chars().any(|c| c.is_control() || c == '\u{202e}'), "{shown:?}");
            assert!(visible.contains('é'), "{shown:?}");
        }
        let shown = LogLine::Text(sent).shown("frontend", false);
        assert!(!shown.trim_end().chars().any(char::is_control), "{shown:?}");
    }

    #[test]
    fn text_that_looks_like_fields_is_quoted() {
        let line = serde_json::json!({"message": "m", "error": "no level=INFO", "empty": ""}).to_string();
        let shown = LogLine::read(&line).shown("frontend", false);
        assert!(shown.ends_with("m  error=\"no level=INFO\" empty=\"\"\n"), "{shown}");
    }

    #[test]
    fn error_is_returned_with_its_cause() {
        let error = |line: &str| LogLine::read(line).error();
        assert_eq!(error("error: no such file"), Some("no such file".to_owned()));
        let line = r#"{"level":"ERROR","message":"Panic","error":"index out of bounds"}"#;
        assert_eq!(error(line), Some("Panic: index out of bounds".to_owned()));
        assert_eq!(error(EVENT), None);
        assert_eq!(error("all is well"), None);
    }
}
