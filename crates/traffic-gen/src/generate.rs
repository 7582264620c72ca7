//! `generate-traffic`: simulated users, and what they saw.
//!
//! A run: the frontend responds, telemetry is on, requests are made by users who think or at a fixed rate,
//! each outcome is counted and written to the manifest; at the end, or at Ctrl-C, the summary.

mod config;
mod load;
mod plan;
mod progress;
mod request;
mod stop;
mod summary;

use std::io::Write as _;
use std::sync::Arc;
use std::time::Instant;

use futures::future;
use telemetry::Telemetry;
use telemetry::config::LogFormat;
use tokio::sync::mpsc;

use crate::manifest::{self, Manifest};

pub use config::{Command, Config, ThinkTime};
pub(crate) use request::{Outcome, Response};

use load::planned_count;
use plan::User;
use progress::Progress;
use request::Caller;
use stop::Clock;
use summary::{Account, Summary};

/// The program's name in spans and logs.
pub const NAME: &str = "traffic-generator-stage4";

/// Makes the traffic, or does what the subcommand says.
///
/// # Errors
/// When the frontend does not respond, a file cannot be written, or telemetry cannot be set up; for `verify`, when
/// anything was lost.
pub fn run(config: Config) -> anyhow::Result<()> {
    if let Some(Command::Verify(verify)) = config.command {
        return manifest::verify(&verify);
    }
    config.check()?;
    let config = Arc::new(config);
    let seed = config.seed.unwrap_or_else(rand::random);
    let requests = match (config.rate, config.duration()) {
        (None, _) => Some(User::all(&config, seed).map(|user| u64::from(user.count)).sum()),
        (Some(rate), Some(duration)) => Some(planned_count(rate, duration)),
        (Some(_), None) => None,
    };

    let progress = Progress::new(requests)?;
    let telemetry = Telemetry::start_writing(NAME, env!("CARGO_PKG_VERSION"), &config.telemetry(), progress.stdout())?;
    let client = telemetry.handle().client(&config.frontend_url)?;
    let mut summary = None;
    telemetry.run(async {
        crate::http::check(&crate::http::client()?, "the frontend", &config.frontend_url, "FRONTEND_URL").await?;
        let own_name = config.otel.otel_service_name.as_deref().unwrap_or(NAME);
        let manifest = config.manifest.as_deref().map(|path| Manifest::create(path, own_name)).transpose()?;
        let made = make(&config, seed, requests, client, &progress, manifest).await;
        progress.clear();
        summary = Some(made?);
        Ok(())
    })?;
    // Everything has left by now, log lines and spans; the summary is the last word.
    let Some(summary) = summary else { return Ok(()) };
    let mut stdout = std::io::stdout().lock();
    match config.log_format {
        LogFormat::Pretty => write!(stdout, "{summary}")?,
        LogFormat::Json => writeln!(stdout, "{}", serde_json::json!({ "summary": summary }))?,
    }
    Ok(())
}

/// Makes the requests and takes in their outcomes, until all have ended or the run is stopped.
async fn make(
    config: &Arc<Config>,
    seed: u64,
    requests: Option<u64>,
    client: telemetry::Client,
    progress: &Progress,
    mut manifest: Option<Manifest>,
) -> anyhow::Result<Summary> {
    let (clock, stop) = Clock::new();
    let caller =
        Caller { client, frontend: config.frontend_url.clone(), timeout: config.request_timeout(), stop: stop.clone() };
    let (outcomes, mut arriving) = mpsc::unbounded_channel();
    tracing::info!(
        users = config.num_users,
        requests,
        rate = config.rate,
        seed,
        frontend = config.frontend_url.as_str(),
        "Traffic generation started"
    );
    let started = Instant::now();

    let load = async {
        match config.rate {
            None => load::users(config, seed, caller, outcomes).await,
            Some(rate) => load::fixed_rate(config, rate, requests, seed, caller, outcomes).await,
        }
        Ok(())
    };
    let mut account = Account::new()?;
    let taking_in = async {
        while let Some(outcome) = arriving.recv().await {
            account.add(&outcome);
            progress.one_more(account.failed());
            if let Some(manifest) = &mut manifest {
                manifest.add(&outcome)?;
            }
        }
        manifest.map_or(Ok(()), Manifest::finish)
    };
    // A fixed rate makes every request that it planned within the duration, late ones too.
    let duration = if config.rate.is_none() { config.duration() } else { None };
    tokio::select! {
        ended = future::try_join(load, taking_in) => drop(ended?),
        never = clock.run(duration, telemetry::stop_signal()?) => match never {},
    }

    let summary = account.close(seed, started.elapsed());
    tracing::info!(
        requests = summary.requests,
        rolls = summary.rolls,
        errors = summary.errors.values().sum::<u64>(),
        duration = summary.seconds,
        "Traffic generation finished"
    );
    Ok(summary)
}
