//! The store: recent traces in a fixed amount of memory. When it is full, the oldest traces go, each as a whole,
//! because half a trace explains nothing.

use std::collections::btree_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::logs::v1::LogRecord;
use tracing::warn;

use crate::ids::TraceId;
use crate::log::Occasionally;
use crate::trace::{StoredSpan, Trace};
use crate::weight;

/// What the store may hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) spans: usize,
    pub(crate) bytes: usize,
}

/// Spans or log lines of one message that belong to the same trace.
pub(crate) struct Batch {
    pub(crate) trace: TraceId,
    /// All of the same origin.
    pub(crate) spans: Vec<StoredSpan>,
    pub(crate) logs: Vec<LogRecord>,
}

/// How full the store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Level {
    pub(crate) traces: usize,
    pub(crate) spans: usize,
    pub(crate) bytes: usize,
    /// Traces that had to go since the start.
    pub(crate) evicted: u64,
    /// Grows with every change.
    pub(crate) revision: u64,
}

/// Recent traces; shared by ingest and queries.
pub(crate) struct Store {
    limits: Limits,
    kept: RwLock<Kept>,
    warnings: Occasionally,
    /// Nanoseconds since 1970 when the store was made, so that a page notices that it talks to a new one.
    pub(crate) made: u128,
}

#[derive(Default)]
struct Kept {
    traces: HashMap<TraceId, Arc<Trace>>,
    /// In the order in which the traces were first heard of.
    order: VecDeque<TraceId>,
    spans: usize,
    bytes: usize,
    evicted: u64,
    revision: u64,
}

