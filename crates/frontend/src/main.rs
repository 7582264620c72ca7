//! The program `frontend`.
use std::process::ExitCode;

fn main() -> ExitCode {
    telemetry::config::start(frontend::run)
}
