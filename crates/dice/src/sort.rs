//! Sorts the lines of several processes by their timestamps.

use std::collections::BTreeMap;

/// One line, its line feed included.
#[derive(Debug)]
pub(crate) struct Line {
    /// When it was written, RFC 3339 in UTC; none where it has no timestamp.
    pub(crate) time: Option<String>,
    pub(crate) bytes: Vec<u8>,
}

/// By time, and at the same time in the order of arrival.
type Key = (String, u64);

/// The lines that have arrived and are not written yet.
#[derive(Debug, Default)]
pub(crate) struct SortBuffer {
    lines: BTreeMap<Key, Vec<u8>>,
    arrived: u64,
    newest: String,
    /// What was the newest when [`SortBuffer::due`] was last called.
    newest_before: Key,
}

impl SortBuffer {
    /// Takes a line. One without a timestamp stays behind all that arrived before it.
    pub(crate) fn add(&mut self, line: Line) {
        let time = line.time.unwrap_or_else(|| self.newest.clone());
        if time > self.newest {
            self.newest.clone_from(&time);
        }
        self.arrived += 1;
        self.lines.insert((time, self.arrived), line.bytes);
    }

    /// The lines that were there at the last call already, and all older ones: called at regular intervals, it returns
    /// each line after one to two of them.
    pub(crate) fn due(&mut self) -> Vec<u8> {
        let younger = self.lines.split_off(&self.newest_before);
        self.newest_before = (self.newest.clone(), self.arrived + 1);
        joined(std::mem::replace(&mut self.lines, younger))
    }

    /// All that is left.
    pub(crate) fn all(self) -> Vec<u8> {
        joined(self.lines)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }
}

fn joined(lines: BTreeMap<Key, Vec<u8>>) -> Vec<u8> {
    lines.into_values().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(held: &mut SortBuffer, time: &str, text: &str) {
        let time = (!time.is_empty()).then(|| time.to_owned());
        held.add(Line { time, bytes: text.into() });
    }

    fn text(lines: Vec<u8>) -> String {
        String::from_utf8(lines).unwrap()
    }

    #[test]
    fn line_waits_one_round_for_older_lines() {
        let mut held = SortBuffer::default();
        add(&mut held, "12:02", "c");
        assert_eq!(text(held.due()), "");
        add(&mut held, "12:01", "b"); // older, and later to arrive
        add(&mut held, "12:03", "d");
        assert_eq!(text(held.due()), "bc");
        add(&mut held, "12:00", "a"); // too late for its place
        assert_eq!(text(held.due()), "ad");
        assert!(held.is_empty());
    }

    #[test]
    fn lines_without_timestamp_keep_order_of_arrival() {
        let mut held = SortBuffer::default();
        for (time, line) in [("12:01", "a"), ("", "b"), ("", "c"), ("12:02", "e"), ("12:01", "d"), ("", "f")] {
            add(&mut held, time, line);
        }
        assert_eq!(text(held.all()), "abcdef");
    }
}
