//! The program `generate-traffic`.
use std::process::ExitCode;

fn main() -> ExitCode {
    telemetry::config::start(traffic_gen::generate::run)
}
