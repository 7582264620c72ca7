//! How an HTTP service runs: settings, listening and draining, probes, OpenAPI, typed queries, problem documents,
//! deadlines, circuit breakers. Its spans, metrics and log lines are those of the crate `telemetry`.
//!
//! ```no_run
//! # use utoipa_axum::router::OpenApiRouter;
//! # fn routes() -> OpenApiRouter { OpenApiRouter::default() }
//! use service::{Service, settings::Settings};
//!
//! fn run(settings: Settings) -> anyhow::Result<()> {
//!     let telemetry = telemetry::Telemetry::init("my-service", env!("CARGO_PKG_VERSION"), &settings.telemetry)?;
//!     let service = Service::new(telemetry.handle(), &settings);
//!     telemetry.run(async move {
//!         let listener = service::bind("127.0.0.1", 8080).await?;
//!         let router = service.router(routes(), Default::default());
//!         service.serve(listener, router).await // until SIGTERM; then it drains
//!     }) // spans and log lines are flushed
//! }
//! ```
//!
//! Reading order: `service.rs` (the layers and their order), `problem.rs`, `query.rs` and `deadline.rs` (what a handler
//! returns and takes), `upstream.rs` and `breaker.rs` (requests to other services), `serve.rs` and `probes.rs` (from the
//! first connection to the last), [`settings`].

mod breaker;
mod deadline;
mod probes;
mod problem;
mod query;
mod serve;
mod service;
pub mod settings;
mod upstream;

pub use breaker::BreakerSettings;
pub use deadline::Deadline;
pub use probes::healthcheck;
pub use problem::{Problem, ProblemBody, Problems};
pub use query::{ALLOWED_TEXT, Parameters, Query, fault_of_text};
pub use serve::{bind, stop_signal};
pub use service::Service;
pub use upstream::{Upstream, UpstreamError, get_request};

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
