//! The settings of `dice learn`.

use std::path::PathBuf;

use reqwest::Url;
use service::settings::{PortOffset, base_url, within};

/// Lists the lessons with your progress; with a number, shows that lesson and checks your program.
///
/// The exercise is copied to a file of yours in `learning/src/bin`, built, run for 30 s at most, and judged by the spans
/// that it sends. Exit status: 0 passed, 1 not yet, 2 does not compile, or no lesson.
#[derive(Debug, clap::Args)]
pub struct Config {
    /// Number or name of a lesson, such as `3`
    pub(crate) lesson: Option<String>,

    /// Check this program instead of your file; your progress stays as it is
    #[arg(long, value_name = "PATH", requires = "lesson")]
    pub(crate) file: Option<PathBuf>,

    /// Begin again: your file gets the exercise as it was, and is kept beside it as `….rs.old`
    #[arg(long, requires = "lesson", conflicts_with = "file")]
    pub(crate) reset: bool,

    /// Show all hints, not only the first
    #[arg(long, requires = "lesson")]
    pub(crate) hint: bool,

    /// The trace viewer that compares your trace with the reference; by default the one of this machine
    #[arg(long, env = "TEMPO_URL", value_parser = base_url)]
    pub(crate) tempo_url: Option<Url>,

    /// Where that viewer receives spans (OTLP over HTTP)
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_parser = base_url)]
    pub(crate) otel_exporter_otlp_endpoint: Option<Url>,

    #[command(flatten)]
    pub(crate) port_offset: PortOffset,

    /// Seconds that the program may take
    #[arg(long, hide = true, default_value_t = 30, value_parser = within(1..=600_u64))]
    pub(crate) limit_seconds: u64,

    /// The cargo that builds it: the one that runs this program, if any does
    #[arg(long, env = "CARGO", hide = true, default_value = "cargo")]
    pub(crate) cargo: PathBuf,
}
