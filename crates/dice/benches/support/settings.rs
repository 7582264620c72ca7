//! What one can set of every benchmark: `cargo bench --bench tax -- --rounds 9`, or the environment for all at once.

use std::time::Duration;

use clap::builder::FalseyValueParser;
use service::settings::within;

/// The settings of a benchmark. Each has its own defaults, chosen so that its numbers are worth printing.
#[derive(Debug, Clone, clap::Parser)]
pub(crate) struct Settings {
    /// Seconds of each measurement
    #[arg(long, env = "BENCH_SECONDS", value_parser = within(1..=600_u64))]
    seconds: Option<u64>,

    /// How often each measurement is repeated, where it is
    #[arg(long, env = "BENCH_ROUNDS", value_parser = within(1..=1000_usize))]
    rounds: Option<usize>,

    /// Print JSON instead of tables
    #[arg(long, env = "BENCH_JSON", action = clap::ArgAction::SetTrue, value_parser = FalseyValueParser::new())]
    pub(crate) json: bool,

    /// What cargo adds
    #[arg(long, hide = true)]
    bench: bool,
}

impl Settings {
    /// How long each measurement takes.
    pub(crate) fn time(&self, default: u64) -> Duration {
        Duration::from_secs(self.seconds.unwrap_or(default))
    }

    pub(crate) fn rounds(&self, default: usize) -> usize {
        self.rounds.unwrap_or(default)
    }
}