impl Store {
    pub(crate) fn new(limits: Limits) -> Self {
        let made = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_nanos());
        Self { limits, kept: RwLock::default(), warnings: Occasionally::default(), made }
    }

    /// Takes in what arrived in one message and returns how many spans or log lines were refused.
    ///
    /// One trace gets at most half of the store, so that one which never ends cannot push out all the others.
    pub(crate) fn add(&self, batches: Vec<Batch>) -> usize {
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        let evicted_before = kept.evicted;
        let refused = batches.into_iter().map(|batch| kept.add(batch, self.limits)).sum();
        let evicted = kept.evicted - evicted_before;
        let left = kept.traces.len();
        drop(kept);
        if evicted > 0
            && let Some(held_back) = self.warnings.due()
        {
            warn!(evicted, traces = left, held_back, "Store is full: the oldest traces were dropped");
        }
        refused
    }

    /// The trace with this id, as it is now. One that has log lines only is none yet.
    pub(crate) fn get(&self, id: TraceId) -> Option<Arc<Trace>> {
        self.read().traces.get(&id).filter(|trace| !trace.spans.is_empty()).cloned()
    }

    /// The latest `count` traces, those first that were heard of last.
    pub(crate) fn latest(&self, count: usize) -> Vec<Arc<Trace>> {
        let kept = self.read();
        let newest_first = kept.order.iter().rev().filter_map(|id| kept.traces.get(id));
        newest_first.filter(|trace| !trace.spans.is_empty()).take(count).cloned().collect()
    }

    pub(crate) fn level(&self) -> Level {
        let kept = self.read();
        Level {
            traces: kept.traces.len(),
            spans: kept.spans,
            bytes: kept.bytes,
            evicted: kept.evicted,
            revision: kept.revision,
        }
    }

    /// A panic while the lock was held leaves at worst a trace half added, which is no reason to stop answering.
    fn read(&self) -> RwLockReadGuard<'_, Kept> {
        self.kept.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn add(&mut self, batch: Batch, limits: Limits) -> usize {
        let Batch { trace: id, spans, logs } = batch;
        let entry = self.traces.entry(id).or_insert_with(|| {
            self.order.push_back(id);
            self.bytes += Trace::EMPTY_BYTES;
            Arc::new(Trace::new(id))
        });
        let trace = Arc::make_mut(entry);
        let before = (trace.spans.len(), trace.bytes, trace.refused);
        self.revision += 1;
        trace.revision = self.revision;
        trace.updated = Instant::now();

        // The origin is shared, but its memory lives as long as the last trace that points to it: each one pays.
        let mut fee = spans.first().map_or(0, |span| span.origin.weight);
        for span in spans {
            let weight = fee + weight::span(&span.span);
            let has_room = trace.spans.len() < limits.spans / 2 && trace.bytes + weight <= limits.bytes / 2;
            match trace.spans.entry(span.id) {
                // An exporter that got no answer sends again: the first copy stays.
                Entry::Occupied(_) => {}
                Entry::Vacant(place) if has_room => {
                    place.insert(Arc::new(span));
                    trace.bytes += weight;
                    fee = 0;
                }
                Entry::Vacant(_) => trace.refused += 1,
            }
        }
        for record in logs {
            let weight = weight::log(&record);
            if trace.bytes + weight <= limits.bytes / 2 {
                trace.logs.push(Arc::new(record));
                trace.bytes += weight;
            } else {
                trace.refused += 1;
            }
        }

        self.spans += trace.spans.len() - before.0;
        self.bytes += trace.bytes - before.1;
        let refused = trace.refused - before.2;
        self.evict(limits);
        refused
    }

    fn evict(&mut self, limits: Limits) {
        while self.spans > limits.spans || self.bytes > limits.bytes {
            let Some(trace) = self.order.pop_front().and_then(|id| self.traces.remove(&id)) else { return };
            self.spans -= trace.spans.len();
            self.bytes -= trace.bytes;
            self.evicted += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::trace::v1::Span;
    use proptest::prelude::*;

    use super::*;
    use crate::ids::SpanId;
    use crate::trace::Origin;

    const LIMITS: Limits = Limits { spans: 20, bytes: 20_000 };

    /// A message with one span of trace `trace` that has a name of so many bytes, and a log line as long.
    fn batch(trace: u8, number: u8, name: usize) -> Batch {
        let id = SpanId::from_bytes(&[number; 8]).expect("numbers start at 1");
        let span = Span { name: "x".repeat(name), ..Span::default() };
        let log = LogRecord { severity_text: "x".repeat(name), ..LogRecord::default() };
        let trace = TraceId::from_bytes(&[trace; 16]).expect("numbers start at 1");
        Batch { trace, spans: vec![StoredSpan { id, span, origin: Origin::new(None, None) }], logs: vec![log] }
    }

    proptest! {
        #[test]
        fn limits_hold_and_the_level_is_what_is_there(
            messages in prop::collection::vec((1..30u8, 1..40u8, 0..9000usize), 0..200),
        ) {
            let store = Store::new(LIMITS);
            for (trace, number, name) in messages {
                store.add(vec![batch(trace, number, name)]);
                let level = store.level();
                prop_assert!(level.spans <= LIMITS.spans && level.bytes <= LIMITS.bytes, "{level:?}");
            }
            let (level, kept) = (store.level(), store.read());
            prop_assert_eq!(level.spans, kept.traces.values().map(|trace| trace.spans.len()).sum::<usize>());
            prop_assert_eq!(level.bytes, kept.traces.values().map(|trace| trace.bytes).sum::<usize>());
            prop_assert_eq!(kept.order.len(), kept.traces.len());
        }
    }

    #[test]
    fn one_trace_gets_half_of_the_bytes() {
        let store = Store::new(LIMITS);
        store.add(vec![batch(1, 1, 5)]);
        let refused: usize = (1..9).map(|number| store.add(vec![batch(2, number, 2000)])).sum();
        assert!(refused > 0);
        let trace = |number| store.get(TraceId::from_bytes(&[number; 16]).expect("an id"));
        assert!(trace(1).is_some(), "the other stays");
        assert!(trace(2).is_some_and(|trace| trace.refused == refused && trace.bytes <= LIMITS.bytes / 2));
    }

    #[test]
    fn readers_keep_what_they_hold() {
        let store = Store::new(LIMITS);
        store.add(vec![batch(1, 1, 5)]);
        let held = store.get(TraceId::from_bytes(&[1; 16]).expect("an id")).expect("a trace");
        store.add(vec![batch(1, 2, 5)]);
        assert_eq!(held.spans.len(), 1);
        assert_eq!(store.latest(9)[0].spans.len(), 2);
    }
}
