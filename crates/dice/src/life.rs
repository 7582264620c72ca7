//! The life of the system: start each process and wait until it is ready, watch them, stop them in order.

use std::time::Duration;

use anyhow::{anyhow, bail};
use futures::future::select_all;
use tokio::time::timeout;

use crate::child::Child;
use crate::config::Config;
use crate::output::{self, Output};
use crate::ready::ready;
use crate::system::System;
use crate::table::table;

/// A service is ready within milliseconds; one that is not after this long hangs.
const START_LIMIT: Duration = Duration::from_secs(30);

/// What a service may need after its grace time: 1 s to end its runtime, 5 s each to flush spans, log records and log
/// lines, and a little more.
const FLUSH_LIMIT: Duration = Duration::from_secs(17);

/// An ended process' last lines are in the pipe already.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Starts the system and keeps it until Ctrl-C, SIGTERM, or the end of one of its processes.
///
/// # Errors
/// In one line: a port is taken, a service did not start or ended by itself, or a second Ctrl-C cut the stop short.
pub(crate) fn run(config: &Config) -> anyhow::Result<()> {
    let system = System::new(config)?;
    system.check_ports()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(async {
        let (output, writer) = output::open(config);
        let outcome = live(&system, config, output).await;
        writer.finish().await;
        outcome
    });
    // A writer that is stuck, because nobody reads, is left behind.
    runtime.shutdown_background();
    outcome
}

async fn live(system: &System, config: &Config, output: Output) -> anyhow::Result<()> {
    let asked_to_stop = telemetry::stop_signal()?;
    let mut children = Vec::new();
    let outcome = tokio::select! {
        ended = until_one_ends(system, &mut children, &output) => ended,
        () = asked_to_stop => Ok(()),
    };
    let asked_again = telemetry::stop_signal()?;
    let limit = Duration::from_millis(config.shutdown_grace_ms) + FLUSH_LIMIT;
    tokio::select! {
        () = stop_in_order(&mut children, limit, &output) => outcome,
        () = asked_again => {
            children.iter().for_each(Child::kill);
            bail!("ended at once, as asked twice: requests were cut off, and spans may be lost")
        }
    }
}

/// Starts all, each when the one before is ready, and returns when one of them has ended, which is always an error.
async fn until_one_ends(system: &System, children: &mut Vec<Child>, output: &Output) -> anyhow::Result<()> {
    for service in &system.services {
        children.push(Child::start(service, &system.environment, output)?);
        tokio::select! {
            in_time = timeout(START_LIMIT, ready(service.reached_at())) => in_time.map_err(|_| {
                anyhow!("{} is not ready after {START_LIMIT:?}: its lines above may say why", service.role)
            })?,
            ended = one_ended(children) => return ended,
        }
    }
    output.say(&table(system)).await;
    one_ended(children).await
}

/// Waits for the first end among `children`, and says whose it was and why.
async fn one_ended(children: &mut [Child]) -> anyhow::Result<()> {
    let (status, index, others) = select_all(children.iter_mut().map(|child| Box::pin(child.ended()))).await;
    drop(others);
    let (child, status) = (&mut children[index], status?);
    match timeout(LAST_LINES, child.last_error()).await.ok().flatten() {
        Some(error) => bail!("{} ended by itself ({status}): {error}: put that right and start again", child.role),
        None => bail!("{} ended by itself ({status}): see its lines above, and start again", child.role),
    }
}

/// Stops the callers before those that they call, and last of all the receiver of spans.
async fn stop_in_order(children: &mut [Child], limit: Duration, output: &Output) {
    let roles: Vec<_> = children.iter().rev().filter(|child| child.runs()).map(|child| child.role).collect();
    output.say(&format!("Stopping {}; Ctrl-C again ends all at once", roles.join(", "))).await;
    for child in children.iter_mut().rev() {
        if !child.stop(limit).await {
            output.say(&format!("{} did not stop within {limit:?} and was killed", child.role)).await;
        }
        // Until its last line is out.
        let _ = timeout(LAST_LINES, child.last_error()).await;
    }
}
