//! One trace: the spans that share a trace id, and the log records written in them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use crate::by_start::{ByStart, Position, Services};
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
    /// The entry that the index has.
    pub(crate) indexed: Option<(Position, Services)>,
    /// The services of its spans.
    pub(crate) services: Services,
    pub(crate) extent: Extent,
    /// Memory of its largest span.
    pub(crate) largest: usize,
    /// Memory of the trace, without `origins`, which it shares with others.
    pub(crate) bytes: usize,
    /// Memory of the origins that were new when they came with this trace.
    pub(crate) brought: usize,
    /// The store's revision when this trace last changed.
    pub(crate) revision: u64,
    /// When something last arrived.
    pub(crate) updated: Instant,
}

/// Spans of one resource: those of each scope, by start. None is empty.
pub(crate) type Group<'a> = Vec<Vec<&'a StoredSpan>>;

/// First start, last end and earliest root span of the spans so far: a query reads them of each trace.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extent {
    start: u64,
    end: u64,
    root: Option<(u64, SpanId)>,
}

impl Extent {
    /// To be called for each span that is added.
    pub(crate) fn note(&mut self, span: &StoredSpan) {
        self.start = self.start.min(span.start());
        self.end = self.end.max(span.end());
        if span.parent().is_none() {
            let this = (span.start(), span.id);
            self.root = Some(self.root.map_or(this, |root| root.min(this)));
        }
    }
}

impl Trace {
    /// Memory of a trace without spans: itself, its entries in the store, and the first node of its map.
    pub(crate) const EMPTY_BYTES: usize = weight::shared::<Self>() + 64 + 208 + ByStart::ENTRY_BYTES;

    /// Memory of a span's entry in the map: key and pointer, in nodes that are two thirds full.
    pub(crate) const ENTRY_BYTES: usize = 24;

    pub(crate) fn new(id: TraceId) -> Self {
        Self {
            id,
            spans: BTreeMap::new(),
            logs: Vec::new(),
            refused: 0,
            origins: Vec::new(),
            indexed: None,
            services: Services::default(),
            extent: Extent { start: u64::MAX, end: 0, root: None },
            largest: 0,
            brought: 0,
            bytes: Self::EMPTY_BYTES,
            revision: 0,
            updated: Instant::now(),
        }
    }

    /// Its entry in the index; none while it has no span.
    pub(crate) fn entry(&self) -> Option<(Position, Services)> {
        (!self.spans.is_empty()).then_some((Position { start: self.extent.start, id: self.id }, self.services))
    }

    /// The spans by resource and scope. Those that repeat are held once, so that the same ones have the same address.
    pub(crate) fn groups(&self) -> Vec<Group<'_>> {
        let mut spans: Vec<&StoredSpan> = self.spans.values().map(|span| &**span).collect();
        spans.sort_by_key(|span| span.start());
        let (mut resources, mut scopes) = (HashMap::new(), HashMap::new());
        let mut groups = Vec::<Group<'_>>::new();
        for span in spans {
            let resource = *resources.entry(Arc::as_ptr(&span.origin.resource).addr()).or_insert_with(|| {
                groups.push(Vec::new());
                groups.len() - 1
            });
            let scope = *scopes.entry(Arc::as_ptr(&span.origin).addr()).or_insert_with(|| {
                groups[resource].push(Vec::new());
                groups[resource].len() - 1
            });
            groups[resource][scope].push(span);
        }
        groups
    }

    /// The first start, in nanoseconds since 1970.
    pub(crate) fn start(&self) -> u64 {
        if self.spans.is_empty() { 0 } else { self.extent.start }
    }

    /// Nanoseconds from the first start to the last end.
    pub(crate) fn duration(&self) -> u64 {
        self.extent.end.saturating_sub(self.extent.start)
    }

    /// The span without a parent, once it has arrived; the earliest of several.
    pub(crate) fn root(&self) -> Option<&Arc<StoredSpan>> {
        self.spans.get(&self.extent.root?.1)
    }
}
