//! What the benchmarks share. Each is a program that prints tables; none gives a verdict, only a goal to compare with.
//!
//! Reading order: `settings.rs` (what one can set), `cores.rs` (who runs where), `process.rs` (a real service, and what
//! the operating system says of it), `system.rs` (all three), `bare.rs` (dice-roller without telemetry), `published.rs`
//! (the one with published crates), `sink.rs` and `die.rs` (the services beside it), `load.rs` (the requests), `report.rs`
//! (the tables).

#![allow(dead_code)] // each benchmark uses its own part

pub(crate) mod bare;
pub(crate) mod cores;
pub(crate) mod die;
pub(crate) mod load;
pub(crate) mod process;
pub(crate) mod published;
pub(crate) mod report;
pub(crate) mod settings;
pub(crate) mod sink;
pub(crate) mod system;

use anyhow::Context as _;
use tokio::runtime::Runtime;

/// What the Dockerfile sets: see there.
pub(crate) const SHIPPED_QUEUE: [(&str, &str); 6] = [
    ("OTEL_BSP_MAX_QUEUE_SIZE", "16384"),
    ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "2048"),
    ("OTEL_BSP_SCHEDULE_DELAY", "1000"),
    ("OTEL_BLRP_MAX_QUEUE_SIZE", "16384"),
    ("OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", "2048"),
    ("OTEL_BLRP_SCHEDULE_DELAY", "1000"),
];

/// The runtime of load, stub and sink.
pub(crate) fn runtime(threads: usize) -> anyhow::Result<Runtime> {
    // A thousand connections here are two thousand and more in a service, which inherits this limit.
    raise_file_limit().context("the limit of open files cannot be raised")?;
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()?)
}

fn raise_file_limit() -> nix::Result<()> {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
}

/// The value below which the share `q` (0 to 1) of the sorted `sample` lies; NaN of an empty one.
pub(crate) fn quantile(sorted: &[f64], q: f64) -> f64 {
    let index = (sorted.len() as f64 * q).ceil() as usize;
    sorted.get(index.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

/// `sample` in ascending order.
pub(crate) fn sorted(mut sample: Vec<f64>) -> Vec<f64> {
    sample.sort_by(f64::total_cmp);
    sample
}
