//! `dice mystery`: incidents with a sealed answer. The launcher starts a system with traffic, and after some healthy
//! traces switches on exactly one fault, or none; a person finds out which from traces, metrics and log lines.
//!
//! Reading order: `mechanisms.rs` (what can be wrong, and how a trace shows it), `statements.rs`, `decoys.rs` (what looks
//! odd and is harmless), `plan.rs` (which incident a seed means), `state.rs` (what is kept between launcher and
//! `answer`), `viewer.rs`, `verdict.rs` (what an answer is worth), `score.rs`.
//!
//! The answer is sealed against accidents only: this source, and the program that it makes, know it.

mod decoys;
mod mechanisms;
mod plan;
mod score;
mod state;
mod statements;
mod verdict;
mod viewer;

pub use decoys::{Decoy, Setup};
pub use mechanisms::{Mechanism, NOBODY, SERVICES, mechanisms};
pub use plan::{Incident, LEVELS};
pub use score::{MOST_POINTS, Score};
pub use state::{FOLDER, Files, Lock, Running};
pub use verdict::{Answer, Correct, Evidence, Verdict};
pub use viewer::{Held, Viewer};
