//! The settings of async-performance. Each is a flag and an environment variable; the comments are its `--help`.

use reqwest::Url;
use service::settings::{PortOffset, base_url, within};
use telemetry::settings::LogFormat;

/// Measures rolls one after another against the same number of rolls at once, straight at dice-roller.
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "async-performance", version)]
pub struct Config {
    /// Address of dice-roller; usually http://127.0.0.1:8107
    #[arg(long, env = "DICE_ROLLER_URL", value_parser = base_url)]
    pub dice_roller_url: Option<Url>,

    /// Where the usual addresses are
    #[command(flatten)]
    pub port_offset: PortOffset,

    /// How often to measure both
    #[arg(long, env = "ITERATIONS", default_value_t = 5, value_parser = within(1..=100_000_u32))]
    pub iterations: u32,

    /// Rolls one after another, and rolls in one batch; dice-roller allows its MAX_ASYNC_ROLLS
    #[arg(long, env = "ROLLS", default_value_t = 10, value_parser = within(1..=1000_u32))]
    pub rolls: u32,

    /// The die; one that never fails, or iterations are lost
    #[arg(long, env = "DIE", default_value = "fair")]
    pub die: String,

    /// Address of Tempo, or of the trace viewer; usually http://127.0.0.1:3200. The slowest roll of a batch, and its
    /// timeline, are in its trace
    #[arg(long, env = "TEMPO_URL", value_parser = base_url)]
    pub tempo_url: Option<Url>,

    /// Write the report as one JSON object; the same as LOG_FORMAT=json
    #[arg(long)]
    pub json: bool,

    /// How the report is written
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t = LogFormat::Pretty)]
    pub log_format: LogFormat,
}

impl Config {
    /// Where dice-roller is.
    pub(crate) fn dice_roller(&self) -> anyhow::Result<Url> {
        self.port_offset.url(&self.dice_roller_url, 8107)
    }

    /// Where the traces are.
    pub(crate) fn tempo(&self) -> anyhow::Result<Url> {
        self.port_offset.url(&self.tempo_url, 3200)
    }

    pub(crate) fn json(&self) -> bool {
        self.json || self.log_format == LogFormat::Json
    }
}
