//! Names, numbers and durations as text for people.

use crate::groups::Group;
use crate::span::Span;

/// Characters of a name in a sentence.
const LONGEST_NAME: usize = 120;

/// Characters of a failure's message in a sentence.
const LONGEST_MESSAGE: usize = 160;

/// Digits at the end of a name as one `*`: `async_roll_12` is `async_roll_*`.
pub(crate) fn starred(name: &str) -> String {
    match stem(name) {
        (stem, true) => format!("{stem}*"),
        (name, false) => name.to_owned(),
    }
}

/// The same without a copy: the name without digits at its end, and whether it has some.
pub(crate) fn stem(name: &str) -> (&str, bool) {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    (stem, stem.len() < name.len())
}

/// `text`, cut to so many characters.
fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// A name in a sentence. Full stops in it do not end the sentence.
pub(crate) fn name(name: &str) -> String {
    let bare = cut(name, LONGEST_NAME);
    if bare.trim().is_empty() { "a span without a name".to_owned() } else { bare.replace(". ", " ") }
}

/// `GET /dice of die-service`.
pub(crate) fn named(span: &Span) -> String {
    format!("{} of {}", name(&span.name), name(&span.service))
}

/// The first sentence of a message, without what ends it.
pub(crate) fn message(text: &str) -> String {
    let line = text.trim().lines().next().unwrap_or_default();
    let end = [". ", "! ", "? "].iter().filter_map(|stop| line.find(stop)).min().unwrap_or(line.len());
    cut(line[..end].trim_end_matches(['.', '!', '?', ';', ' ']), LONGEST_MESSAGE)
}

/// A small number in letters.
pub(crate) fn number(n: usize) -> String {
    const WORDS: [&str; 13] =
        ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"];
    WORDS.get(n).map_or_else(|| n.to_string(), |&word| word.to_owned())
}

/// `one span`, `three spans`.
pub(crate) fn spans(n: usize) -> String {
    format!("{} {}", number(n), if n == 1 { "span" } else { "spans" })
}

/// The first letter as a capital, where that is the beginning of a word: `async_roll_7` stays.
pub(crate) fn sentence(text: &str) -> String {
    const BEGINNINGS: [&str; 17] = [
        "the ", "a ", "no ", "one ", "two ", "three ", "four ", "five ", "six ", "seven ", "eight ", "nine ", "ten ",
        "eleven ", "twelve ", "this ", "only ",
    ];
    match text.char_indices().nth(1) {
        Some((second, _)) if BEGINNINGS.iter().any(|word| text.starts_with(word)) => {
            format!("{}{}.", text[..second].to_uppercase(), &text[second..])
        }
        _ => format!("{text}."),
    }
}

/// Number and name of a group's calls: "10 rolls", "3 × GET /dice of die-service".
pub fn calls(group: &Group) -> String {
    let count = group.count;
    let stem = group.name.trim_end_matches('*').trim_end_matches([' ', '_', '-', '.', '#', ':', '/']);
    let word = stem.rsplit([' ', '_', '-', '.', '/', ':']).next().unwrap_or(stem);
    let numbered = group.name.ends_with('*') && group.service == group.parent_service;
    if numbered && !word.is_empty() && word.chars().all(char::is_lowercase) {
        format!("{count} {}", plural(word))
    } else {
        format!("{count} × {} of {}", name(&group.name), name(&group.service))
    }
}

fn plural(word: &str) -> String {
    match word.strip_suffix('y') {
        Some(stem) if !stem.ends_with(['a', 'e', 'o', 'u']) => format!("{stem}ies"),
        _ if word.ends_with(['s', 'x', 'z']) || word.ends_with("ch") || word.ends_with("sh") => format!("{word}es"),
        _ => format!("{word}s"),
    }
}

/// Nanoseconds as text, with two significant digits, in seconds from 0.1 s up.
pub fn duration(nanoseconds: u64) -> String {
    let (value, unit) = match nanoseconds {
        0..1_000 => return format!("{nanoseconds} ns"),
        1_000..1_000_000 => (nanoseconds as f64 / 1e3, "µs"),
        1_000_000..100_000_000 => (nanoseconds as f64 / 1e6, "ms"),
        _ => (nanoseconds as f64 / 1e9, "s"),
    };
    match value {
        ..0.995 => format!("{value:.2} {unit}"),
        0.995..9.95 => format!("{value:.1} {unit}"),
        _ => format!("{value:.0} {unit}"),
    }
}

/// A share of 0 to 1 in percent.
pub(crate) fn percent(share: f64) -> String {
    match (share * 100.0).round() {
        0.0 => "less than 1 %".to_owned(),
        percent => format!("{percent} %"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{MS, span};
    use crate::tree::Tree;

    #[test]
    fn digits_at_the_end_of_a_name_are_one_star() {
        let all = ["async_roll_12", "chunk #3", "GET /dice", "404", "a1b", ""].map(starred);
        assert_eq!(all, ["async_roll_*", "chunk #*", "GET /dice", "*", "a1b", ""]);
    }

    #[test]
    fn calls_are_named_by_the_plural_of_their_last_word() {
        let three = |name: &str| {
            let mut spans = vec![span(1, 0, 0, 9)];
            spans.extend((2..5).map(|n| crate::testing::named(&format!("{name}{n}"), span(n, 1, 0, 9))));
            calls(&crate::groups(&Tree::new(spans), 2)[0])
        };
        assert_eq!(three("async_roll_"), "3 rolls");
        assert_eq!(three("run query "), "3 queries");
        assert_eq!(three("batch-"), "3 batches");
        assert_eq!(three("GET "), "3 × GET * of s");
    }

    #[test]
    fn durations_have_two_significant_digits() {
        let said = [0, 999, 1_500, 20_000, 7 * MS, 99 * MS, 100 * MS, 963 * MS, 999 * MS, 5_400 * MS, 61_000 * MS];
        let expected =
            ["0 ns", "999 ns", "1.5 µs", "20 µs", "7.0 ms", "99 ms", "0.10 s", "0.96 s", "1.0 s", "5.4 s", "61 s"];
        assert_eq!(said.map(duration), expected);
    }

    #[test]
    fn message_is_its_first_sentence_and_bounded() {
        assert_eq!(message("Die 'risky' failed!"), "Die 'risky' failed");
        assert_eq!(message("no response within 2.5 s. Try again later"), "no response within 2.5 s");
        assert_eq!(message("\n one\ntwo"), "one");
        assert_eq!(message(&"é".repeat(500)).chars().count(), LONGEST_MESSAGE + 1);
    }

    #[test]
    fn sentence_begins_with_a_capital_but_names_keep_their_case() {
        assert_eq!(sentence("three spans failed"), "Three spans failed.");
        assert_eq!(sentence("async_roll_7 of dice-roller took long"), "async_roll_7 of dice-roller took long.");
    }
}
