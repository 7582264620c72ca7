//! One trace: the spans that share a trace id, and the log records written in them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use crate::ids::{SpanId, TraceId};
use crate::span::{LogRecord, Origin, StoredSpan};
use crate::weight;

/// A trace as far as it has arrived. Readers hold it by `Arc`: when it grows meanwhile, the store changes a copy.
#[derive(Debug, Clone)]
pub(crate) struct Trace {
    pub(crate) id: TraceId,
    pub(crate) spans: BTreeMap<SpanId, Arc<StoredSpan>>,
    pub(crate) logs: Vec<Arc<LogRecord>>,
    /// Spans and log records refused because the trace had its share of the store.
    pub(crate) refused: usize,
    /// Where its spans come from; one may occur more than once.
    pub(crate) origins: Vec<Arc<Origin>>,
    /// Memory of the trace, without `origins`, which it shares with others.
    pub(crate) bytes: usize,
    /// Memory of the origins that were new when they came with this trace.
    pub(crate) brought: usize,
    /// The store's revision when this trace last changed.
    pub(crate) revision: u64,
    /// When something last arrived.
    pub(crate) updated: Instant,
}

impl Trace {
    /// Memory of a trace without spans: itself, its entries in the store, and the first node of its map.
    pub(crate) const EMPTY_BYTES: usize = weight::shared::<Self>() + 64 + 208;

    /// Memory of a span's entry in the map: key and pointer, in nodes that are two thirds full.
    pub(crate) const ENTRY_BYTES: usize = 24;

    pub(crate) fn new(id: TraceId) -> Self {
        Self {
            id,
            spans: BTreeMap::new(),
            logs: Vec::new(),
            refused: 0,
            origins: Vec::new(),
            brought: 0,
            bytes: Self::EMPTY_BYTES,
            revision: 0,
            updated: Instant::now(),
        }
    }

    /// The first start, in nanoseconds since 1970.
    pub(crate) fn start(&self) -> u64 {
        self.spans.values().map(|span| span.start()).min().unwrap_or(0)
    }

    /// Nanoseconds from the first start to the last end.
    pub(crate) fn duration(&self) -> u64 {
        self.spans.values().map(|span| span.end()).max().unwrap_or(0) - self.start()
    }

    /// The span without a parent, once it has arrived; the earliest of several.
    pub(crate) fn root(&self) -> Option<&Arc<StoredSpan>> {
        self.spans.values().filter(|span| span.parent().is_none()).min_by_key(|span| span.start())
    }
}
