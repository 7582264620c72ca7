//! Statements about the shape of a trace: parents, cardinality, overlap, concurrency, sequence, durations relative to
//! each other, attributes, status, links, log lines.
//!
//! ```
//! use trace_check::{Details, Span, SpanId, Trace};
//!
//! let span = |id, parent, name: &str, start, end| {
//!     let span = Span { parent: SpanId::new(parent), name: name.into(), start, end, ..Span::new(SpanId(id)) };
//!     (span, Details::default())
//! };
//! let trace = Trace::new([span(1, 0, "batch", 0, 100), span(2, 1, "roll_0", 10, 90), span(3, 1, "roll_1", 20, 80)]);
//!
//! // Panics with the bars at the first statement that does not hold: for tests.
//! trace.span("batch").children("roll_*").count(2).all_overlap();
//! trace.whole().no_open_spans().one_root();
//!
//! // Collects all that do not hold: for graders and tools.
//! let report = trace.check(|trace| {
//!     trace.span("roll_*").one_after_another();
//! });
//! assert_eq!(report.unwrap_err().statements(), ["one_after_another"]);
//! ```
//!
//! Spans come from memory ([`Trace::from_memory`]), a file of OTLP/JSON ([`Trace::from_file`]), or the query API
//! that Tempo and the trace viewer have (`Trace::from` a [`tempo_client::Trace`]).
//!
//! No statement compares with an absolute time, so that a busy machine makes none fail. Where two spans touch, as
//! sequential ones may by some microseconds, a statement gets the benefit of the doubt.
//!
//! In names `*` stands for any text. Statements about spans that are not there fail, except [`Selection::absent`] and
//! [`Selection::count`].
//!
//! Reading order: `trace`, `selection`, `timing`, `content`, `whole`, `failure`, `bars`, `sources`.

mod bars;
mod content;
mod failure;
mod selection;
mod sources;
mod timing;
mod trace;
mod whole;

pub use content::Type;
pub use failure::{Failure, Report};
pub use selection::{Bounds, Selection};
pub use tempo_client::FileError;
pub use timing::Length;
pub use trace::{Details, Link, Trace};
pub use trace_analysis::{Kind, Span, SpanId};
pub use whole::Whole;

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
