//! One iteration: a batch of rolls at once, then the same number one after another, timed from outside.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use reqwest::header::HeaderMap;
use reqwest::{Client, StatusCode};
use serde::Serialize;
use service::ProblemBody;

use super::config::Config;
use super::statistics::Statistics;
use super::trace::BatchTrace;

/// dice-roller responds to the largest batch well within this.
const LIMIT: Duration = Duration::from_secs(30);

/// What one iteration has measured, in seconds.
#[derive(Debug, Serialize)]
pub(crate) struct Iteration {
    /// All single rolls, the time between two included.
    pub(crate) sequential: f64,
    pub(crate) single: Statistics,
    #[serde(rename = "async")]
    pub(crate) batch: f64,
    pub(crate) speedup: f64,
    slowest_roll: Option<f64>,
    /// What the batch took beyond its slowest roll.
    pub(crate) overhead: Option<f64>,
    /// The batch's trace, if dice-roller makes spans.
    pub(crate) trace_id: Option<String>,
}

/// A roll failed by its die's error rate: the iteration is left out, and the next one may work.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct DieFailed(String);

/// Measures once.
///
/// # Errors
/// [`DieFailed`]; after any other error, measuring further makes no sense.
pub(crate) async fn iteration(client: &Client, config: &Config) -> anyhow::Result<Iteration> {
    // The batch first: what dice-roller does not allow is refused before the long part.
    let started = Instant::now();
    let headers = get(client, config, "roll-async", &[("times", config.rolls)]).await?;
    let batch = started.elapsed().as_secs_f64();

    let mut single = Vec::new();
    let started = Instant::now();
    for _ in 0..config.rolls {
        let started = Instant::now();
        get(client, config, "roll", &[]).await?;
        single.push(started.elapsed().as_secs_f64());
    }
    let sequential = started.elapsed().as_secs_f64();
    let single = Statistics::of(&single).context("no rolls")?;

    // `traceresponse`: version-trace id-span id-flags.
    let header = headers.get("traceresponse").and_then(|value| value.to_str().ok());
    let trace_id = header.and_then(|value| value.split('-').nth(1)).map(str::to_owned);
    let speedup = sequential / batch;
    Ok(Iteration { sequential, single, batch, speedup, slowest_roll: None, overhead: None, trace_id })
}

impl Iteration {
    /// Adds what the trace of its batch knows.
    pub(crate) fn add(&mut self, trace: &BatchTrace) {
        self.slowest_roll = Some(trace.slowest());
        self.overhead = Some(self.batch - trace.slowest());
    }
}

/// Waits for the whole response, and returns its headers if it is a roll.
async fn get(client: &Client, config: &Config, path: &str, query: &[(&str, u32)]) -> anyhow::Result<HeaderMap> {
    let request = client.get(config.dice_roller()?.join(path)?).query(&[("die", &config.die)]).query(query);
    let exchange = async {
        let response = request.timeout(LIMIT).send().await?;
        Ok((response.status(), response.headers().clone(), response.bytes().await?))
    };
    let (status, headers, body) =
        exchange.await.map_err(reqwest::Error::without_url).context("dice-roller did not respond")?;
    if status.is_success() {
        return Ok(headers);
    }
    let detail = serde_json::from_slice(&body).map_or_else(|_| String::new(), |problem: ProblemBody| problem.detail);
    let refused = format!("dice-roller responded with {status}: {detail}");
    match status {
        StatusCode::INTERNAL_SERVER_ERROR => Err(DieFailed(refused).into()),
        _ => bail!(refused),
    }
}
