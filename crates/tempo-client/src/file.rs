//! Traces in a file: OTLP's JSON, as the collector's file exporter and the viewer's download write it, or a response of
//! Tempo. Several messages may follow one another, on lines of their own or not.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::Trace;

/// The largest file that is read.
pub const MAX_FILE: u64 = 32 << 20;

/// The most spans that are read from one file or response.
pub const MAX_SPANS: usize = 200_000;

/// Why a file holds no trace.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It is longer than [`MAX_FILE`].
    #[error("it is longer than {} MiB", MAX_FILE >> 20)]
    TooLong,
    /// It has more than [`MAX_SPANS`].
    #[error("it has more than {MAX_SPANS} spans")]
    TooMany,
    /// It is something else.
    #[error("it is no trace in OTLP's JSON: {0}")]
    NoTrace(#[from] serde_json::Error),
    /// A span cannot be told from others.
    #[error("its span '{}' has no spanId", .name.escape_debug())]
    NoId {
        /// The name of the span.
        name: String,
    },
    /// It is OTLP without a span.
    #[error("it has no spans")]
    Empty,
}

/// The traces of a file, the one with the most spans first. There is at least one.
///
/// # Errors
/// [`FileError`].
pub fn read_file(path: &Path) -> Result<Vec<Trace>, FileError> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(FileError::TooLong);
    }
    parse_file(&bytes)
}

/// The same of the file's content.
///
/// # Errors
/// [`FileError`].
pub fn parse_file(bytes: &[u8]) -> Result<Vec<Trace>, FileError> {
    let mut traces = BTreeMap::<String, Trace>::new();
    let (mut count, mut lines) = (0, Vec::new());
    for message in serde_json::Deserializer::from_slice(bytes).into_iter::<Trace>() {
        let message = message?;
        lines.extend(message.logs);
        for span in message.spans {
            count += 1;
            if count > MAX_SPANS {
                return Err(FileError::TooMany);
            }
            // Sixteen zeros are no id either.
            if span.id.bytes().all(|digit| digit == b'0') {
                return Err(FileError::NoId { name: span.name });
            }
            traces.entry(span.trace_id.clone()).or_default().spans.push(span);
        }
    }
    for line in lines {
        // Those of other traces have nothing here that they belong to.
        if let Some(trace) = traces.get_mut(&line.trace_id) {
            trace.logs.push(line);
        }
    }
    let mut traces: Vec<Trace> = traces.into_values().collect();
    traces.sort_by_key(|trace| std::cmp::Reverse(trace.spans.len()));
    if traces.is_empty() { Err(FileError::Empty) } else { Ok(traces) }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use trace_analysis::Report;

    use super::*;

    fn message(trace: &str, spans: &[(&str, &str)]) -> Value {
        let span = |&(id, parent): &(&str, &str)| json!({ "traceId": trace, "spanId": id, "parentSpanId": parent, "name": "n" });
        json!({ "resourceSpans": [{ "scopeSpans": [{ "spans": spans.iter().map(span).collect::<Value>() }] }] })
    }

    #[test]
    fn messages_one_after_the_other_are_put_together_by_trace() {
        let lines = [message("a", &[("1", "")]), message("b", &[("2", "")]), message("b", &[("3", "2")]), json!({})];
        for separator in ["\n", "", "\r\n \n"] {
            let text = lines.iter().map(Value::to_string).collect::<Vec<_>>().join(separator);
            let traces = parse_file(text.as_bytes()).unwrap();
            let counts: Vec<_> =
                traces.iter().map(|t| (t.spans[0].trace_id.trim_start_matches('0'), t.spans.len())).collect();
            assert_eq!(counts, [("b", 2), ("a", 1)]);
        }
    }

    #[test]
    fn what_is_no_trace_is_an_error_in_one_line() {
        let zeros = message("a", &[("0000000000000000", "")]).to_string();
        let deep = "[".repeat(200_000);
        let many = "{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[".to_owned()
            + &"{\"spanId\":\"1\"},".repeat(MAX_SPANS)
            + "{\"spanId\":\"1\"}]}]}]}";
        for (text, expected) in [
            ("", "it has no spans"),
            ("{}", "it has no spans"),
            ("{", "it is no trace in OTLP's JSON: EOF while parsing"),
            ("no json", "it is no trace in OTLP's JSON: expected"),
            (r#"{"resourceSpans": 1}"#, "it is no trace in OTLP's JSON: invalid type"),
            (
                r#"{"resourceSpans": [{"scopeSpans": [{"spans": [{"spanId": "xyz"}]}]}]}"#,
                "OTLP's JSON: an id is 16 hex digits",
            ),
            (r#"{"resourceSpans": [{"scopeSpans": [{"spans": [{"name": "\n"}]}]}]}"#, r"its span '\n' has no spanId"),
            (&zeros, "its span 'n' has no spanId"),
            (&deep, "recursion limit exceeded"),
            (&many, "it has more than 200000 spans"),
        ] {
            let error = parse_file(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(expected) && !error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn words_come_from_attributes_events_and_status() {
        let text = |key: &str, value: &str| json!({ "key": key, "value": { "stringValue": value } });
        let exception =
            json!({ "name": "exception", "attributes": [text("exception.message", "no more disk. Sorry")] });
        let span = json!({ "spanId": "1", "name": "save", "kind": 1, "endTimeUnixNano": "5", "events": [exception], "status": { "code": 2 } });
        let body = json!({ "resourceSpans": [{ "scopeSpans": [{ "spans": [span] }] }] });
        let tree = parse_file(body.to_string().as_bytes()).unwrap()[0].analysed();
        assert_eq!(
            Report::of(&tree).sentence,
            "save of unknown_service failed: no more disk. save of unknown_service took 100 % of the 5 ns."
        );
    }
}
