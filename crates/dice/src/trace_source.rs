//! Where the traces of `dice show` and `dice compare` come from: a file, or a backend that has the trace of an id.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use reqwest::Url;
use service::settings::{PortOffset, base_url};
use tempo_client::{Client, Trace, read_file};
use trace_analysis::Tree;

/// A response takes no longer than this.
const LIMIT: Duration = Duration::from_secs(10);

/// Where ids are looked up.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct Backend {
    /// Backend with Tempo's query API that has the trace of an id; by default the trace viewer of this machine
    #[arg(long, env = "TEMPO_URL", value_parser = base_url)]
    tempo_url: Option<Url>,

    #[command(flatten)]
    port_offset: PortOffset,
}

impl Backend {
    /// The trace of a file or an id, as a tree.
    pub(crate) fn read(&self, file_or_id: &str) -> anyhow::Result<Tree> {
        Ok(self.read_all(file_or_id)?.analysed())
    }

    /// The trace of a file or an id.
    pub(crate) fn read_all(&self, file_or_id: &str) -> anyhow::Result<Trace> {
        let path = Path::new(file_or_id);
        let shown = file_or_id.escape_debug();
        let is_id = (1..=32).contains(&file_or_id.len()) && file_or_id.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !path.exists() && is_id {
            return self.fetch(&file_or_id.to_ascii_lowercase());
        }
        ensure!(path.exists(), "{shown} is neither a file nor a trace id (up to 32 hex digits)");
        let traces = read_file(path).with_context(|| shown.to_string())?;
        let count = traces.len();
        let Some(largest) = traces.into_iter().next() else { bail!("{shown}: it has no spans") };
        if count > 1 {
            let id = largest.spans.first().map(|span| span.trace_id.as_str()).unwrap_or_default();
            eprintln!("{shown} has {count} traces; this is the one with the most spans, {id}");
        }
        Ok(largest)
    }

    fn fetch(&self, id: &str) -> anyhow::Result<Trace> {
        let base = self.port_offset.url(&self.tempo_url, 3200)?;
        // One TLS implementation for every client of the process; a second call changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().timeout(LIMIT).build().context("no HTTP client")?;
        let client = Client { http, base: base.clone() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let trace: Trace = runtime.block_on(client.trace(id))?;
        ensure!(!trace.spans.is_empty(), "no trace {id} at {base} (TEMPO_URL)");
        Ok(trace)
    }
}
