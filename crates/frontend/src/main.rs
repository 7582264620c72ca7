//! The program `frontend`.
use std::process::ExitCode;

/// A sixth less processor time a request than with the C library's allocator (docs/PERFORMANCE.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    telemetry::config::start(frontend::run)
}
