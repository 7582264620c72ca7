//! For tests: everything that leaves a service, in memory.
//!
//! ```
//! # use telemetry::testing::Captured;
//! # use telemetry::attributes;
//! # fn main() -> anyhow::Result<()> {
//! let captured = Captured::start("my-service", &[])?;
//! tracing::info_span!("work").in_scope(|| {
//!     attributes::set("rolls", 5);
//!     tracing::info!("working");
//! });
//! assert_eq!(captured.spans()[0].name, "work");
//! assert_eq!(captured.lines()?[0]["message"], "working");
//! # Ok(())
//! # }
//! ```
//!
//! The subscriber is set for the test's own thread only, so tests of one process do not see each other's telemetry.
//! Use it under `#[tokio::test]`, whose runtime stays on that thread.

use std::ffi::OsString;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use opentelemetry_sdk::trace::{InMemorySpanExporter, SpanData};
use serde_json::Value;
use tracing::subscriber::DefaultGuard;

use crate::settings::Settings;
use crate::{Handle, Hooks, Telemetry};

/// The telemetry of a test, and what it has brought so far.
pub struct Captured {
    telemetry: Telemetry,
    spans: InMemorySpanExporter,
    lines: Lines,
    _subscriber: DefaultGuard,
}

#[derive(clap::Parser)]
struct Flags {
    #[command(flatten)]
    settings: Settings,
}

#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Captured {
    /// Starts telemetry for this thread, with `flags` such as `--otel-sdk-disabled=true`.
    ///
    /// # Errors
    /// When a flag is wrong.
    pub fn start(service: &'static str, flags: &[&str]) -> anyhow::Result<Self> {
        let args = std::iter::once(service).chain(flags.iter().copied()).map(OsString::from);
        let settings = Flags::try_parse_from(args)?.settings;
        let (spans, lines) = (InMemorySpanExporter::default(), Lines::default());
        let (telemetry, subscriber) =
            Telemetry::build(service, "test", &settings, lines.clone(), Some(spans.clone()), Hooks::default())?;
        Ok(Self { telemetry, spans, lines, _subscriber: tracing::subscriber::set_default(subscriber) })
    }

    /// What the service under test uses.
    pub fn handle(&self) -> Handle {
        self.telemetry.handle()
    }

    /// The spans that have ended so far, in the order of their ends.
    pub fn spans(&self) -> Vec<SpanData> {
        self.spans.get_finished_spans().unwrap_or_default()
    }

    /// The span of that name. Waits a while for its end, because a SERVER span ends just after the client has the
    /// response.
    ///
    /// # Errors
    /// When there is none, with the names of those there are.
    pub async fn span(&self, name: &str) -> anyhow::Result<SpanData> {
        for _ in 0..200 {
            if let Some(span) = self.spans().into_iter().find(|span| span.name == name) {
                return Ok(span);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let names: Vec<_> = self.spans().into_iter().map(|span| span.name).collect();
        anyhow::bail!("no span '{name}' among {names:?}")
    }

    /// Every log line so far.
    ///
    /// # Errors
    /// When a line is not a JSON object.
    pub fn lines(&self) -> anyhow::Result<Vec<Value>> {
        drop(self.telemetry.log_writer().flush(Duration::from_secs(5)));
        self.lines
            .text()
            .lines()
            .map(|line| serde_json::from_str(line).with_context(|| format!("not JSON: {line}")))
            .collect()
    }

    /// The log lines with that message.
    ///
    /// # Errors
    /// When a line is not a JSON object.
    pub fn lines_with(&self, message: &str) -> anyhow::Result<Vec<Value>> {
        Ok(self.lines()?.into_iter().filter(|line| line["message"] == message).collect())
    }

    /// One sample of `/metrics`, by name and labels as they are written there; none where it is not there.
    pub fn metric(&self, sample: &str) -> Option<f64> {
        sample_of(&self.metrics_text(), sample)
    }

    /// The whole of `/metrics`.
    pub fn metrics_text(&self) -> String {
        let families = self.handle().registry().gather();
        prometheus::TextEncoder::new().encode_to_string(&families).unwrap_or_default()
    }
}

/// One sample of a text in Prometheus' format.
pub fn sample_of(text: &str, sample: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' ')?.trim().parse().ok())
}

/// The attribute `name` of `span`, as text; empty where it is not there.
pub fn attribute(span: &SpanData, name: &str) -> String {
    let found = span.attributes.iter().find(|attribute| attribute.key.as_str() == name);
    found.map(|attribute| attribute.value.to_string()).unwrap_or_default()
}
