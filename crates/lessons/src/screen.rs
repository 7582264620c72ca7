//! What a learner reads in the terminal. 80 columns are enough for it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write as _;

use console::measure_text_width;
use telemetry::visible;

use crate::lesson::Lesson;
use crate::output::MOST_BYTES;
use crate::run::Run;
use crate::steps::Failed;

/// Columns of a text that is wrapped.
const WIDTH: usize = 78;

/// Lines of a program's stdout, and of its stderr.
const MOST_LINES: usize = 15;

/// Characters of such a line.
const MOST_CHARS: usize = 200;

/// Writes to stdout. A reader that has gone (`… | head`) is no error.
pub(crate) fn print(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// All lessons, and the next one.
pub(crate) fn list(passed: &BTreeSet<String>) -> String {
    let lessons = Lesson::all();
    let done = lessons.iter().filter(|lesson| passed.contains(lesson.slug)).count();
    let next = lessons.iter().find(|lesson| !passed.contains(lesson.slug));
    let mut text = format!("Lessons: {done} of {} passed\n\n", lessons.len());
    for lesson in lessons {
        let mark = match () {
            () if passed.contains(lesson.slug) => "✓",
            () if next.is_some_and(|next| next.slug == lesson.slug) => "→",
            () => " ",
        };
        // Writing into a String cannot fail.
        let _ = writeln!(text, "  {mark} {:>2}  {}", lesson.number(), lesson.title());
    }
    let _ = match next {
        Some(next) => writeln!(text, "\nNext: cargo run -- learn {}", next.number()),
        None => writeln!(text, "\nAll lessons are passed."),
    };
    text
}

/// The title, and for somebody who is new to the lesson its whole text.
pub(crate) fn lesson(lesson: &Lesson, is_new: bool) -> String {
    let title = format!("Lesson {}: {}\n", lesson.number(), lesson.title());
    if !is_new {
        return format!("{title}Its text: crates/lessons/lessons/{}/README.md\n\n", lesson.slug);
    }
    let mut text = format!("{title}\n{}\n", without_fences(lesson.story()));
    for link in lesson.section("Links").lines() {
        let parts = link.trim_start_matches("- [").trim_end_matches(')').split_once("](");
        let _ = parts.map(|(name, url)| writeln!(text, "{}: {url}", name.replace('`', "")));
    }
    text + "\n"
}

/// Code that Markdown has between fences, indented instead.
fn without_fences(markdown: &str) -> String {
    let (mut text, mut in_code) = (String::new(), false);
    for line in markdown.lines() {
        match line.starts_with("```") {
            true => in_code = !in_code,
            false if in_code && !line.is_empty() => text += &format!("    {line}\n"),
            false => text += &format!("{line}\n"),
        }
    }
    text
}

/// What the program wrote.
pub(crate) fn output(run: &Run) -> String {
    let mut text = String::new();
    for (stream, written) in [("stdout", &run.output.stdout), ("stderr", &run.output.stderr)] {
        if written.trim().is_empty() {
            continue;
        }
        let _ = writeln!(text, "Your program wrote to {stream}:");
        for line in written.lines().take(MOST_LINES) {
            let short: String = line.chars().take(MOST_CHARS).collect();
            let _ = writeln!(text, "  {}", visible(&short));
        }
        let _ = match written.lines().count().saturating_sub(MOST_LINES) {
            // How much it was is not known.
            _ if written.len() >= MOST_BYTES => writeln!(text, "  … and more; only the beginning is kept"),
            0 => Ok(()),
            more => writeln!(text, "  … {more} more lines"),
        };
        text.push('\n');
    }
    text
}

/// The first statement that does not hold, with its bars, and a hint or all.
pub(crate) fn not_yet(failed: &Failed, no_span: bool, all_hints: bool) -> String {
    let mut text = format!("Not yet: {}\n\n", failed.step.replace('-', " "));
    if no_span {
        text += "No span has arrived.\n";
    }
    if let Some(first) = failed.report.failures.first() {
        text += &first.to_string();
    }
    if let more @ 1.. = failed.report.failures.len().saturating_sub(1) {
        let _ = writeln!(text, "  ({more} more of this kind)");
    }
    let shown = if all_hints { failed.hints.len() } else { 1 };
    for hint in failed.hints.iter().take(shown) {
        let _ = write!(text, "\n{}", wrapped(&format!("Hint: {hint}"), WIDTH, 0));
    }
    if let more @ 1.. = failed.hints.len().saturating_sub(shown) {
        let _ = writeln!(text, "({more} more with --hint)");
    }
    text
}

/// Lines of so many columns at most, but for a word that is longer, each with so many spaces at its beginning.
pub fn wrapped(text: &str, columns: usize, indent: usize) -> String {
    let (mut lines, mut used) = (" ".repeat(indent), indent);
    for word in text.split_whitespace() {
        let width = measure_text_width(word);
        let gap = usize::from(used > indent);
        if gap > 0 && used + gap + width > columns {
            lines += &format!("\n{:indent$}", "");
            used = indent;
        } else {
            lines += &" ".repeat(gap);
            used += gap;
        }
        lines += word;
        used += width;
    }
    lines + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_wrapped_between_words() {
        assert_eq!(wrapped("aa bb cc", 5, 0), "aa bb\ncc\n");
        assert_eq!(wrapped("ää 名名", 6, 0), "ää\n名名\n");
        assert_eq!(wrapped("aa bb cc dd", 7, 2), "  aa bb\n  cc dd\n");
        assert_eq!(wrapped("longer word", 5, 2), "  longer\n  word\n");
    }

    #[test]
    fn code_between_fences_is_indented() {
        assert_eq!(without_fences("a\n\n```rust\nb\n\n  c\n```\nd"), "a\n\n    b\n\n      c\nd\n");
    }

    #[test]
    fn list_marks_what_is_passed_and_what_is_next() {
        let first = Lesson::all()[0].slug.to_owned();
        let text = list(&[first].into());
        assert!(text.contains("\n  ✓  1  A first span\n  →  "), "{text}");
        assert!(text.lines().all(|line| line.chars().count() < 80), "{text}");
        let all = Lesson::all().iter().map(|lesson| lesson.slug.to_owned()).collect();
        assert!(list(&all).ends_with("\nAll lessons are passed.\n"));
    }
}
