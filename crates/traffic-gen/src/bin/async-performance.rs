//! The program `async-performance`.
use std::process::ExitCode;

fn main() -> ExitCode {
    telemetry::config::start(traffic_gen::performance::run)
}
