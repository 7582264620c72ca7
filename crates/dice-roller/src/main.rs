//! The program `dice-roller`.
use std::process::ExitCode;

/// A sixth less processor time a request than with the C library's allocator (docs/PERFORMANCE.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    telemetry::config::start(dice_roller::run)
}
