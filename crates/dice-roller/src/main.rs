//! The program `dice-roller`.
use std::process::ExitCode;

/// Cheaper for many small allocations than the allocator of the C library.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    service::settings::start(dice_roller::run)
}
