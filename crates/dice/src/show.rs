//! `dice show`: a trace in the terminal.

use std::process::ExitCode;

use trace_analysis::Report;

use crate::terminal::{Style, log_lines, print, sentence, waterfall};
use crate::trace_source::Backend;

/// Shows a trace: what it says in one to three sentences, its waterfall, and the log lines that a file has beside it.
///
/// Filled parts of bars (█) are the critical path: the spans that decided the duration.
#[derive(Debug, clap::Args)]
pub(crate) struct Config {
    /// A file of OTLP/JSON (such as the viewer's download), or a trace id
    #[arg(value_name = "FILE|ID")]
    trace: String,

    /// Write one JSON object: sentence, duration_seconds, critical_path, groups, errors, flags
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    backend: Backend,

    /// No colours, even on a terminal (see no-color.org: any value counts)
    #[arg(long, env = "NO_COLOR", num_args = 0, default_missing_value = "1", hide_env_values = true)]
    no_color: Option<String>,
}

/// Exit status 0, or 2 where there is no trace to read.
pub(crate) fn run(config: &Config) -> ExitCode {
    let trace = match config.backend.read_all(&config.trace) {
        Ok(trace) => trace,
        Err(error) => return not_readable(&error),
    };
    let tree = trace.analysed();
    let report = Report::of(&tree);
    if config.json {
        return print_json(&report);
    }
    let style = Style::of_stdout(config.no_color.as_ref());
    let lines = log_lines(&trace, style);
    print(&format!("{}\n{}{lines}", sentence(&report.sentence), waterfall(&tree, &report, style)));
    ExitCode::SUCCESS
}

/// One line on stderr.
pub(crate) fn not_readable(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {}", telemetry::visible(&format!("{error:#}")));
    ExitCode::from(2)
}

pub(crate) fn print_json(value: &impl serde::Serialize) -> ExitCode {
    match serde_json::to_string(value) {
        Ok(json) => {
            print(&format!("{json}\n"));
            ExitCode::SUCCESS
        }
        Err(error) => not_readable(&error.into()),
    }
}
