//! The program `die-service`.
use std::process::ExitCode;

/// Cheaper for many small allocations than the allocator of the C library.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    service::settings::start(die_service::run)
}
