//! `dice doctor` against the running system, whole and with each hop broken in turn, which it has to name.
//!
//! Services and trace viewer are the real ones, in processes of their own (`parts.rs`, `system.rs`), and so is
//! Prometheus (`stack.rs`); without it on the PATH (Debian: `apt-get install prometheus`) those tests
//! say SKIPPED, or fail with `REQUIRE_PROMETHEUS=1`. For Loki (`loki.rs`), Grafana (`grafana.rs`), the collector's health
//! and Tempo's span metrics (`small.rs`) there are stand-ins here with the same API, which say so in
//! their responses, and so does the one for Docker. Loki's is fed by the services, over OTLP; Grafana's is provisioned with the files of this
//! repository, and queries the real Prometheus, the viewer, and Loki's stand-in.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // a panic is how a test reports; SKIPPED is for whoever runs it

#[path = "../common/mod.rs"]
mod common;

mod grafana;
mod loki;
mod parts;
mod server;
mod small;
mod stack;
mod system;
