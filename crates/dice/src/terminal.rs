//! A trace as text: a line for each span, with its bar on the time axis of the trace.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};

use console::{Alignment, Term, measure_text_width, pad_str, truncate_str};
use lessons::wrapped;
use tempo_client::{LogLine, Trace};
use trace_analysis::{Report, Segment, Tree, duration};

use crate::services::SERVICES;

/// Spans drawn; a trace of more is cut.
const MOST_ROWS: usize = 200;

/// Deeper spans are no further to the right.
const MOST_INDENTED: usize = 20;

/// Where the output is no terminal.
const USUAL_WIDTH: usize = 100;

/// Columns of text in a terminal that does not say how many it has.
pub(crate) const TEXT_WIDTH: usize = 80;

/// Characters of a duration and the gap before it.
const DURATION: usize = 9;

/// Characters of the longest mark.
const MARK: usize = 11;

/// For services that the table of services does not have.
const COLOURS: [&str; 6] = ["35", "36", "33", "32", "34", "95"];
const FAILED: &str = "31";

/// How text is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style {
    pub(crate) width: usize,
    pub(crate) colour: bool,
}

impl Style {
    /// For stdout; `no_color` is the setting of that name.
    pub(crate) fn of_stdout(no_color: Option<&String>) -> Self {
        let columns = Term::stdout().size_checked().map(|(_, columns)| usize::from(columns));
        let width = columns.unwrap_or(USUAL_WIDTH).clamp(60, 300);
        Self { width, colour: no_color.is_none() && std::io::stdout().is_terminal() }
    }

