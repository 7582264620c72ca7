//! The manifest: what a lossless trace backend must hold after a run, and the comparison with what it holds.
//!
//! One JSON object a line, one line a trace. Nothing in it was read from a backend: `expected` works it out from each
//! request and its response, because the shape of a trace is part of the system's contract. So the system is a
//! measuring source for any tracing pipeline: make traffic through it, then `generate-traffic verify`.

mod compare;
mod expected;
mod shape;

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use reqwest::Url;
use serde::{Deserialize, Serialize};
use service::settings::{PortOffset, base_url, within};

use crate::generate::Outcome;

pub use compare::{Incomplete, Report, compare};
use shape::Shape;

/// The settings of `generate-traffic verify`.
#[derive(Debug, Clone, clap::Args)]
pub struct Config {
    /// The manifest that a run has written
    #[arg(long, env = "MANIFEST")]
    pub manifest: PathBuf,

    /// Address of Tempo, or of the trace viewer; usually http://127.0.0.1:3200
    #[arg(long, env = "TEMPO_URL", value_parser = base_url)]
    pub tempo_url: Option<Url>,

    /// Where the usual address is
    #[command(flatten)]
    pub port_offset: PortOffset,

    /// Seconds within which spans that are still under way may arrive
    #[arg(long, env = "WAIT", default_value_t = 15.0, value_parser = within(0.0..=3600.0))]
    pub wait: f64,

    /// Write the report as one JSON object
    #[arg(long)]
    pub json: bool,
}

/// One line: a trace, and what must be there of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    /// 32 hex digits.
    trace_id: String,
    /// Whether the response shows the whole shape. Otherwise (no response, or one that does not show how far the request
    /// came) `shape` is what must be there at least.
    exact: bool,
    /// What must be there.
    #[serde(flatten)]
    shape: Shape,
}

const UNWRITTEN: &str = "MANIFEST: the file cannot be written";

/// A manifest that is being written.
pub(crate) struct Manifest {
    file: BufWriter<File>,
    own_name: String,
}

impl Manifest {
    /// Creates the file, before any request is made. `own_name` is the service name of the generator's own spans.
    ///
    /// # Errors
    /// When it cannot be created.
    pub(crate) fn create(path: &Path, own_name: &str) -> anyhow::Result<Self> {
        let file = File::create(path).with_context(|| format!("MANIFEST: cannot create {}", path.display()))?;
        Ok(Self { file: BufWriter::new(file), own_name: own_name.to_owned() })
    }

    /// Writes down what `outcome` must have left in the backend.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn add(&mut self, outcome: &Outcome) -> anyhow::Result<()> {
        let Some(trace_id) = outcome.trace_id.clone() else { return Ok(()) };
        let (exact, shape) = expected::expected(&self.own_name, outcome);
        let line = serde_json::to_string(&Entry { trace_id, exact, shape })?;
        writeln!(self.file, "{line}").context(UNWRITTEN)
    }

    /// Writes what is still in memory.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn finish(mut self) -> anyhow::Result<()> {
        self.file.flush().context(UNWRITTEN)
    }
}

/// Reads a manifest.
///
/// # Errors
/// With file and line, when it cannot be read or is no manifest.
fn read(path: &Path) -> anyhow::Result<Vec<Entry>> {
    let file = File::open(path).with_context(|| format!("manifest {}", path.display()))?;
    let entry = |(index, line): (usize, std::io::Result<String>)| {
        let place = || format!("manifest {}, line {}", path.display(), index + 1);
        serde_json::from_str(&line.with_context(place)?).with_context(place)
    };
    BufReader::new(file).lines().enumerate().map(entry).collect()
}

/// Compares, and prints what was lost.
///
/// # Errors
/// When anything was lost, or the comparison could not be made.
pub(crate) fn verify(config: &Config) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let wait = Duration::from_secs_f64(config.wait);
    let tempo = config.port_offset.url(&config.tempo_url, 3200)?;
    let report = runtime.block_on(compare(&config.manifest, &tempo, wait))?;
    let mut stdout = std::io::stdout().lock();
    if config.json {
        writeln!(stdout, "{}", serde_json::to_string(&report)?)?;
    } else {
        write!(stdout, "{report}")?;
    }
    if !report.is_lossless() {
        bail!("{} of {} expected spans were lost", report.spans_lost, report.spans_expected);
    }
    Ok(())
}
