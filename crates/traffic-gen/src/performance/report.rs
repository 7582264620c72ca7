//! The report, as numbers and as text.

use std::fmt;

use serde::Serialize;
use telemetry::visible;

use super::config::Config;
use super::measure::Iteration;
use super::statistics::{Statistics, Theory};
use super::trace::{Bar, BatchTrace};

/// Columns of the timeline's widest bar.
const WIDTH: f64 = 48.0;

/// Everything that was measured. All times are seconds.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    die: String,
    rolls: u32,
    iterations: Vec<Iteration>,
    /// Iterations without numbers, with the reason; they are in no average.
    left_out: Vec<String>,
    sequential: Statistics,
    #[serde(rename = "async")]
    batch: Statistics,
    /// How much less time a batch takes: mean against mean.
    speedup: f64,
    theory: Theory,
    /// What each batch took beyond its slowest roll; none where no trace was found.
    overhead: Option<Statistics>,
    /// Why there is no overhead and no timeline.
    #[serde(skip_serializing_if = "Option::is_none")]
    no_traces: Option<String>,
    /// Of the last batch.
    timeline: Option<BatchTrace>,
}

impl Report {
    /// None when there is no iteration to report.
    pub(crate) fn new(
        config: &Config,
        iterations: Vec<Iteration>,
        left_out: Vec<String>,
        timeline: Option<BatchTrace>,
        no_traces: Option<String>,
    ) -> Option<Self> {
        let of = |value: fn(&Iteration) -> Option<f64>| {
            Statistics::of(&iterations.iter().filter_map(value).collect::<Vec<_>>())
        };
        let (sequential, batch) = (of(|one| Some(one.sequential))?, of(|one| Some(one.batch))?);
        Some(Self {
            die: config.die.clone(),
            rolls: config.rolls,
            speedup: sequential.mean / batch.mean,
            theory: Theory::uniform(config.rolls, iterations.len()),
            overhead: of(|one| one.overhead),
            iterations,
            left_out,
            sequential,
            batch,
            no_traces,
            timeline,
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rolls, count) = (self.rolls, self.iterations.len());
        writeln!(f, "{rolls} rolls of the die '{}', one after another and at once; times in seconds\n", self.die)?;
        writeln!(f, "     one after another: each of them                      at once")?;
        writeln!(f, "  #     total      mean      s.d.       min       max     total  speedup  beyond slowest")?;
        for (index, one) in self.iterations.iter().enumerate() {
            let Iteration { sequential, batch, speedup, .. } = one;
            let (number, single) = (index + 1, columns(&one.single));
            let overhead = one.overhead.map_or("–".to_owned(), |overhead| format!("{:.1} ms", overhead * 1000.0));
            writeln!(f, "{number:>3} {sequential:>9.3} {single} {batch:>9.3} {speedup:>7.2}x {overhead:>15}")?;
        }
        for reason in &self.left_out {
            writeln!(f, "  left out: {}", visible(reason))?;
        }
        writeln!(f, "\n                         mean      s.d.       min       max")?;
        writeln!(f, "  one after another {}", columns(&self.sequential))?;
        writeln!(f, "  at once           {}", columns(&self.batch))?;

        let Theory { speedup, deviation } = self.theory;
        writeln!(
            f,
            "\nAsync rolling is {:.2}x faster than sequential\n  \
             Theory for delays uniform between 0 and a longest one: {speedup:.2}x; chance moves it by {deviation:.2} either way\n  \
             at {count} iterations (one standard deviation).",
            self.speedup
        )?;
        if let Some(overhead) = &self.overhead {
            let (mean, max) = (overhead.mean * 1000.0, overhead.max * 1000.0);
            writeln!(f, "  A batch took {mean:.1} ms longer than its slowest roll, {max:.1} ms at most.")?;
        }
        writeln!(
            f,
            "\nOne after another, {rolls} rolls wait for the sum of {rolls} delays, each half of the longest on average.\n\
             At once they wait for the maximum, {rolls}/{} of the longest on average.",
            rolls + 1
        )?;
        match (&self.timeline, &self.no_traces) {
            (Some(trace), _) => draw(f, trace),
            (None, Some(reason)) => writeln!(f, "\nNo timeline, and no slowest roll: {}", visible(reason)),
            (None, None) => Ok(()),
        }
    }
}

/// Mean, standard deviation, minimum and maximum.
fn columns(statistics: &Statistics) -> String {
    let Statistics { mean, deviation, min, max } = statistics;
    let deviation = deviation.map_or_else(|| "–".to_owned(), |deviation| format!("{deviation:.3}"));
    format!("{mean:>9.3} {deviation:>9} {min:>9.3} {max:>9.3}")
}

/// One line a span, on the time axis of the batch.
fn draw(f: &mut fmt::Formatter<'_>, trace: &BatchTrace) -> fmt::Result {
    writeln!(f, "\nThe last batch, {:.0} ms:", trace.seconds * 1000.0)?;
    let column = |seconds: f64| (seconds / trace.seconds * WIDTH).round() as usize;
    for Bar { name, start, end } in &trace.bars {
        let (from, to) = (column(*start), column(*end));
        // What is too short for a column shows as a tick.
        let bar = if from == to { "▏".to_owned() } else { "█".repeat(to - from) };
        let row = format!("{}{bar}", " ".repeat(from));
        writeln!(f, "  {name:<15} │{row:<width$}│ {:>5.0} ms", (end - start) * 1000.0, width = WIDTH as usize + 1)?;
    }
    Ok(())
}
