//! The faults that can be switched: what each shows in a trace, how they are switched, and who may.
#![allow(clippy::unwrap_used)] // a panic is how a test reports

#[path = "../common/mod.rs"]
mod common;
mod signatures;
mod switching;
