//! An embedded trace backend: it receives spans by OTLP and serves Tempo's query API and HTML pages.
//!
//! It needs no disk, no account and no other program, so that `cargo run` can show a trace. Traces are kept in a fixed
//! amount of memory; the oldest are dropped first.
//!
//! Reading order, which is also the way of a span:
//!
//! 1. `config`: the settings; `run`: the process from start to stop.
//! 2. `serve` accepts connections. `ingest` receives OTLP over HTTP and `grpc` over gRPC, from senders that `origin`
//!    admits; `receive` has what follows: `body` reads the request within limits, `json` rewrites OTLP/JSON as protobuf,
//!    `check` counts what is in it (both by the table in `schema`), `decode` makes spans of it, by `wire`, and `chunk`
//!    hands them to the store.
//! 3. `store` keeps the spans: `trace` is one trace, `span` one span, `attributes` its attributes, `ids` its ids. `texts`
//!    and `origins` hold what repeats once, `shares` counts what traces share, `weight` knows what a heap block takes.
//! 4. `analysis` hands a trace to the crate `trace-analysis`: critical path, groups, errors, sentence, comparison.
//! 5. `app` has the routes of the page and query port: `page` serves the HTML pages; `list`, `view`, `find`,
//!    `compare_view` and `map` make the JSON that they draw, with names that `short` cuts. `sending` bounds the memory of
//!    responses.
//! 6. `query` is Tempo's API: `search` and `traceql` find traces, `tags` lists attributes, `trace_json` and
//!    `trace_protobuf` write whole traces. `mcp` has tools for language models.

mod analysis;
mod app;
mod attributes;
mod body;
mod by_start;
mod check;
mod chunk;
mod compare_view;
mod config;
mod decode;
mod find;
mod glossary;
mod grpc;
mod ids;
mod ingest;
mod json;
mod list;
mod log;
mod long_head;
mod map;
mod mcp;
mod origin;
mod origins;
#[cfg(test)]
mod otlp_tests;
mod page;
mod query;
mod receive;
mod run;
mod schema;
mod search;
mod sending;
mod serve;
mod shares;
mod short;
mod span;
mod store;
mod tags;
mod texts;
mod trace;
mod trace_json;
mod trace_protobuf;
mod traceql;
mod view;
mod weight;
mod wire;

pub use config::Config;
pub use run::run;

/// Entry points for the fuzz targets (`fuzz/`); not there in any other build.
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing {
    use crate::store::{Limits, Store};

    /// The OTLP receiver, and the pages and queries over the same store.
    pub fn apps() -> (axum::Router, axum::Router) {
        let store = std::sync::Arc::new(Store::new(Limits { spans: 1000, bytes: 1 << 20 }));
        let receiver = crate::receive::Receiver::new(store.clone());
        let pool = crate::query::QueryPool::new(std::time::Duration::from_secs(5));
        (crate::ingest::app(receiver, [].into()), crate::app::app(store, pool))
    }
}
