//! The system when things go wrong: real processes that are killed, stopped, cut off and flooded under traffic. After
//! each fault the clients' own counts are compared with responses, metrics, log lines and spans.
//!
//! The figures of `docs/RELIABILITY.md` are what these tests print: `cargo test -p dice --test resilience --
//! --nocapture`. With `LONG=1` each fault of the telemetry lasts a minute, and each service gets 100,000 generated
//! requests.
//!
//! Faults: `upstreams.rs` (killed, stopped, cut off, started in any order), `export.rs` and `stdout.rs` (nobody takes
//! the telemetry), `stop.rs` (SIGTERM under load), `limits.rs` (too much at once), `hostile.rs` and `context.rs` (what no
//! client would send), `specifications.rs` (files of dice), `generated.rs` (everything that the OpenAPI description
//! allows, and more). Tools: `services.rs` (all three services), `load.rs` (traffic), `proxy.rs` (a connection that
//! fails), `test-support`.
#![allow(clippy::unwrap_used)] // a panic is how a test reports

#[path = "../common/mod.rs"]
mod common;

mod context;
mod export;
mod generated;
mod hostile;
mod limits;
mod load;
mod proxy;
mod services;
mod specifications;
mod stdout;
mod stop;
mod upstreams;

use std::time::Duration;

/// A bound for a time: `alone` on a machine that does nothing else, and more on a busy one, where `baseline`, a time of
/// the same run without the fault, is longer too.
fn bound(alone: Duration, baseline: Duration) -> Duration {
    alone.max(20 * baseline)
}

/// A figure for `docs/RELIABILITY.md`.
fn figure(text: &str) {
    eprintln!("figure: {text}");
}

/// Whether `LONG=1` is set, for the full times.
#[allow(clippy::disallowed_methods)] // a setting of the tests, not of a service
fn long() -> bool {
    std::env::var("LONG").is_ok_and(|value| value == "1")
}
