//! One iteration: a batch of rolls at once, then the same number one after another, timed from outside.

use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use reqwest::header::HeaderMap;
use reqwest::{Client, StatusCode, Url};
use telemetry::ProblemBody;

use super::config::Config;

/// dice-roller responds to the largest batch well within this.
const LIMIT: Duration = Duration::from_secs(30);

/// What one iteration has measured.
#[derive(Debug)]
pub(crate) struct Iteration {
    /// Seconds of each single roll.
    pub(crate) single: Vec<f64>,
    /// Seconds of all of them, the time between two included.
    pub(crate) sequential: f64,
    /// Seconds of the batch.
    pub(crate) batch: f64,
    /// The batch's trace, if dice-roller makes spans.
    pub(crate) trace_id: Option<String>,
}

/// Why an iteration has no numbers.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A roll failed by its die's error rate: the iteration is left out, and the next one may work.
    Die(String),
    /// Anything else: measuring further makes no sense.
    Broken(anyhow::Error),
}

/// Measures once.
///
/// # Errors
/// [`Failure`].
pub(crate) async fn iteration(client: &Client, config: &Config) -> Result<Iteration, Failure> {
    let single_url = url(config, "roll").map_err(Failure::Broken)?;
    let mut batch_url = url(config, "roll-async").map_err(Failure::Broken)?;
    batch_url.query_pairs_mut().append_pair("times", &config.rolls.to_string());

    // The batch first: what dice-roller does not allow is refused before the long part.
    let started = Instant::now();
    let headers = get(client, &batch_url).await?;
    let batch = started.elapsed().as_secs_f64();

    let mut single = Vec::new();
    let started = Instant::now();
    for _ in 0..config.rolls {
        let started = Instant::now();
        get(client, &single_url).await?;
        single.push(started.elapsed().as_secs_f64());
    }
    let sequential = started.elapsed().as_secs_f64();

    // `traceresponse`: version-trace id-span id-flags.
    let header = headers.get("traceresponse").and_then(|value| value.to_str().ok());
    let trace_id = header.and_then(|value| value.split('-').nth(1)).map(str::to_owned);
    Ok(Iteration { single, sequential, batch, trace_id })
}

fn url(config: &Config, path: &str) -> anyhow::Result<Url> {
    let mut url = config.dice_roller_url.join(path)?;
    url.query_pairs_mut().append_pair("die", &config.die);
    Ok(url)
}

/// Waits for the whole response, and returns its headers if it is a roll.
async fn get(client: &Client, url: &Url) -> Result<HeaderMap, Failure> {
    let exchange = async {
        let response = client.get(url.clone()).timeout(LIMIT).send().await?;
        Ok((response.status(), response.headers().clone(), response.bytes().await?))
    };
    let answered = exchange.await.map_err(reqwest::Error::without_url);
    let (status, headers, body) =
        answered.with_context(|| format!("dice-roller did not answer {url}")).map_err(Failure::Broken)?;
    if status.is_success() {
        return Ok(headers);
    }
    let detail = serde_json::from_slice(&body).map_or_else(|_| String::new(), |problem: ProblemBody| problem.detail);
    let refused = format!("dice-roller answered {status}: {detail}");
    Err(match status {
        StatusCode::INTERNAL_SERVER_ERROR => Failure::Die(refused),
        _ => Failure::Broken(anyhow!(refused)),
    })
}
