//! The viewer's own log lines on stdout: one JSON object a line, or readable text.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Map, Value};
use telemetry::settings::LogFormat;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{JsonFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::config::Config;

/// Installs the process's `tracing` subscriber.
///
/// # Errors
/// The filter is not valid, or the process has a subscriber already.
pub(crate) fn start(config: &Config) -> anyhow::Result<()> {
    // `rmcp` writes three lines for each request, with texts of the client; `RUST_LOG=info,rmcp=info` brings them back.
    let filter = EnvFilter::try_new(format!("rmcp=error,{}", config.rust_log))?;
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter);
    let started = match config.log_format {
        LogFormat::Json => subscriber.event_format(JsonLine).fmt_fields(JsonFields::new()).try_init(),
        LogFormat::Pretty => subscriber.with_target(false).compact().try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("logging cannot start: {error}"))
}

/// Limits a warning to one in ten seconds, so that many bad requests do not become as many log lines.
#[derive(Default)]
pub(crate) struct LogLimit {
    last: Mutex<Option<Instant>>,
    held_back: AtomicU64,
}

impl LogLimit {
    /// `None` where the line should not be written; else how many were held back since the last one.
    pub(crate) fn due(&self) -> Option<u64> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_some_and(|last| last.elapsed() < Duration::from_secs(10)) {
            self.held_back.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        *last = Some(Instant::now());
        Some(self.held_back.swap(0, Ordering::Relaxed))
    }
}

/// `tracing_subscriber`'s own JSON format has neither the field names nor the level names of the other programs' lines.
struct JsonLine;

impl<S, N> FormatEvent<S, N> for JsonLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let (mut timestamp, mut fields) = (String::new(), String::new());
        SystemTime.format_time(&mut Writer::new(&mut timestamp))?;
        context.format_fields(Writer::new(&mut fields), event)?;
        let mut fields: Map<String, Value> = serde_json::from_str(&fields).map_err(|_| fmt::Error)?;
        let level = match *event.metadata().level() {
            Level::ERROR => "ERROR",
            Level::WARN => "WARNING",
            Level::INFO => "INFO",
            Level::DEBUG | Level::TRACE => "DEBUG",
        };
        let mut line = Map::new();
        line.insert("timestamp".to_owned(), timestamp.into());
        line.insert("level".to_owned(), level.into());
        line.insert("message".to_owned(), fields.shift_remove("message").unwrap_or_default());
        line.insert("logger".to_owned(), event.metadata().target().into());
        line.insert("service".to_owned(), "trace-viewer".into());
        line.extend(fields);
        writeln!(out, "{}", Value::Object(line))
    }
}
