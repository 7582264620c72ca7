//! The processor as its users see it: spans go in, and a client in memory says what left and when.
#![allow(clippy::unwrap_used)] // a panic is how a test reports

mod counts;
mod encoding;
mod requests;
mod retries;
mod support;
