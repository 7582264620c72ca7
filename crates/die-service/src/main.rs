//! The program `die-service`.
use std::process::ExitCode;

/// A request allocates and frees a few hundred times: with this a sixth less processor time than with the C library's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    telemetry::config::start(die_service::run)
}
