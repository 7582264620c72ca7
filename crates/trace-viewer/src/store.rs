//! The store: recent traces in a fixed amount of memory. When it is full, the oldest whole traces are dropped.

use std::collections::VecDeque;
use std::collections::btree_map::Entry;
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use ahash::AHashMap;
use tracing::warn;

use crate::by_start::{ByStart, Position, Services};
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
    /// Whether metrics have been sent, which are not kept.
    pub(crate) metrics_ignored: bool,
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
    traces: AHashMap<TraceId, Arc<Trace>>,
    /// The oldest first, by the arrival of the first span or log record.
    order: VecDeque<TraceId>,
    /// Those that have spans.
    by_start: ByStart,
    /// Traces whose entry in `by_start` has to change, which is done once for each message.
    moved: Vec<TraceId>,
    shares: Shares,
    level: Level,
}

impl Store {
    pub(crate) fn new(limits: Limits) -> Self {
        let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_nanos());
        Self { limits, kept: RwLock::default(), warnings: LogLimit::default(), created }
    }

    /// Adds the spans of a list, which is empty then, and returns how many were refused.
    ///
    /// One trace gets at most half of the store, so that an endless one does not evict all others.
    pub(crate) fn add_spans(&self, spans: &mut Vec<(TraceId, Arc<StoredSpan>)>) -> usize {
        self.add(spans, add_span)
    }

    /// Adds log records in the same way.
    pub(crate) fn add_logs(&self, records: &mut Vec<(TraceId, Arc<LogRecord>)>) -> usize {
        self.add(records, add_log)
    }

    fn add<T>(&self, items: &mut Vec<(TraceId, T)>, add: Add<T>) -> usize {
        if items.is_empty() {
            return 0;
        }
        let mut items = items.drain(..).peekable();
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        kept.level.revision += 1;
        let (now, mut refused) = (Instant::now(), 0);
        while let Some((id, first)) = items.next() {
            // Those of one trace often follow one another.
            let more = std::iter::from_fn(|| items.next_if(|(next, _)| *next == id));
            let of_trace = std::iter::once(first).chain(more.map(|(_, item)| item));
            refused += kept.change(id, now, |trace, shares| {
                of_trace.map(|item| usize::from(!add(trace, shares, item, self.limits))).sum()
            });
        }
        kept.update_index();
        let evicted = kept.evict(self.limits);
        let traces = kept.level.traces;
        drop(kept);
        if !evicted.is_empty()
            && let Some(held_back) = self.warnings.due()
        {
            warn!(evicted = evicted.len(), traces, held_back, "Store is full: the oldest traces were dropped");
        }
        refused
    }

    /// Notes that metrics were sent. Returns whether it is the first time.
    pub(crate) fn note_metrics(&self) -> bool {
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        !std::mem::replace(&mut kept.level.metrics_ignored, true)
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

    /// See [`ByStart::before`].
    pub(crate) fn before(
        &self,
        end: Bound<Position>,
        services: Services,
        count: usize,
    ) -> (Vec<Arc<Trace>>, Option<Position>) {
        let kept = self.read();
        let (found, next) = kept.by_start.before(end, services, count);
        (found.iter().filter_map(|position| kept.traces.get(&position.id)).cloned().collect(), next)
    }

    pub(crate) fn level(&self) -> Level {
        self.read().level
    }

    /// After a panic in `add` a batch may be half added; the store stays usable.
    fn read(&self) -> RwLockReadGuard<'_, Kept> {
        self.kept.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds a span or log record to a trace; false if it does not fit.
type Add<T> = fn(&mut Trace, &mut Shares, T, Limits) -> bool;

fn add_span(trace: &mut Trace, shares: &mut Shares, span: Arc<StoredSpan>, limits: Limits) -> bool {
    let weight = span.weight as usize + Trace::ENTRY_BYTES;
    let fits = trace.spans.len() < limits.spans / 2
        && trace.bytes + trace.brought + weight + span.origin.bytes() <= limits.bytes / 2;
    let entry = match trace.spans.entry(span.id) {
        // Sent again by an exporter that got no response.
        Entry::Occupied(_) => return true,
        Entry::Vacant(_) if !fits => return false,
        Entry::Vacant(entry) => entry,
    };
    if !trace.origins.last().is_some_and(|last| Arc::ptr_eq(last, &span.origin)) {
        trace.brought += shares.add(&span.origin);
        trace.bytes += shares::LISTED;
        trace.origins.push(span.origin.clone());
        trace.services.add(span.service());
    }
    trace.extent.note(&span);
    trace.bytes += weight;
    trace.largest = trace.largest.max(weight);
    entry.insert(span);
    true
}

fn add_log(trace: &mut Trace, _: &mut Shares, record: Arc<LogRecord>, limits: Limits) -> bool {
    let weight = record.weight as usize;
    let fits = trace.bytes + trace.brought + weight <= limits.bytes / 2;
    if fits {
        trace.logs.push(record);
        trace.bytes += weight;
    }
    fits
}

impl Kept {
    /// Changes a trace, which is new if it is not there. `change` returns how much it refused, and so does this.
    fn change(&mut self, id: TraceId, now: Instant, change: impl FnOnce(&mut Trace, &mut Shares) -> usize) -> usize {
        let entry = self.traces.entry(id).or_insert_with(|| {
            self.order.push_back(id);
            self.level.traces += 1;
            self.level.bytes += Trace::EMPTY_BYTES;
            Arc::new(Trace::new(id))
        });
        let trace = Arc::make_mut(entry);
        let before = (trace.spans.len(), trace.bytes + trace.brought);
        trace.revision = self.level.revision;
        trace.updated = now;
        let refused = change(trace, &mut self.shares);
        trace.refused += refused;
        if trace.indexed != trace.entry() && self.moved.last() != Some(&id) {
            self.moved.push(id);
        }
        self.level.spans += trace.spans.len() - before.0;
        self.level.bytes += trace.bytes + trace.brought - before.1;
        refused
    }

    fn update_index(&mut self) {
        for id in std::mem::take(&mut self.moved) {
            let Some(trace) = self.traces.get_mut(&id).map(Arc::make_mut) else { continue };
            trace.indexed.inspect(|(position, _)| self.by_start.remove(*position));
            trace.indexed = trace.entry();
            trace.indexed.inspect(|(position, services)| self.by_start.insert(*position, *services));
        }
    }

    /// Takes out the oldest traces until the rest is within `limits`.
    fn evict(&mut self, limits: Limits) -> Vec<Arc<Trace>> {
        let mut evicted = Vec::new();
        while self.level.spans > limits.spans || self.level.bytes > limits.bytes {
            let Some(trace) = self.order.pop_front().and_then(|id| self.traces.remove(&id)) else { break };
            trace.indexed.inspect(|(position, _)| self.by_start.remove(*position));
            self.level.traces -= 1;
            self.level.spans -= trace.spans.len();
            self.level.bytes -= trace.bytes;
            self.level.bytes -= trace.origins.iter().map(|origin| self.shares.remove(origin)).sum::<usize>();
            self.level.evicted += 1;
            evicted.push(trace);
        }
        evicted
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ids::SpanId;
    use crate::span::{Origin, Resource};

    const LIMITS: Limits = Limits { spans: 20, bytes: 30_000 };

    /// Adds a span to trace `trace`, which takes `bytes` more than an empty one, and a log record of the same size.
    fn add(store: &Store, trace: u8, number: u8, bytes: usize, origin: &Arc<Origin>) -> usize {
        let id = SpanId::from_bytes(&[number; 8]).expect("numbers start at 1");
        let weight = 200 + bytes as u32;
        let span = Arc::new(StoredSpan { weight, ..StoredSpan::empty(id, origin.clone()) });
        let trace = TraceId::from_bytes(&[trace; 16]).expect("numbers start at 1");
        let record = Arc::new(LogRecord { weight, ..LogRecord::default() });
        store.add_spans(&mut vec![(trace, span)]) + store.add_logs(&mut vec![(trace, record)])
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
                add(&store, trace, number, bytes, &origins[from]);
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
            let mut positions: Vec<_> = kept.traces.values().filter_map(|trace| trace.entry()).map(|(position, _)| position).collect();
            positions.sort();
            prop_assert_eq!(kept.by_start.positions().collect::<Vec<_>>(), positions);
        }
    }

    #[test]
    fn one_trace_gets_at_most_half_of_the_bytes() {
        let store = Store::new(LIMITS);
        add(&store, 1, 1, 5, &origin(0));
        let refused: usize = (1..9).map(|number| add(&store, 2, number, 2000, &origin(0))).sum();
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
        add(&store, 1, 1, 5, &origin(0));
        let held = store.get(TraceId::from_bytes(&[1; 16]).expect("an id")).expect("a trace");
        add(&store, 1, 2, 5, &origin(0));
        assert_eq!(held.spans.len(), 1);
        assert_eq!(store.latest(9)[0].spans.len(), 2);
    }
}
