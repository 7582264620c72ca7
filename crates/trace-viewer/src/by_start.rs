//! The traces by start, so that a search looks at the newest first and stops when it has enough.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Bound;
use std::sync::Arc;

use crate::ids::TraceId;
use crate::store::Store;
use crate::trace::Trace;

/// Entries of the index that one call looks at, so that ingest waits for a search at most some tens of microseconds.
const MOST_EXAMINED: usize = 4096;

/// Most traces that one call returns.
const MOST_RETURNED: usize = 256;

/// Where a trace is in the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    pub(crate) start: u64,
    pub(crate) id: TraceId,
}

/// A set of services with one of 64 bits for each name: it may contain more than was put in, never less.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Services(u64);

impl Services {
    pub(crate) fn add(&mut self, service: &str) {
        let mut hasher = DefaultHasher::new();
        service.hash(&mut hasher);
        self.0 |= 1 << (hasher.finish() % 64);
    }

    fn contain(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }
}

/// The index.
#[derive(Default)]
pub(crate) struct ByStart(BTreeMap<Position, Services>);

impl ByStart {
    /// Memory of an entry: key and value, in nodes that are two thirds full.
    pub(crate) const ENTRY_BYTES: usize = (size_of::<Position>() + size_of::<Services>()) * 3 / 2;

    pub(crate) fn insert(&mut self, position: Position, services: Services) {
        self.0.insert(position, services);
    }

    pub(crate) fn remove(&mut self, position: Position) {
        self.0.remove(&position);
    }

    #[cfg(test)]
    pub(crate) fn positions(&self) -> impl Iterator<Item = Position> {
        self.0.keys().copied()
    }

    /// Up to `count` positions before `end`, the newest first, of traces that may have all of `services`. And where to
    /// go on.
    pub(crate) fn before(
        &self,
        end: Bound<Position>,
        services: Services,
        count: usize,
    ) -> (Vec<Position>, Option<Position>) {
        let mut found = Vec::new();
        for (examined, (position, of_trace)) in self.0.range((Bound::Unbounded, end)).rev().enumerate() {
            if of_trace.contain(services) {
                found.push(*position);
            }
            if found.len() == count || examined == MOST_EXAMINED {
                return (found, Some(*position));
            }
        }
        (found, None)
    }
}

/// The traces that may have all of some services, the newest first by start. A trace that grows while they are listed
/// can occur twice. No lock is held between two of them.
pub(crate) struct NewestFirst<'a> {
    store: &'a Store,
    services: Services,
    /// `None` at the end.
    end: Option<Bound<Position>>,
    count: usize,
    found: VecDeque<Arc<Trace>>,
}

impl<'a> NewestFirst<'a> {
    /// Those that started until `latest`.
    pub(crate) fn new(store: &'a Store, latest: u64, services: Services) -> Self {
        let end = latest
            .checked_add(1)
            .map_or(Bound::Unbounded, |start| Bound::Excluded(Position { start, id: TraceId::LEAST }));
        Self { store, services, end: Some(end), count: 32, found: VecDeque::new() }
    }
}

impl Iterator for NewestFirst<'_> {
    type Item = Arc<Trace>;

    fn next(&mut self) -> Option<Arc<Trace>> {
        while self.found.is_empty() {
            let (found, next) = self.store.before(self.end?, self.services, self.count);
            self.found = found.into();
            self.end = next.map(Bound::Excluded);
            self.count = (self.count * 2).min(MOST_RETURNED);
        }
        self.found.pop_front()
    }
}
