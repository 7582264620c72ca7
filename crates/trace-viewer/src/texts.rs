//! Texts that repeat (names, keys, values) are held once.
//!
//! Up to 23 bytes a [`SmolStr`] has the text in place of a pointer: nothing is shared, and nothing need be. A longer text
//! is shared from its second occurrence on. The table is bounded and its memory is a fixed part of the process, not of
//! the traces: which trace would pay for a text that outlasts it? Texts that occur once never enter it, and those that no
//! span holds any more leave it when it is full.

use std::str::Utf8Error;
use std::sync::Arc;

use ahash::{AHashMap, RandomState};
use smol_str::SmolStr;

use crate::weight;

/// Longer texts are not shared.
const LONGEST: usize = 1024;

/// Memory that the shared texts may take.
const MOST_BYTES: usize = 8 << 20;

/// Hashes of texts that occurred once; a power of two. Few enough to stay in the processor's cache.
const SEEN: usize = 1 << 14;

/// Names that are remembered; a power of two.
const NAMES: usize = 256;

/// The table of shared texts.
pub(crate) struct Texts {
    /// With random keys, so that no sender can choose texts that collide; that of `std` takes longer.
    hasher: RandomState,
    /// The upper half of the hash of the last new text, for each value of its lowest bits.
    seen: Vec<u32>,
    /// The last name, for each value of a simple hash.
    names: Vec<SmolStr>,
    /// By their hash: of two texts with the same one, the first is shared.
    shared: AHashMap<u64, Arc<str>>,
    bytes: usize,
    /// Texts that found no place since the table was last cleaned.
    turned_away: usize,
}

impl Default for Texts {
    fn default() -> Self {
        let hasher = RandomState::new();
        let (seen, names) = (vec![0; SEEN], vec![SmolStr::default(); NAMES]);
        Self { hasher, seen, names, shared: AHashMap::new(), bytes: 0, turned_away: 0 }
    }
}

impl Texts {
    /// The same for the name of a span, or the key of an attribute. Most occur again soon, and are found by their bytes
    /// without a look at each character.
    ///
    /// # Errors
    /// It is not UTF-8.
    pub(crate) fn name(&mut self, name: &[u8]) -> Result<(SmolStr, usize), Utf8Error> {
        let ends =
            name.first().zip(name.last()).map_or(0, |(first, last)| usize::from(*first) * 8 + usize::from(*last));
        let slot = (name.len() * 64 + ends) % NAMES;
        if self.names[slot].as_bytes() == name {
            return Ok((self.names[slot].clone(), 0));
        }
        let (text, own) = self.get(str::from_utf8(name)?);
        // What a span pays for itself is gone with the span.
        if own == 0 {
            self.names[slot] = text.clone();
        }
        Ok((text, own))
    }

    /// `text`, and the bytes that it takes for itself alone.
    pub(crate) fn get(&mut self, text: &str) -> (SmolStr, usize) {
        if let Some(inline) = (text.len() <= 23).then(|| SmolStr::new(text)) {
            return (inline, 0);
        }
        if text.len() > LONGEST {
            return (SmolStr::new(text), weight::shared_text(text.len()));
        }
        let hash = self.hasher.hash_one(text);
        let known = self.shared.get(&hash);
        if let Some(same) = known.filter(|known| ***known == *text) {
            return (SmolStr::from(same.clone()), 0);
        }
        let (is_new, new) = (known.is_none(), Arc::<str>::from(text));
        let bytes = weight::shared_text(text.len());
        let (seen, upper) = (&mut self.seen[hash as usize % SEEN], (hash >> 32) as u32);
        if *seen != upper {
            *seen = upper;
        } else if is_new && self.has_place(bytes) {
            self.bytes += bytes;
            self.shared.insert(hash, new.clone());
            return (SmolStr::from(new), 0);
        }
        (SmolStr::from(new), bytes)
    }

    /// Cleans the table when it is full, but not each time: that costs as much as the table is long.
    fn has_place(&mut self, bytes: usize) -> bool {
        if self.bytes + bytes > MOST_BYTES {
            self.turned_away += 1;
            if self.turned_away < self.shared.len() / 4 {
                return false;
            }
            self.turned_away = 0;
            self.shared.retain(|_, text| Arc::strong_count(text) > 1);
            self.bytes = self.shared.values().map(|text| weight::shared_text(text.len())).sum();
        }
        self.bytes + bytes <= MOST_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn long(number: usize) -> String {
        format!("{number:0100}")
    }

    #[test]
    fn long_text_is_held_once_from_its_second_occurrence_on() {
        let mut texts = Texts::default();
        let own: Vec<usize> = (0..4).map(|_| texts.get(&long(1)).1).collect();
        assert!(own[0] >= 100, "the first has its own memory");
        assert_eq!(own[1..], [0, 0, 0]);
        assert_eq!(texts.get("short"), (SmolStr::new("short"), 0));
    }

    #[test]
    fn table_stays_bounded_and_takes_new_texts_when_the_old_ones_are_gone() {
        let mut texts = Texts::default();
        let mut twice = |number| [texts.get(&long(number)).0, texts.get(&long(number)).0];
        let held: Vec<_> = (0..100_000).map(&mut twice).collect();
        let full = (texts.bytes, texts.get(&long(99_999)).1);
        assert!(full.0 <= MOST_BYTES && full.1 > 0, "the last ones found no place: {full:?}");
        drop(held);
        let last = (0..texts.shared.len()).map(|number| {
            texts.get(&long(200_000 + number));
            texts.get(&long(200_000 + number)).1
        });
        assert_eq!(last.last(), Some(0), "shared again");
        assert!(texts.bytes <= MOST_BYTES);
    }
}
