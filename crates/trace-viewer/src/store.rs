//! The store: recent traces in a fixed amount of memory. When it is full, the oldest whole traces are dropped.

use std::collections::btree_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use tracing::warn;

use crate::ids::TraceId;
use crate::log::LogLimit;
use crate::shares::{self, Shares};
use crate::span::{LogRecord, StoredSpan};
use crate::trace::Trace;

/// What the store may hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) spans: usize,
    pub(crate) bytes: usize,
}

/// Spans or log records of one message that belong to the same trace.
pub(crate) struct Batch {
    pub(crate) trace: TraceId,
    /// All of the same origin.
    pub(crate) spans: Vec<StoredSpan>,
    pub(crate) logs: Vec<LogRecord>,
}

/// How full the store is.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Level {
    pub(crate) traces: usize,
    pub(crate) spans: usize,
    pub(crate) bytes: usize,
    /// Traces dropped since the start.
    pub(crate) evicted: u64,
    /// Counts the changes.
    pub(crate) revision: u64,
}

/// Recent traces; shared by ingest and queries.
pub(crate) struct Store {
    limits: Limits,
    kept: RwLock<Kept>,
    warnings: LogLimit,
    /// Nanoseconds since 1970 when the store was created, by which a page notices that the viewer was restarted.
    pub(crate) created: u128,
}

#[derive(Default)]
struct Kept {
    traces: HashMap<TraceId, Arc<Trace>>,
    /// The oldest first, by the arrival of the first span or log record.
    order: VecDeque<TraceId>,
    shares: Shares,
    level: Level,
}

