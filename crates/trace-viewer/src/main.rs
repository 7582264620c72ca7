//! The program `trace-viewer`.
use std::process::ExitCode;

fn main() -> ExitCode {
    service::settings::start(trace_viewer::run)
}
