//! What the tests of several crates need. Only ever a dev-dependency: it panics where something goes wrong, because that
//! is how a test reports.
//!
//! [`Process`] (a program and all that it writes), [`ports`], [`eventually`] (waiting), [`skip`] (what may be missing on
//! a machine), [`http`] (a client), [`raw`] (HTTP as bytes), [`OtlpReceiver`] (counts what exporters send),
//! [`service`] (a service in the process of the test), `browser` (with the feature of that name).

#![allow(clippy::unwrap_used)] // see above

#[cfg(feature = "browser")]
pub mod browser;
pub mod http;
mod otlp;
pub mod ports;
mod process;
pub mod raw;
pub mod service;
pub mod skip;
mod wait;

pub use nix::sys::signal::Signal;

pub use http::Response;
pub use otlp::OtlpReceiver;
pub use ports::NOWHERE;
pub use process::{Finished, Process};
pub use wait::{PATIENCE, eventually};
