//! The whole system, from the outside: real processes, real requests, and what they leave behind.

#[path = "../common/mod.rs"]
mod common;

mod click;
mod launcher;
mod life;
mod metrics;
mod settings;
