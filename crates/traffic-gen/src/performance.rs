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

use measure::{Failure, Iteration, iteration};
use report::{Report, Traced};
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
    crate::http::check(&client, "dice-roller", &config.dice_roller_url, "DICE_ROLLER_URL").await?;

    let (mut measured, mut left_out) = (Vec::new(), Vec::new());
    for number in 1..=config.iterations {
        match iteration(&client, &config).await {
            Ok(iteration) => {
                if !config.json() {
                    let Iteration { sequential, batch, .. } = &iteration;
                    let count = config.iterations;
                    eprintln!(
                        "iteration {number} of {count}: {sequential:.3} s one after another, {batch:.3} s at once"
                    );
                }
                measured.push(iteration);
            }
            Err(Failure::Die(reason)) => left_out.push(format!("iteration {number}: {reason}")),
            Err(Failure::Broken(error)) => return Err(error.context(format!("iteration {number}"))),
        }
    }
    let tempo = tempo_client::Client::new(client, config.tempo_url.clone());
    let (traced, no_traces) = with_traces(&tempo, &config, measured).await;
    let Some(report) = Report::new(&config, traced, left_out.clone(), no_traces) else {
        bail!("no iteration is without a failed die; the last: {}", left_out.last().map_or("none", |reason| reason));
    };
    let mut stdout = std::io::stdout().lock();
    let written = match config.json() {
        true => writeln!(stdout, "{}", serde_json::to_string(&report)?),
        false => write!(stdout, "{report}"),
    };
    written.context("stdout was closed")
}

/// Adds the trace of each batch, or says why there are none.
async fn with_traces(
    tempo: &tempo_client::Client,
    config: &Config,
    measured: Vec<Iteration>,
) -> (Vec<Traced>, Option<String>) {
    let (mut traced, mut missing) = (Vec::new(), None);
    for iteration in measured {
        // One trace that does not come is enough to know: waiting for each would take long.
        let trace = match missing {
            Some(_) => None,
            None => match BatchTrace::fetch(tempo, config, iteration.trace_id.as_deref()).await {
                Ok(trace) => Some(trace),
                Err(error) => {
                    missing = Some(format!("{error:#}"));
                    None
                }
            },
        };
        traced.push((iteration, trace));
    }
    (traced, missing)
}
