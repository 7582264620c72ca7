//! The viewer's own log lines: one JSON object a line on stdout, or one readable line.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::config::{Config, LogFormat};

/// Starts logging as `config` says.
///
/// # Errors
/// The filter is not one, or the process has a subscriber already.
pub(crate) fn start(config: &Config) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&config.rust_log)?;
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter);
    let started = match config.log_format {
        LogFormat::Json => subscriber.event_format(JsonLine).try_init(),
        LogFormat::Pretty => subscriber.with_target(false).compact().try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("logging cannot start: {error}"))
}

/// Lets one line through in ten seconds, so that a flood of bad requests is no flood of log lines.
#[derive(Default)]
pub(crate) struct Occasionally {
    next_second: AtomicU64,
    held_back: AtomicU64,
}

impl Occasionally {
    /// Whether a line is due; if so, how many were held back since the one before.
    pub(crate) fn due(&self) -> Option<u64> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_secs());
        let next = self.next_second.load(Ordering::Relaxed);
        let won = now >= next
            && self.next_second.compare_exchange(next, now + 10, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if won {
            return Some(self.held_back.swap(0, Ordering::Relaxed));
        }
        self.held_back.fetch_add(1, Ordering::Relaxed);
        None
    }
}

struct JsonLine;

impl<S, N> FormatEvent<S, N> for JsonLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = Fields(Map::new());
        event.record(&mut fields);
        let message = fields.0.shift_remove("message").unwrap_or_default();
        let now = OffsetDateTime::now_utc().format(&Rfc3339).map_err(|_| fmt::Error)?;
        let level = match *event.metadata().level() {
            Level::ERROR => "ERROR",
            Level::WARN => "WARNING",
            Level::INFO => "INFO",
            Level::DEBUG | Level::TRACE => "DEBUG",
        };
        let mut line = Map::new();
        line.insert("timestamp".to_owned(), now.into());
        line.insert("level".to_owned(), level.into());
        line.insert("message".to_owned(), message);
        line.insert("logger".to_owned(), event.metadata().target().into());
        line.insert("service".to_owned(), "trace-viewer".into());
        line.extend(fields.0);
        writeln!(out, "{}", Value::Object(line))
    }
}

/// Collects an event's fields as JSON values.
struct Fields(Map<String, Value>);

impl Visit for Fields {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}").into());
    }
}
