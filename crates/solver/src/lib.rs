//! Solves the incidents of `dice mystery` by rules, with what a person has: the traces of the viewer, and `/metrics` of the
//! services. It knows neither how an incident is made nor where its answer is sealed. So a person can solve an
//! incident that it solves; and [`slowest_span`], which blames the slowest span, shows how seldom a guess is right.
//!
//! Reading order: `recording.rs` (what is looked at), `facets.rs` (what the rules count), `rules.rs`, `slowest.rs`.

mod facets;
mod program;
mod recording;
mod rules;
mod slowest;

pub use program::run;
pub use recording::{Observed, Recording, System};
pub use rules::solve;
pub use slowest::slowest_span;

use serde::Serialize;

/// The culprit where nothing is wrong.
pub const NOBODY: &str = "none";

/// The mechanism where nothing is wrong.
pub const HEALTHY: &str = "healthy";

/// An answer, as `dice mystery answer` takes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Conclusion {
    /// A service, or [`NOBODY`].
    pub culprit: String,
    /// What is wrong, or [`HEALTHY`].
    pub mechanism: &'static str,
    /// The id of a trace that shows it.
    pub evidence: String,
}
