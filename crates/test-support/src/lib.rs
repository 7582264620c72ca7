//! What the tests of several crates need. Only ever a dev-dependency: it panics where something goes wrong, because that
//! is how a test reports.
//!
//! [`Process`] (a program and all that it writes), [`ports`], [`eventually`] (waiting), [`skip`] (what may be missing on
//! a machine), [`http`] (a client), [`raw`] (HTTP as bytes), [`OtlpReceiver`] (counts what exporters send).

#![allow(clippy::unwrap_used, clippy::print_stdout)] // see above; SKIPPED is for whoever runs the tests

pub mod http;
mod otlp;
pub mod ports;
mod process;
pub mod raw;
pub mod skip;
mod wait;

pub use nix::sys::signal::Signal;

pub use http::Response;
pub use otlp::OtlpReceiver;
pub use ports::NOWHERE;
pub use process::{Finished, Process};
pub use wait::{PATIENCE, eventually};
