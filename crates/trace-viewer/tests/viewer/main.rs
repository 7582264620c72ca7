//! The viewer as a process of its own, on free ports, asked over HTTP.
//!
//! `tempo.rs` holds what Tempo 3 was recorded to answer. With `TEMPO_URL` and `TEMPO_OTLP_URL` set, those tests ask a
//! real Tempo instead.

mod ingest;
mod life;
mod limits;
mod pages;
mod search;
mod support;
mod tempo;
