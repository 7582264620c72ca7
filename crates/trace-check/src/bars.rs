//! A waterfall as text.

use std::collections::HashSet;
use std::fmt::Write;

use trace_analysis::{Tree, duration};

/// Characters of the longest bar.
const WIDTH: u64 = 48;

/// Rows at most.
const MAX_ROWS: usize = 30;

/// Characters of a name at most, and levels that are indented.
const MAX_NAME: usize = 40;
const MAX_DEPTH: usize = 10;

/// Control characters and those that change the direction of text are escaped; a long name is cut.
pub(crate) fn name(name: &str) -> String {
    let mut escaped: String = name.escape_debug().take(MAX_NAME + 1).collect();
    if let Some((at, _)) = escaped.char_indices().nth(MAX_NAME) {
        escaped.truncate(at);
        escaped.push('…');
    }
    escaped
}

/// The bars of these spans, their parents and those `beside`, with their services where these differ, each with a mark where it is one of `about`. All without any.
pub(crate) fn draw(tree: &Tree, about: &[usize], beside: &[usize]) -> String {
    let about: HashSet<usize> = about.iter().copied().collect();
    let parents = about.iter().filter_map(|&i| tree.parents[i]);
    let shown: HashSet<usize> = match about.is_empty() {
        true => (0..tree.spans.len()).collect(),
        false => about.iter().chain(beside).copied().chain(parents).collect(),
    };
    let rows: Vec<_> = tree.order.iter().filter(|(i, _)| shown.contains(i)).collect();
    let from = rows.iter().map(|(i, _)| tree.spans[*i].start).min().unwrap_or(0);
    let to = rows.iter().map(|(i, _)| tree.spans[*i].end).max().unwrap_or(0);
    let least_depth = rows.iter().map(|(_, depth)| *depth).min().unwrap_or(0);
    let column = |at: u64| u128::from(at - from) * u128::from(WIDTH) / u128::from((to - from).max(1));

    let service = |&&(i, _): &&(usize, usize)| tree.spans[i].service.as_str();
    let differ = rows.iter().any(|row| service(row) != rows.first().map_or("", service));
    let titles = rows.iter().take(MAX_ROWS).map(|row| {
        let (i, depth) = **row;
        let indent = "  ".repeat((depth - least_depth).min(MAX_DEPTH));
        let service = if differ { format!(" {}", name(service(row))) } else { String::new() };
        format!("{indent}{}{service}", name(&tree.spans[i].name))
    });
    let titles: Vec<_> = titles.collect();
    let longest = titles.iter().map(|title| title.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for (title, &&(i, _)) in titles.iter().zip(&rows) {
        let span = &tree.spans[i];
        let before = column(span.start).min(u128::from(WIDTH) - 1) as usize;
        let length = (column(span.end) as usize).saturating_sub(before).max(1);
        let after = (WIDTH as usize).saturating_sub(before + length);
        let mark = if about.contains(&i) { '>' } else { ' ' };
        let bar = if span.failed { "!" } else { "█" }.repeat(length);
        let (before, after) = (" ".repeat(before), " ".repeat(after));
        let pad = " ".repeat(longest - title.chars().count());
        // Writing into a String cannot fail.
        let _ = writeln!(text, "{mark} {title}{pad} │{before}{bar}{after}│ {}", duration(span.duration()));
    }
    if rows.len() > MAX_ROWS {
        let _ = writeln!(text, "  … and {} more", rows.len() - MAX_ROWS);
    }
    text
}

#[cfg(test)]
mod tests {
    use trace_analysis::{Span, SpanId};

    use super::*;

    fn span(id: u64, parent: u64, name: &str, start: u64, end: u64) -> Span {
        Span { parent: SpanId::new(parent), name: name.into(), start, end, ..Span::new(SpanId(id)) }
    }

    #[test]
    fn bars_show_the_spans_and_their_parents_on_one_time_axis() {
        let failed = Span { failed: true, ..span(4, 2, "c", 36_000, 48_000) };
        let tree =
            Tree::new(vec![span(1, 0, "r", 0, 90_000), span(2, 1, "a", 0, 48_000), span(3, 2, "b", 0, 24_000), failed]);
        let (half, quarter) = ("█".repeat(24), "!".repeat(12));
        let expected = format!(
            "  a   │{}│ 48 µs\n>   b │{half}{}│ 24 µs\n>   c │{}{quarter}│ 12 µs\n",
            "█".repeat(48),
            " ".repeat(24),
            " ".repeat(36),
        );
        assert_eq!(draw(&tree, &[2, 3], &[]), expected);
    }

    #[test]
    fn services_are_named_where_there_are_several() {
        let of = |service: &str, id| Span { service: service.into(), ..span(id, id - 1, "a", 0, 10) };
        let text = |spans| draw(&Tree::new(spans), &[], &[]).replace(['█', '│'], "");
        assert_eq!(text(vec![of("shop", 1), of("shop", 2)]), "  a    10 ns\n    a  10 ns\n");
        assert_eq!(text(vec![of("shop", 1), of("bank", 2)]), "  a shop    10 ns\n    a bank  10 ns\n");
    }

    #[test]
    fn names_from_outside_cannot_control_the_terminal_and_are_cut() {
        let hostile = format!("\x1b[2J\u{202e}\n{}", "x".repeat(100_000));
        let tree = Tree::new((1..=100).map(|n| span(n, n - 1, &hostile, u64::MAX - 1, u64::MAX)).collect());
        let text = draw(&tree, &[], &[]);
        assert!(text.chars().all(|c| c == '\n' || (!c.is_control() && c != '\u{202e}')), "{text}");
        assert_eq!(text.lines().count(), MAX_ROWS + 1);
        assert!(text.lines().all(|line| line.chars().count() < 150), "{text}");
        assert_eq!(draw(&Tree::default(), &[], &[]), "");
    }
}
