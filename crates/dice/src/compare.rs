//! `dice compare`: the difference of two traces, for a person and for a CI.

use std::fmt::Write as _;
use std::process::ExitCode;

use telemetry::visible;
use trace_analysis::{Changed, Comparison, OnlyIn, duration};

use crate::show::{not_readable, print_json};
use crate::terminal::{print, sentence, shares};
use crate::trace_source::Backend;

/// Lines of each list.
const MOST_LINES: usize = 10;

/// Compares two traces: the difference in one to three sentences, then its parts.
///
/// Exit status: 0 where B has the structure of A and is not slower by more than FACTOR, 1 otherwise, 2 where one of them
/// cannot be read. The structure is the tree of kind, service and name (digits at its end do not count), and how many
/// spans of the same are beside each other.
#[derive(Debug, clap::Args)]
pub(crate) struct Config {
    /// A file of OTLP/JSON (such as the viewer's download), or a trace id
    a: String,

    /// The trace that is compared with A, given in the same way
    b: String,

    /// How many times as long B may take
    #[arg(long, value_name = "FACTOR", default_value_t = 1.5, value_parser = factor)]
    slower: f64,

    /// Write one JSON object: sentence, same_structure, ratio, only_in_a, only_in_b, slower, faster, a, b
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    backend: Backend,
}

fn factor(text: &str) -> Result<f64, &'static str> {
    let factor = text.parse().ok().filter(|factor: &f64| factor.is_finite() && *factor >= 1.0);
    factor.ok_or("allowed: a number from 1 on, such as 1.5")
}

/// Writes the difference.
pub(crate) fn run(config: &Config) -> ExitCode {
    let read = |trace: &str| config.backend.read(trace);
    let (a, b) = match read(&config.a).and_then(|a| Ok((a, read(&config.b)?))) {
        Ok(both) => both,
        Err(error) => return not_readable(&error),
    };
    let difference = Comparison::of(&a, &b, config.slower);
    let alike = difference.same_structure && !difference.slower_by_more_than(config.slower);
    if config.json {
        let written = print_json(&difference);
        if written != ExitCode::SUCCESS {
            return written;
        }
    } else {
        print(&text(&difference));
    }
    ExitCode::from(u8::from(!alike))
}

fn text(difference: &Comparison) -> String {
    let mut text = sentence(&difference.sentence);
    list(&mut text, "Only in A", &difference.only_in_a, only_in);
    list(&mut text, "Only in B", &difference.only_in_b, only_in);
    list(&mut text, "Slower in B", &difference.slower, changed);
    list(&mut text, "Faster in B", &difference.faster, changed);
    for (side, report) in [("A", &difference.a), ("B", &difference.b)] {
        let _ = writeln!(text, "\nCritical path of {side}");
        text += &shares(report, MOST_LINES);
    }
    text
}

fn list<T>(text: &mut String, title: &str, items: &[T], line: fn(&T) -> String) {
    if items.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n{title}");
    for item in items.iter().take(MOST_LINES) {
        let _ = writeln!(text, "  {}", visible(&line(item)));
    }
    if let more @ 1.. = items.len().saturating_sub(MOST_LINES) {
        let _ = writeln!(text, "  … {more} more");
    }
}

fn only_in(only: &OnlyIn) -> String {
    let below = match only.spans - 1 {
        0 => String::new(),
        1 => " and one span below it".to_owned(),
        n => format!(" and {n} spans below it"),
    };
    format!("{} of {}{below}", only.name, only.service)
}

fn changed(changed: &Changed) -> String {
    let Changed { name, service, a, b, .. } = changed;
    let ratio = changed.ratio.map(|ratio| if ratio < 1.0 { 1.0 / ratio } else { ratio });
    let times = ratio.filter(|ratio| ratio.is_finite()).map(|ratio| format!(", {ratio:.1} times")).unwrap_or_default();
    format!("{name} of {service}: {} to {}{times}", duration(*a), duration(*b))
}
