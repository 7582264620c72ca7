//! The whole system, from the outside: real processes, real requests, and what leaves them.
#![allow(clippy::unwrap_used)] // a panic is how a test reports

#[path = "../common/mod.rs"]
mod common;

mod batch;
mod click;
mod interruptions;
mod launcher;
mod metrics;
mod settings;
