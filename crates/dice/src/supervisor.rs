//! Starts each process and waits until it is ready, watches them, and stops them one after another.

use std::time::Duration;

use anyhow::{anyhow, bail};
use futures::future::select_all;
use nix::sys::signal::Signal;
use tokio::time::timeout;

use crate::child::Child;
use crate::config::Config;
use crate::output::{self, Output};
use crate::ready::ready;
use crate::system::System;
use crate::welcome::welcome;

/// A service is ready within milliseconds, so one that is not after this time hangs.
const START_LIMIT: Duration = Duration::from_secs(30);

/// What a service may need after its grace time: 1 s to stop its runtime, 4.5 s to flush spans and log records, 2 s for
/// log lines, and a little more.
const FLUSH_LIMIT: Duration = Duration::from_secs(10);

/// The last lines of a process that has exited are in the pipe already.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Starts the system and keeps it running until Ctrl-C, SIGTERM, or until one of its processes exits.
///
/// # Errors
/// In one line: a port is taken, a service did not start or exited by itself, or a second Ctrl-C cut the shutdown short.
pub(crate) fn run(config: &Config) -> anyhow::Result<()> {
    let system = System::new(config)?;
    system.check_ports(config)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(async {
        let (output, mut writer) = output::open(config);
        let outcome = supervise(&system, config, output).await;
        // Whoever reads may have stopped to.
        let _ = timeout(LAST_LINES, writer.join_next()).await;
        outcome
    });
    // Does not wait for a writer that is blocked because nobody reads.
    runtime.shutdown_background();
    outcome
}

async fn supervise(system: &System, config: &Config, output: Output) -> anyhow::Result<()> {
    let stop = service::stop_signal()?;
    let mut children = Vec::new();
    let outcome = tokio::select! {
        exited = run_until_exit(system, &mut children, &output) => exited,
        () = stop => Ok(()),
    };
    let stop_again = service::stop_signal()?;
    let limit = Duration::from_millis(config.shutdown_delay_ms + config.shutdown_grace_ms) + FLUSH_LIMIT;
    tokio::select! {
        () = stop_in_order(&mut children, limit, &output) => outcome,
        () = stop_again => {
            children.iter().for_each(|child| child.signal(Signal::SIGKILL));
            bail!("ended at once by the second signal: requests were cut off, and spans may be lost")
        }
    }
}

/// Starts all, each when the one before is ready, and returns when one of them has exited, which is always an error.
async fn run_until_exit(system: &System, children: &mut Vec<Child>, output: &Output) -> anyhow::Result<()> {
    for part in &system.parts {
        children.push(Child::start(part, &system.environment, output)?);
        tokio::select! {
            in_time = timeout(START_LIMIT, ready(&part.url)) => in_time.map_err(|_| {
                anyhow!("{} is not ready after {START_LIMIT:?}: its lines above may say why", part.service.name)
            })?,
            exited = first_exit(children) => return exited,
        }
    }
    output.say(&welcome(system)).await;
    first_exit(children).await
}

/// Waits until one of `children` exits, and reports which one and why.
async fn first_exit(children: &mut [Child]) -> anyhow::Result<()> {
    let (status, index, others) = select_all(children.iter_mut().map(|child| Box::pin(child.exited()))).await;
    drop(others);
    let (child, status) = (&mut children[index], status?);
    match timeout(LAST_LINES, child.last_error()).await.ok().flatten() {
        Some(error) => bail!("{} exited by itself ({status}): {error}: put that right and start again", child.name),
        None => bail!("{} exited by itself ({status}): see its lines above, and start again", child.name),
    }
}

/// Stops the callers before those that they call, and last of all the receiver of spans.
async fn stop_in_order(children: &mut [Child], limit: Duration, output: &Output) {
    let names: Vec<_> = children.iter().rev().filter(|child| child.runs()).map(|child| child.name).collect();
    output.say(&format!("Stopping {}; Ctrl-C again ends all at once", names.join(", "))).await;
    for child in children.iter_mut().rev() {
        if !child.stop(limit).await {
            output.say(&format!("{} did not stop within {limit:?} and was killed", child.name)).await;
        }
        // Until its last line is out.
        let _ = timeout(LAST_LINES, child.last_error()).await;
    }
}
