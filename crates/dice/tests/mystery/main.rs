//! `dice mystery`, from the outside: the real system with a fault in it, and who finds out.
#![allow(clippy::unwrap_used)] // a panic is how a test reports

#[path = "../common/mod.rs"]
mod common;

mod answer;
mod play;
mod sealed;
mod solved;
