//! The whole system, from the outside: real processes, real requests, and what leaves them.
#![allow(clippy::unwrap_used)] // a panic is how a test reports

#[path = "../common/mod.rs"]
mod common;
#[allow(dead_code)] // a part of it
#[path = "../signals/page.rs"]
mod page;

mod batch;
mod click;
mod interruptions;
mod launcher;
mod launcher_ends;
mod launcher_settings;
mod metrics;
mod otel_variables;
mod readable;
mod settings;
