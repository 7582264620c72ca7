//! The program `die-service`.
use std::process::ExitCode;

fn main() -> ExitCode {
    telemetry::config::start(die_service::run)
}
