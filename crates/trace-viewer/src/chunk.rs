//! Spans or log records on their way from `decode` to the store.

use std::sync::Arc;

use crate::ids::TraceId;
use crate::store::Store;

/// How many are stored at a time. The store makes place for them before the next ones are decoded, so that a message
/// never takes more memory than the store may.
const MOST: usize = 256;

/// The same in bytes.
const MOST_BYTES: usize = 1 << 20;

/// What became of a message's spans or log records.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) kept: usize,
    /// Their trace has its share of the store.
    pub(crate) refused: usize,
    pub(crate) without_id: usize,
}

/// What was decoded and is not stored yet.
pub(crate) struct Chunk<'a, T> {
    store: &'a Store,
    add: fn(&Store, &mut Items<T>) -> usize,
    items: Items<T>,
    bytes: usize,
    pub(crate) stored: Stored,
}

type Items<T> = Vec<(TraceId, Arc<T>)>;

impl<'a, T> Chunk<'a, T> {
    pub(crate) fn new(store: &'a Store, add: fn(&Store, &mut Items<T>) -> usize) -> Self {
        Self { store, add, items: Vec::new(), bytes: 0, stored: Stored::default() }
    }

    pub(crate) fn push(&mut self, item: (TraceId, Arc<T>), bytes: u32) {
        self.items.push(item);
        self.bytes += bytes as usize;
        if self.items.len() >= MOST || self.bytes >= MOST_BYTES {
            self.finish();
        }
    }

    pub(crate) fn finish(&mut self) {
        let count = self.items.len();
        let refused = (self.add)(self.store, &mut self.items);
        self.bytes = 0;
        self.stored.refused += refused;
        self.stored.kept += count - refused;
    }
}
