//! Traces, metrics and logs of an Axum service, with the same ids in all three.
//!
//! ```no_run
//! use axum::{Router, middleware, routing::get};
//! use telemetry::{Telemetry, attributes, settings::Settings};
//!
//! # fn run(settings: Settings) -> anyhow::Result<()> {
//! let telemetry = Telemetry::init("my-service", env!("CARGO_PKG_VERSION"), &settings)?;
//! let handle = telemetry.handle();
//! telemetry.run(async move {
//!     let app = Router::new()
//!         .route("/", get(async || attributes::set("greeting.language", "en")))
//!         .layer(middleware::from_fn_with_state(handle.server(), telemetry::trace));
//!     let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
//!     Ok(axum::serve(listener, app).await?)
//! }) // the runtime is shut down first, then spans, log records and log lines are flushed
//! # }
//! ```
//!
//! Reading order: [`init`] (the providers, the subscriber, the registry), `server.rs` and `client.rs` (the two HTTP
//! spans), `propagation.rs` (how they join into one trace), [`attributes`] (what a handler says about its span),
//! `traces.rs`, `logs.rs` and [`metrics`] (one file a signal), `delivery.rs` (what was exported and what was lost),
//! `hooks.rs` (where a program steps in), [`testing`]. This crate knows HTTP and OpenTelemetry; it does not know what its services are about.

pub mod attributes;
mod client;
mod delivery;
#[cfg(test)]
mod export_tests;
mod hooks;
mod http_attributes;
pub mod init;
mod log_records;
mod log_writer;
mod logs;
pub mod metrics;
mod otlp;
mod propagation;
mod resource;
mod server;
pub mod settings;
pub mod testing;
mod traces;

pub use client::{Client, ClientError, MAX_BODY};
pub use hooks::{Hooks, RequestHook, SpanHook};
pub use init::{Handle, Telemetry};
pub use logs::visible;
pub use opentelemetry_sdk::trace::SpanData;
pub use server::{ErrorDescription, ServerTelemetry, trace};

/// Entry points for the fuzz targets (`fuzz/`); not there in any other build.
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing {
    use crate::propagation::Propagation;
    use crate::settings::PropagatorName;

    /// The headers that a service sends on after receiving `headers`.
    pub fn pass_on(headers: &http::HeaderMap) -> http::HeaderMap {
        let propagation = Propagation::new(&[PropagatorName::Tracecontext, PropagatorName::Baggage], false);
        let mut out = http::HeaderMap::new();
        propagation.inject(&propagation.extract(headers), &mut out);
        out
    }
}

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
