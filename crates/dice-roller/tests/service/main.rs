//! dice-roller from the outside: the real app on port 0.
#![allow(clippy::unwrap_used)] // a panic is how a test reports

mod answers;
mod common;
mod die_service_fails;
mod seed;
