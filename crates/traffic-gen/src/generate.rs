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
use std::time::{Duration, Instant};

use futures::future;
use indicatif::ProgressBar;
use reqwest::Url;
use telemetry::Telemetry;
use telemetry::settings::LogFormat;
use tokio::sync::mpsc;

use crate::manifest::{self, Manifest};

pub use config::{Command, Config, ThinkTime};
pub(crate) use request::{Outcome, Response};

use load::planned_count;
use plan::User;
use progress::StdoutAbove;
use request::Caller;
use stop::Stop;
use summary::Summary;

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
    let (frontend, config) = (config.frontend()?, Arc::new(config));
    let seed = config.seed.unwrap_or_else(rand::random);
    let requests = match (config.rate, config.duration()) {
        (None, _) => Some(User::all(&config, seed).map(|user| u64::from(user.count)).sum()),
        (Some(rate), Some(duration)) => Some(planned_count(rate, duration)),
        (Some(_), None) => None,
    };

    let progress = progress::bar(requests)?;
    let stdout = StdoutAbove(progress.clone());
    let telemetry = Telemetry::init_writing_to(NAME, env!("CARGO_PKG_VERSION"), &config.telemetry()?, stdout)?;
    let client = telemetry.handle().client(&frontend)?;
    let mut summary = Summary::new(seed)?;
    telemetry.run(async {
        crate::http::check(&crate::http::client()?, "the frontend", &frontend, "FRONTEND_URL").await?;
        let own_name = config.telemetry.otel.otel_service_name.as_deref().unwrap_or(NAME);
        let manifest = config.manifest.as_deref().map(|path| Manifest::create(path, own_name)).transpose()?;
        let made = make(&config, seed, requests, (client, frontend), &progress, manifest, &mut summary).await;
        progress.finish_and_clear();
        made
    })?;
    // Everything has left by now, log lines and spans; the summary is the last word.
    let mut stdout = std::io::stdout().lock();
    match config.telemetry.log_format {
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
    (client, frontend): (telemetry::Client, Url),
    progress: &ProgressBar,
    mut manifest: Option<Manifest>,
    summary: &mut Summary,
) -> anyhow::Result<()> {
    let stop = Stop::default();
    let timeout = Duration::from_millis(config.request_timeout_ms);
    let caller = Caller { client, frontend: frontend.clone(), timeout, stop: stop.clone() };
    let (outcomes, mut arriving) = mpsc::unbounded_channel();
    let (users, rate, frontend) = (config.num_users, config.rate, frontend.as_str());
    tracing::info!(users, requests, rate, seed, frontend, "Traffic generation started");
    let started = Instant::now();

    let load = async {
        match config.rate {
            None => load::users(config, seed, caller, outcomes).await,
            Some(rate) => load::fixed_rate(config, rate, requests, seed, caller, outcomes).await,
        }
        Ok(())
    };
    let taking_in = async {
        while let Some(outcome) = arriving.recv().await {
            summary.add(&outcome);
            progress.inc(1);
            if summary.failed() > 0 {
                progress.set_message(format!("{} failed", summary.failed()));
            }
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
        never = stop.run(duration, service::stop_signal()?) => match never {},
    }

    summary.finish(started.elapsed());
    let Summary { requests, rolls, seconds: duration, .. } = *summary;
    tracing::info!(requests, rolls, errors = summary.failed(), duration, "Traffic generation finished");
    Ok(())
}
