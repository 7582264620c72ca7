//! The whole system, from the outside: real processes, real requests, and what they leave behind.
#![allow(clippy::unwrap_used)] // a panic is how a test reports

#[path = "../common/mod.rs"]
mod common;

mod batch;
mod click;
mod launcher;
mod life;
mod metrics;
mod settings;
