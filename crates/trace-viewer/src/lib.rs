//! An embedded trace backend: spans come in by OTLP, Tempo's query API and a waterfall page go out.
//!
//! It needs no disk, no account and no other program, so that `cargo run` can show a trace. It keeps what fits into
//! a fixed amount of memory and forgets the oldest traces first.
//!
//! The journey of a span, which is also a reading order:
//!
//! 1. [`config`]: the settings; [`run()`]: the life of the process.
//! 2. `ingest` receives OTLP over HTTP, with `body` reading what was sent within limits.
//! 3. `store` keeps it: `trace` is one trace, `weight` says how much memory a span takes, `ids` names things.
//! 4. `tree` finds who called whom; `analysis` finds what ran at the same time; `critical_path` finds what decided
//!    the end; `sentence` says it in words.
//! 5. `app` is all that the page and query port answers: `page` serves the HTML pages and `view` the JSON that they draw.
//! 6. `query` answers Tempo's API: `search` and `traceql` find traces, `tags` lists attributes, `tempo_json` writes
//!    JSON as Tempo does.

mod analysis;
mod app;
mod attributes;
mod body;
pub mod config;
mod critical_path;
mod ids;
mod ingest;
mod log;
mod page;
mod query;
mod run;
mod search;
mod sentence;
mod store;
mod tags;
mod tempo_json;
mod trace;
mod traceql;
mod tree;
mod view;
mod weight;

pub use config::Config;
pub use run::run;

/// What the fuzz targets call (`fuzz/`); not there in any other build.
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing {
    use crate::store::{Limits, Store};

    /// The receiver, and the pages that show what it took.
    pub fn apps() -> (axum::Router, axum::Router) {
        let store = std::sync::Arc::new(Store::new(Limits { spans: 1000, bytes: 1 << 20 }));
        (crate::ingest::app(store.clone()), crate::app::app(store))
    }
}