impl Store {
    pub(crate) fn new(limits: Limits) -> Self {
        let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_nanos());
        Self { limits, kept: RwLock::default(), warnings: LogLimit::default(), created }
    }

    /// Adds the batches of one message and returns how many spans or log records were refused.
    ///
    /// One trace gets at most half of the store, so that an endless one does not evict all others.
    pub(crate) fn add(&self, batches: Vec<Batch>) -> usize {
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        let before = kept.level;
        let refused = batches.into_iter().map(|batch| kept.add(batch, self.limits)).sum();
        let level = kept.level;
        drop(kept);
        let evicted = level.evicted - before.evicted;
        if evicted > 0
            && let Some(held_back) = self.warnings.due()
        {
            warn!(evicted, traces = level.traces, held_back, "Store is full: the oldest traces were dropped");
        }
        refused
    }

    /// The trace with this id, unless it has only log records so far.
    pub(crate) fn get(&self, id: TraceId) -> Option<Arc<Trace>> {
        self.read().traces.get(&id).filter(|trace| !trace.spans.is_empty()).cloned()
    }

    /// The latest `count` traces, the newest first.
    pub(crate) fn latest(&self, count: usize) -> Vec<Arc<Trace>> {
        let kept = self.read();
        let newest_first = kept.order.iter().rev().filter_map(|id| kept.traces.get(id));
        newest_first.filter(|trace| !trace.spans.is_empty()).take(count).cloned().collect()
    }

    pub(crate) fn level(&self) -> Level {
        self.read().level
    }

    /// After a panic in `add` a batch may be half added; the store stays usable.
    fn read(&self) -> RwLockReadGuard<'_, Kept> {
        self.kept.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn add(&mut self, batch: Batch, limits: Limits) -> usize {
        let Batch { trace: id, spans, logs } = batch;
        let entry = self.traces.entry(id).or_insert_with(|| {
            self.order.push_back(id);
            self.level.traces += 1;
            self.level.bytes += Trace::EMPTY_BYTES;
            Arc::new(Trace::new(id))
        });
        let trace = Arc::make_mut(entry);
        let before = (trace.spans.len(), trace.bytes + trace.brought, trace.refused);
        self.level.revision += 1;
        trace.revision = self.level.revision;
        trace.updated = Instant::now();

        for span in spans {
            let weight = span.weight as usize + Trace::ENTRY_BYTES;
            let fits = trace.spans.len() < limits.spans / 2
                && trace.bytes + trace.brought + weight + span.origin.bytes() <= limits.bytes / 2;
            match trace.spans.entry(span.id) {
                // Sent again by an exporter that got no response.
                Entry::Occupied(_) => {}
                Entry::Vacant(entry) if fits => {
                    if !trace.origins.last().is_some_and(|last| Arc::ptr_eq(last, &span.origin)) {
                        trace.brought += self.shares.add(&span.origin);
                        trace.bytes += shares::LISTED;
                        trace.origins.push(span.origin.clone());
                    }
                    entry.insert(Arc::new(span));
                    trace.bytes += weight;
                }
                Entry::Vacant(_) => trace.refused += 1,
            }
        }
        for record in logs {
            let weight = record.weight as usize;
            if trace.bytes + trace.brought + weight <= limits.bytes / 2 {
                trace.logs.push(Arc::new(record));
                trace.bytes += weight;
            } else {
                trace.refused += 1;
            }
        }

        self.level.spans += trace.spans.len() - before.0;
        self.level.bytes += trace.bytes + trace.brought - before.1;
        let refused = trace.refused - before.2;
        self.evict(limits);
        refused
    }

    fn evict(&mut self, limits: Limits) {
        while self.level.spans > limits.spans || self.level.bytes > limits.bytes {
            let Some(trace) = self.order.pop_front().and_then(|id| self.traces.remove(&id)) else { return };
            self.level.traces -= 1;
            self.level.spans -= trace.spans.len();
            self.level.bytes -= trace.bytes;
            self.level.bytes -= trace.origins.iter().map(|origin| self.shares.remove(origin)).sum::<usize>();
            self.level.evicted += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ids::SpanId;
    use crate::span::{Origin, Resource};

    const LIMITS: Limits = Limits { spans: 20, bytes: 30_000 };

    /// One span of trace `trace`, which takes `bytes` more than an empty one, and a log record of the same size.
    fn batch(trace: u8, number: u8, bytes: usize, origin: &Arc<Origin>) -> Batch {
        let id = SpanId::from_bytes(&[number; 8]).expect("numbers start at 1");
        let weight = 200 + bytes as u32;
        let span = StoredSpan { weight, ..StoredSpan::empty(id, origin.clone()) };
        let log = LogRecord { weight, ..LogRecord::default() };
        let trace = TraceId::from_bytes(&[trace; 16]).expect("numbers start at 1");
        Batch { trace, spans: vec![span], logs: vec![log] }
    }

    fn origin(bytes: usize) -> Arc<Origin> {
        Arc::new(Origin { resource: Arc::new(Resource { weight: bytes, ..Resource::default() }), ..Origin::default() })
    }

    proptest! {
        #[test]
        fn level_counts_what_is_kept_and_never_exceeds_limits(
            messages in prop::collection::vec((1..30u8, 1..40u8, 0..9000usize, 0..5usize), 0..200),
        ) {
            let store = Store::new(LIMITS);
            let origins: Vec<_> = (0..5).map(|number| origin(number * 1000)).collect();
            for (trace, number, bytes, from) in messages {
                store.add(vec![batch(trace, number, bytes, &origins[from])]);
                let level = store.level();
                prop_assert!(level.spans <= LIMITS.spans && level.bytes <= LIMITS.bytes, "{level:?}");
            }
            let (level, kept) = (store.level(), store.read());
            prop_assert_eq!(level.spans, kept.traces.values().map(|trace| trace.spans.len()).sum::<usize>());
            let own = kept.traces.values().map(|trace| trace.bytes).sum::<usize>();
            let mut shares = Shares::default();
            let origins = kept.traces.values().flat_map(|trace| &trace.origins);
            let shared = origins.map(|origin| shares.add(origin)).sum::<usize>();
            prop_assert_eq!(level.bytes, own + shared);
            prop_assert_eq!((kept.order.len(), level.traces), (kept.traces.len(), kept.traces.len()));
        }
    }

    #[test]
    fn one_trace_gets_at_most_half_of_the_bytes() {
        let store = Store::new(LIMITS);
        store.add(vec![batch(1, 1, 5, &origin(0))]);
        let refused: usize = (1..9).map(|number| store.add(vec![batch(2, number, 2000, &origin(0))])).sum();
        assert!(refused > 0);
        let trace = |number| store.get(TraceId::from_bytes(&[number; 16]).expect("an id"));
        assert!(trace(1).is_some(), "the other trace stays");
        assert!(
            trace(2).is_some_and(|trace| trace.refused == refused && trace.bytes + trace.brought <= LIMITS.bytes / 2)
        );
    }

    #[test]
    fn trace_that_was_read_does_not_change_with_the_store() {
        let store = Store::new(LIMITS);
        store.add(vec![batch(1, 1, 5, &origin(0))]);
        let held = store.get(TraceId::from_bytes(&[1; 16]).expect("an id")).expect("a trace");
        store.add(vec![batch(1, 2, 5, &origin(0))]);
        assert_eq!(held.spans.len(), 1);
        assert_eq!(store.latest(9)[0].spans.len(), 2);
    }
}
