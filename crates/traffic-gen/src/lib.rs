//! Load and measurement: two programs that are clients of the dice system.
//!
//! [`generate`] is `generate-traffic`, simulated users at the frontend. In reading order: `config` (what one can set),
//! `generate.rs` itself (a run from start to summary), `plan` (who rolls what, a function of the seed), `load` (when: users who
//! think, or a fixed rate), `request` (one request, its span and its log lines), `stop`, `progress`, `summary`.
//! [`manifest`] writes which spans a lossless backend must hold afterwards, and compares.
//!
//! [`performance`] is `async-performance`, ten rolls one after another against ten at once: `config`, `measure`,
//! `statistics`, `trace` (what the spans add to the measurement), `report`.
//!
//! Both use `http`. Traces are read by the crate `tempo-client`.

pub mod generate;
mod http;
pub mod manifest;
pub mod performance;
