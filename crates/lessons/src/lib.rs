//! `dice learn`: exercises about traces, graded on what the learner's program does.
//!
//! A lesson is a folder of `lessons/`. Its `setup` says what a run needs, with values that differ each time; [`Run::of`]
//! starts the program, gives it an OTLP receiver and an upstream, and holds the spans that arrive against the requests
//! that the upstream saw. Nothing reads the learner's source. `tests/proof.rs` proves every lesson.
//!
//! Reading order: `learn` (the whole of it), `config`, `lesson`, `checkout` (the learner's files), `compile`; `setup`, `run`,
//! `receive`, `upstream`, `output`, `steps` (one run and its check); `screen`, `viewer`, `progress`.

mod checkout;
mod compile;
mod config;
mod learn;
mod lesson;
mod output;
mod progress;
mod receive;
mod run;
mod screen;
mod setup;
mod steps;
mod upstream;
mod viewer;

pub use config::Config;
pub use learn::learn;
pub use lesson::Lesson;
pub use output::Output;
pub use run::{Interrupted, Program, Run};
pub use screen::wrapped;
pub use setup::{Random, Setup};
pub use steps::{Failed, Steps};
pub use upstream::{Reply, Request};
