//! Resources and scopes of recent messages: an exporter sends the same ones with each message, and they are held once.

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Arc, Weak};

use crate::span::{Origin, Resource};

/// Remembered ones of each.
const SLOTS: usize = 256;

/// What is remembered.
#[derive(Default)]
pub(crate) struct Origins {
    /// With random keys, so that no sender can make two hashes equal.
    hasher: RandomState,
    pub(crate) resources: Recent<Resource>,
    pub(crate) origins: Recent<Origin>,
}

impl Origins {
    pub(crate) fn hash(&self, message: impl Hash) -> u64 {
        self.hasher.hash_one(message)
    }
}

/// Hash and value, one for each remainder of the hash; as long as a trace holds the value.
pub(crate) struct Recent<T>(Vec<(u64, Weak<T>)>);

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self((0..SLOTS).map(|_| (0, Weak::new())).collect())
    }
}

impl<T> Recent<T> {
    /// The value of this hash.
    pub(crate) fn get(&self, hash: u64) -> Option<Arc<T>> {
        let (known, value) = &self.0[hash as usize % SLOTS];
        value.upgrade().filter(|_| *known == hash)
    }

    pub(crate) fn put(&mut self, hash: u64, value: &Arc<T>) {
        self.0[hash as usize % SLOTS] = (hash, Arc::downgrade(value));
    }
}