    fn paint(self, colour: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Writes to stdout. A reader that has gone (`dice show … | head`) is no error.
pub(crate) fn print(text: &str) {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

/// The sentence, safe for a terminal, and there between words as wide as it. Elsewhere it is one line: scripts read it.
pub(crate) fn sentence(text: &str) -> String {
    let columns = Term::stdout().size_checked().map_or(TEXT_WIDTH, |(_, columns)| usize::from(columns));
    let columns = if std::io::stdout().is_terminal() { columns } else { usize::MAX };
    wrapped(&shown(text), columns, 0)
}

/// The waterfall: filled where a span is on the critical path.
pub(crate) fn waterfall(tree: &Tree, report: &Report, style: Style) -> String {
    let first = tree.spans.iter().map(|span| span.start).min().unwrap_or(0);
    let last = tree.spans.iter().map(|span| span.end).max().unwrap_or(0);
    let mut critical = HashMap::<usize, Vec<&Segment>>::new();
    report.path.segments.iter().for_each(|segment| critical.entry(segment.span).or_default().push(segment));
    let mut colours = HashMap::<&str, &str>::new();
    for span in &tree.spans {
        let known = SERVICES.iter().find(|service| service.name == span.service).map(|service| service.colour);
        let next = COLOURS[colours.len() % COLOURS.len()];
        colours.entry(&span.service).or_insert(known.unwrap_or(next));
    }
    let rows = &tree.order[..tree.order.len().min(MOST_ROWS)];
    let service_width =
        rows.iter().map(|&(i, _)| measure_text_width(&shown(&tree.spans[i].service))).max().unwrap_or(0);
    let service_width = service_width.min(style.width / 6);
    let name_width = rows.iter().map(|&(i, depth)| indent(depth) + measure_text_width(&shown(&label(tree, i))));
    let marked = rows.iter().any(|&(i, _)| !mark(tree, i).is_empty());
    let for_name_and_bar = style.width - service_width - DURATION - 4 - if marked { MARK } else { 0 };
    let name_width = name_width.max().unwrap_or(0).min(for_name_and_bar / 2);
    let bar_width = for_name_and_bar - name_width;
    let axis = Axis { first, length: last - first, cells: bar_width };

    let mut text = String::new();
    for &(i, depth) in rows {
        let span = &tree.spans[i];
        let name = format!("{:indent$}{}", "", shown(&label(tree, i)), indent = indent(depth));
        let colour = if span.failed { FAILED } else { colours[&*span.service] };
        let bar = axis.bar(span.start, span.end, critical.get(&i).map_or(&[], Vec::as_slice));
        let _ = writeln!(
            text,
            "{}  {}  {}{:>DURATION$}{}",
            fitted(&name, name_width),
            style.paint(colours[&*span.service], &fitted(&shown(&span.service), service_width)),
            style.paint(colour, &bar),
            duration(span.duration()),
            style.paint(FAILED, mark(tree, i)),
        );
    }
    if let more @ 1.. = tree.order.len() - rows.len() {
        let _ = writeln!(text, "… {more} more");
    }
    text
}

/// The log lines of a trace by time, each with its span; empty where there are none.
pub(crate) fn log_lines(trace: &Trace, style: Style) -> String {
    let first = trace.spans.iter().map(|span| span.start).min().unwrap_or(0);
    let names: HashMap<&str, &str> = trace.spans.iter().map(|span| (&*span.id, &*span.name)).collect();
    let mut lines: Vec<_> = trace.logs.iter().collect();
    lines.sort_by_key(|line| line.time);
    let rows = &lines[..lines.len().min(MOST_ROWS)];
    let name = |line: &LogLine| shown(names.get(&*line.span_id).copied().unwrap_or("–"));
    let name_width = rows.iter().map(|line| measure_text_width(&name(line))).max().unwrap_or(0).min(style.width / 3);
    let mut text = String::new();
    for line in rows {
        let after =
            if line.time == 0 { String::new() } else { format!("+{}", duration(line.time.saturating_sub(first))) };
        let (level, name) = (line.level(), fitted(&name(line), name_width));
        let said = shown(&format!("{level} {}", line.body.replace('\n', " ")));
        let left = style.width.saturating_sub(name_width + DURATION + 4);
        let said = truncate_str(said.trim_start(), left, "…").into_owned();
        let colour = if matches!(&*level, "ERROR" | "FATAL") { FAILED } else { "0" };
        let _ = writeln!(text, "{after:>DURATION$}  {name}  {}", style.paint(colour, &said));
    }
    if let more @ 1.. = lines.len() - rows.len() {
        let _ = writeln!(text, "… {more} more log lines");
    }
    if text.is_empty() { text } else { format!("\n{text}") }
}

/// The largest shares of the critical path, a line each.
pub(crate) fn shares(report: &Report, most: usize) -> String {
    let mut text = String::new();
    for share in report.critical_path.iter().take(most) {
        let name = shown(&format!("{} of {}", share.name, share.service));
        let _ = writeln!(text, "  {:>5.1} %  {:>8}  {name}", share.share * 100.0, duration(share.nanoseconds));
    }
    if let more @ 1.. = report.critical_path.len().saturating_sub(most) {
        let _ = writeln!(text, "  … {more} more");
    }
    text
}

/// What became of a span that did not end well.
fn mark(tree: &Tree, span: usize) -> &'static str {
    match (tree.spans[span].failed, tree.cancelled[span]) {
        (true, _) => "  failed",
        (_, true) => "  cancelled",
        _ => "",
    }
}

/// Text from outside: it neither controls the terminal nor moves what follows it.
fn shown(text: &str) -> String {
    telemetry::visible(&text.replace('\t', " "))
}

fn indent(depth: usize) -> usize {
    2 * depth.min(MOST_INDENTED)
}

/// Exactly so wide: cut, or filled with spaces.
fn fitted(text: &str, width: usize) -> String {
    pad_str(&truncate_str(text, width, "…"), width, Alignment::Left, None).into_owned()
}

struct Axis {
    first: u64,
    length: u64,
    cells: usize,
}

impl Axis {
    /// The cell of a time: 0 to `cells`.
    fn cell(&self, at: u64) -> f64 {
        if self.length == 0 { 0.0 } else { (at - self.first) as f64 / self.length as f64 * self.cells as f64 }
    }

    fn cells_of(&self, from: u64, to: u64) -> std::ops::Range<usize> {
        let begin = (self.cell(from).floor() as usize).min(self.cells - 1);
        begin..(self.cell(to).ceil() as usize).clamp(begin + 1, self.cells)
    }

    fn bar(&self, start: u64, end: u64, critical: &[&Segment]) -> String {
        let mut cells = vec![' '; self.cells];
        cells[self.cells_of(start, end)].fill('░');
        for segment in critical {
            cells[self.cells_of(segment.from, segment.to)].fill('█');
        }
        cells.into_iter().collect()
    }
}

/// The name of a span; of a call without a span below it that would say so, also where it goes.
fn label(tree: &Tree, i: usize) -> String {
    let span = &tree.spans[i];
    match span.destination().filter(|_| tree.children[i].is_empty()) {
        Some(destination) => format!("{} → {destination}", span.name),
        None => span.name.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use trace_analysis::{Kind, Span, SpanId};

    use super::*;

    fn span(id: u64, parent: u64, name: &str, start: u64, end: u64) -> Span {
        let (name, service) = (name.into(), "shop".into());
        Span { parent: SpanId::new(parent), name, service, start, end, ..Span::new(SpanId(id)) }
    }

    fn drawn(spans: Vec<Span>, style: Style) -> String {
        let tree = Tree::new(spans);
        waterfall(&tree, &Report::of(&tree), style)
    }

    const PLAIN: Style = Style { width: 60, colour: false };

    #[test]
    fn bars_are_dark_where_a_span_decided_the_duration() {
        let spans = vec![
            span(1, 0, "GET /", 0, 100_000_000),
            span(2, 1, "read", 50_000_000, 100_000_000),
            Span { failed: true, ..span(3, 1, "log", 60_000_000, 60_000_001) },
        ];
        let expected = "GET /   shop  █████████████░░░░░░░░░░░░░   0.10 s\n  \
                        read  shop               █████████████    50 ms\n  \
                        log   shop                 ░               1 ns  failed\n";
        let lines = |text: &str| text.lines().map(|line| line.replace(' ', "")).collect::<Vec<_>>();
        let text = drawn(spans, PLAIN);
        assert_eq!(lines(&text), lines(expected), "\n{text}");
        assert_eq!(text.lines().next().map(|line| measure_text_width(line) + MARK), Some(60));
    }

    #[test]
    fn call_without_a_span_below_it_says_where_it_goes() {
        let address = vec![("server.address".into(), "api.example.com".into())];
        let call = |id, from| Span { kind: Kind::Client, attributes: address.clone(), ..span(id, 1, "GET", from, 90) };
        let text = drawn(
            vec![span(1, 0, "GET /", 0, 100), call(2, 10), call(3, 20), span(4, 3, "GET /x", 30, 80)],
            Style { width: 100, colour: false },
        );
        let names: Vec<_> =
            text.lines().filter_map(|line| line.split("  ").find(|part| part.contains("GET"))).collect();
        assert_eq!(names, ["GET /", "GET → api.example.com", "GET", "GET /x"], "{text}");
    }

    #[test]
    fn lines_fit_the_width_whatever_names_are_long() {
        let long = "名".repeat(200);
        let of_service =
            |n| Span { service: long.as_str().into(), failed: n % 2 == 0, ..span(n, n - 1, &long, n, 200) };
        let deep = (1..100).map(of_service).collect();
        let text = drawn(deep, PLAIN);
        assert!(text.lines().all(|line| measure_text_width(line) <= 60), "{text}");
    }

    #[test]
    fn names_cannot_control_the_terminal() {
        let spans = vec![Span { service: "a\u{202e}b\x07".into(), ..span(1, 0, "\x1b[2Jx\t\n", 0, 9) }];
        let text = drawn(spans.clone(), PLAIN);
        assert!(!text.trim_end().chars().any(|c| c.is_control() || c == '\u{202e}'), "{text:?}");
        assert_eq!(text.lines().count(), 1);
        let said = sentence(&Report::of(&Tree::new(spans)).sentence);
        assert!(!said.trim_end().chars().any(|c| c.is_control() || c == '\u{202e}'), "{said:?}");
    }

    #[test]
    fn long_trace_is_cut_and_says_how_many_spans_are_missing() {
        let text = drawn((1..=250).map(|n| span(n, 0, "x", n, n + 1)).collect(), PLAIN);
        assert_eq!((text.lines().count(), text.lines().last()), (201, Some("… 50 more")));
    }

    #[test]
    fn colours_are_there_only_where_they_are_wanted() {
        let one = || vec![Span { failed: true, ..span(1, 0, "x", 5, 5) }];
        assert!(!drawn(one(), PLAIN).contains('\x1b'));
        assert!(drawn(one(), Style { colour: true, ..PLAIN }).contains("\x1b[31m"));
    }
}
