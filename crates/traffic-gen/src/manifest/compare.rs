//! What a backend holds against what it must hold.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use reqwest::Url;
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::{Entry, Shape, read};
use telemetry::visible;
use tempo_client::Client;

/// Traces that are requested at the same time.
const CONCURRENT: usize = 16;

/// Between two requests for spans that have not arrived yet.
const PAUSE: Duration = Duration::from_millis(500);

/// Incomplete traces that are named in the text.
const SHOWN: usize = 10;

/// What was lost.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// Traces in the manifest.
    pub traces: usize,
    /// Those of which only the beginning could be foretold.
    pub traces_not_exact: usize,
    /// Traces of which nothing is there.
    pub traces_missing: usize,
    /// Spans that must be there.
    pub spans_expected: u64,
    /// Those that are not.
    pub spans_lost: u64,
    /// Spans of exactly foretold traces that nobody has foretold.
    pub spans_unexpected: u64,
    /// Spans that must have status Error.
    pub errors_expected: u64,
    /// Those that are not there or have not.
    pub errors_lost: u64,
    /// How often each call is missing.
    pub edges_lost: BTreeMap<String, u64>,
    /// Traces that are missing or incomplete.
    pub incomplete: Vec<Incomplete>,
}

/// A trace of which something is missing.
#[derive(Debug, Clone, Serialize)]
pub struct Incomplete {
    /// 32 hex digits.
    pub trace_id: String,
    /// Spans that must be there.
    pub expected: u32,
    /// Spans that are there.
    pub found: u32,
}

/// Compares the manifest with the backend at `tempo`, which may take `wait` to take in what is still under way.
///
/// # Errors
/// When the manifest cannot be read or the backend does not respond.
pub async fn compare(manifest: &Path, tempo: &Url, wait: Duration) -> anyhow::Result<Report> {
    let entries = read(manifest)?;
    let client = Client { http: crate::http::client()?, base: tempo.clone() };
    let deadline = Instant::now() + wait;
    let mut report = Report::of(&entries);
    let mut open = entries;
    loop {
        let looked_at = shapes(&client, open).await?;
        let over = Instant::now() >= deadline;
        open = Vec::new();
        for (entry, found) in looked_at {
            if over || entry.shape.missing_from(&found) == Shape::default() {
                report.add(&entry, &found);
            } else {
                open.push(entry);
            }
        }
        if open.is_empty() {
            return Ok(report);
        }
        sleep(PAUSE.min(deadline.saturating_duration_since(Instant::now()))).await;
    }
}

/// The shape that the backend holds of each.
async fn shapes(client: &Client, entries: Vec<Entry>) -> anyhow::Result<Vec<(Entry, Shape)>> {
    stream::iter(entries)
        .map(async |entry| {
            let trace = client.trace(&entry.trace_id).await?;
            anyhow::Ok((entry, Shape::of(&trace.spans)))
        })
        .buffered(CONCURRENT)
        .try_collect()
        .await
}

impl Report {
    fn of(entries: &[Entry]) -> Self {
        Self {
            traces: entries.len(),
            traces_not_exact: entries.iter().filter(|entry| !entry.exact).count(),
            spans_expected: entries.iter().map(|entry| u64::from(entry.shape.spans)).sum(),
            errors_expected: entries.iter().map(|entry| u64::from(entry.shape.errors)).sum(),
            ..Self::default()
        }
    }

    fn add(&mut self, entry: &Entry, found: &Shape) {
        let lost = entry.shape.missing_from(found);
        if entry.exact {
            self.spans_unexpected += u64::from(found.spans.saturating_sub(entry.shape.spans));
        }
        if lost == Shape::default() {
            return;
        }
        self.traces_missing += usize::from(found.spans == 0);
        self.spans_lost += u64::from(lost.spans);
        self.errors_lost += u64::from(lost.errors);
        for (edge, count) in lost.edges {
            *self.edges_lost.entry(edge).or_default() += u64::from(count);
        }
        let trace_id = entry.trace_id.clone();
        self.incomplete.push(Incomplete { trace_id, expected: entry.shape.spans, found: found.spans });
    }

    /// Whether everything that must be there is there.
    pub fn is_lossless(&self) -> bool {
        self.incomplete.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { traces, traces_missing, spans_expected, spans_lost, errors_expected, errors_lost, .. } = self;
        let complete = traces - self.incomplete.len();
        writeln!(f, "traces   {traces} expected, {complete} complete, {traces_missing} missing")?;
        if self.traces_not_exact > 0 {
            writeln!(f, "         {} of them only known from their beginning on", self.traces_not_exact)?;
        }
        writeln!(f, "spans    {spans_expected} expected, {spans_lost} lost")?;
        if self.spans_unexpected > 0 {
            writeln!(f, "         {} more than expected", self.spans_unexpected)?;
        }
        writeln!(f, "errors   {errors_expected} expected, {errors_lost} lost")?;
        for (edge, count) in &self.edges_lost {
            writeln!(f, "lost     {count:>6} calls {}", visible(edge))?;
        }
        for Incomplete { trace_id, expected, found } in self.incomplete.iter().take(SHOWN) {
            writeln!(f, "trace    {trace_id}: {found} of {expected} spans")?;
        }
        match self.incomplete.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => writeln!(f, "         … and {more} more"),
        }
    }
}
