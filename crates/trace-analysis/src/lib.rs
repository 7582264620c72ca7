//! What a trace says: who waited for whom, which spans decided the duration, what ran at the same time, what failed
//! and why, and in what another trace differs.
//!
//! The crate knows nothing of where spans come from. A caller makes a [`Span`] of each and a [`Tree`] of all, and then
//!
//! - a [`Report`]: sentence, critical path, groups, errors ([`critical_path`], [`groups`], [`errors`] one by one),
//! - or a [`Comparison`] of two trees.
//!
//! ```
//! use trace_analysis::{Kind, Report, Span, SpanId, Tree};
//!
//! let span = |id, parent: u64, name: &str, start, end| Span {
//!     parent: SpanId::new(parent),
//!     name: name.into(),
//!     service: "shop".into(),
//!     kind: Kind::Internal,
//!     start,
//!     end,
//!     ..Span::new(SpanId(id))
//! };
//! let tree = Tree::new(vec![span(1, 0, "order", 0, 1_000_000), span(2, 1, "pay", 100_000, 900_000)]);
//! let report = Report::of(&tree);
//! assert_eq!(report.sentence, "pay of shop took 80 % of the 1.0 ms.");
//! assert_eq!(report.critical_path[0].name, "pay");
//! ```
//!
//! Times are whole nanoseconds, since 1970 in spans and segments. Clocks are not corrected. Nothing fails: spans that
//! cannot be (that are their own ancestors, have the id of another, or lack their parent) are put where they do no
//! harm, and [`Flags`] counts them. No function calls itself, so that a trace of any depth can be read; all take time
//! in proportion to `n log n`.
//!
//! Reading order: `span`, `tree`, `critical_path`, `groups`, `errors`, `words`, `failure` and `sentence`, `report`;
//! then `matching`, `comparison` and `difference` for two traces.

mod comparison;
mod critical_path;
mod difference;
mod errors;
mod failure;
mod groups;
mod matching;
mod report;
mod sentence;
mod span;
#[cfg(test)]
mod testing;
mod tree;
mod words;

pub use comparison::{Change, Changed, Comparison, OnlyIn, Row};
pub use critical_path::{Path, Segment, Share, critical_path};
pub use errors::{Failure, errors};
pub use groups::{Group, callee, groups, steps};
pub use report::{Flags, Report};
pub use span::{Kind, READ_ATTRIBUTES, Span, SpanId};
pub use tree::Tree;
pub use words::{calls, duration};

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
