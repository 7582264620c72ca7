//! `async-performance`: rolls one after another against the same number at once, and what theory says of it.
//!
//! It makes no spans of its own and calls dice-roller directly, so that nothing but the two ways of rolling differs.
//! Times are taken outside. How long the slowest roll of a batch took is read from its trace,
//! where a trace backend responds.

mod config;
mod measure;
mod report;
mod statistics;
mod trace;

use std::io::Write as _;

use anyhow::{Context as _, bail};

pub use config::Config;

use measure::{DieFailed, Iteration, iteration};
use report::Report;
use trace::BatchTrace;

/// Measures and reports.
///
/// # Errors
/// When dice-roller does not respond, or refuses, or no iteration was without a failed die.
pub fn run(config: Config) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(measure(config))
}

async fn measure(config: Config) -> anyhow::Result<()> {
    let client = crate::http::client()?;
    crate::http::check(&client, "dice-roller", &config.dice_roller()?, "DICE_ROLLER_URL").await?;

    let (mut measured, mut left_out) = (Vec::new(), Vec::new());
    let count = config.iterations;
    for number in 1..=count {
        match iteration(&client, &config).await {
            Ok(iteration) => {
                if !config.json() {
                    let Iteration { sequential, batch, .. } = &iteration;
                    eprintln!(
                        "iteration {number} of {count}: {sequential:.3} s one after another, {batch:.3} s at once"
                    );
                }
                measured.push(iteration);
            }
            Err(error) if error.is::<DieFailed>() => left_out.push(format!("iteration {number}: {error}")),
            Err(error) => return Err(error.context(format!("iteration {number}"))),
        }
    }

    let tempo = tempo_client::Client { http: client, base: config.tempo()? };
    let (mut timeline, mut no_traces) = (None, None);
    for iteration in &mut measured {
        match BatchTrace::fetch(&tempo, &config, iteration.trace_id.as_deref()).await {
            Ok(trace) => {
                iteration.add(&trace);
                timeline = Some(trace);
            }
            Err(error) => {
                (timeline, no_traces) = (None, Some(format!("{error:#}")));
                // One trace that does not come is enough to know: waiting for each would take long.
                break;
            }
        }
    }
    let last = left_out.last().cloned();
    let Some(report) = Report::new(&config, measured, left_out, timeline, no_traces) else {
        bail!("no iteration is without a failed die; the last: {}", last.unwrap_or_default());
    };
    let mut stdout = std::io::stdout().lock();
    let written = match config.json() {
        true => writeln!(stdout, "{}", serde_json::to_string(&report)?),
        false => write!(stdout, "{report}"),
    };
    written.context("stdout was closed")
}
