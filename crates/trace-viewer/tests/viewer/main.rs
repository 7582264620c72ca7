//! The viewer as a process of its own, on free ports, used over HTTP.
//!
//! `tempo.rs` has responses recorded from Tempo 3. With `TEMPO_URL` and `TEMPO_OTLP_URL` set, those tests use a
//! real Tempo instead.

mod attacks;
mod compare;
mod details;
mod grafana;
mod grpc;
mod hosts;
mod ingest;
mod limits;
mod list;
mod map;
mod mcp;
mod pages;
mod python;
mod query_cost;
mod responses;
mod search;
mod startup;
mod support;
mod tempo;
