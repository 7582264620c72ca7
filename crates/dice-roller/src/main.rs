//! The program `dice-roller`.
use std::process::ExitCode;

fn main() -> ExitCode {
    telemetry::config::start(dice_roller::run)
}
