//! Starts each process and waits until it is ready, watches them, and stops them one after another.

use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{anyhow, bail};
use futures::future::select_all;
use nix::sys::signal::{SigSet, Signal};
use tokio::time::timeout;

use crate::child::Child;
use crate::config::Config;
use crate::mystery::Play;
use crate::output::{self, Output};
use crate::ready::ready;
use crate::services::TRACE_VIEWER;
use crate::system::System;
use crate::welcome::welcome;

/// A service is ready within milliseconds, so one that is not after this time hangs.
const START_LIMIT: Duration = Duration::from_secs(30);

/// What a service may need after its grace time: 1 s to stop its runtime, 4.5 s to flush spans and log records, 2 s for
/// log lines, and a little more.
const FLUSH_LIMIT: Duration = Duration::from_secs(10);

/// The last lines of a process that has exited are in the pipe already.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Keeps SIGTERM, SIGINT and SIGHUP waiting, for the first milliseconds in which nothing handles them yet.
pub(crate) fn hold_signals() -> nix::Result<()> {
    SigSet::from_iter(STOP_SIGNALS).thread_block()
}

/// Delivers those that have waited, and all later ones at once.
pub(crate) fn release_signals() -> nix::Result<()> {
    SigSet::from_iter(STOP_SIGNALS).thread_unblock()
}

const STOP_SIGNALS: [Signal; 3] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP];

/// Starts the system, with an incident in it or without, and keeps it running until Ctrl-C, SIGTERM, SIGHUP, or until one of its services exits.
///
/// # Errors
/// In one line: a setting is not valid, a port is taken, a service did not start or exited by itself, or a second Ctrl-C
/// cut the shutdown short.
pub(crate) fn run(config: &Config, play: Option<&Play>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let in_runtime = runtime.enter();
    let stop = service::stop_signal()?;
    drop(in_runtime);
    release_signals()?;

    let mut system = System::new(config)?;
    if let Some(play) = play {
        play.prepare(&mut system)?;
    }
    system.check_settings()?;
    system.check_ports(config, play.map_or("cargo run --", Play::command))?;
    let outcome = runtime.block_on(async {
        let (output, mut writer) = output::open(config, play.is_none());
        let outcome = supervise(&system, play, config, output, stop).await;
        // Whoever reads may have stopped to.
        let _ = timeout(LAST_LINES, writer.join_next()).await;
        outcome
    });
    // Does not wait for a writer that is blocked because nobody reads.
    runtime.shutdown_background();
    outcome
}

async fn supervise(
    system: &System,
    play: Option<&Play>,
    config: &Config,
    output: Output,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let mut running = Running { system, play, output, children: Vec::new(), viewer: Viewer::Starting };
    let outcome = tokio::select! {
        biased; // a stop that came before the first child starts none
        () = stop => Ok(()),
        failed = running.until_failure() => failed,
    };
    let Running { output, mut children, .. } = running;
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

/// The processes, as far as they are started.
struct Running<'a> {
    system: &'a System,
    play: Option<&'a Play>,
    output: Output,
    /// In the order of their start.
    children: Vec<Child>,
    viewer: Viewer,
}

/// What became of the viewer. Nobody waits for it, so the services outlive it.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Viewer {
    /// When it exits now, the system has not begun.
    Starting,
    Runs,
    StartedAgain,
}

impl Running<'_> {
    /// Starts all, each when the one before is ready, and returns when a service has exited, which is always an error.
    async fn until_failure(&mut self) -> anyhow::Result<()> {
        for part in &self.system.parts {
            self.children.push(Child::start(self.system, part, &self.output)?);
            tokio::select! {
                in_time = timeout(START_LIMIT, ready(&part.url)) => in_time.map_err(|_| {
                    anyhow!("{} is not ready after {START_LIMIT:?}: its lines above may say why", part.service.name)
                })?,
                failed = self.failure() => return failed,
            }
            if part.service.name == TRACE_VIEWER.name {
                self.viewer = Viewer::Runs;
            }
        }
        let Some(play) = self.play else {
            self.output.say(&welcome(self.system)).await;
            return self.failure().await;
        };
        self.children.push(Child::start(self.system, &play.traffic(), &self.output)?);
        let (system, output) = (self.system, self.output.clone());
        output.say(&play.welcome(system)).await;
        tokio::select! {
            failed = self.failure() => failed,
            failed = play.proceed(system, &output) => failed,
        }
    }

    /// Waits until a service exits, and reports which one and why. A viewer that exits is started again once.
    async fn failure(&mut self) -> anyhow::Result<()> {
        loop {
            let (status, index, others) =
                select_all(self.children.iter_mut().map(|child| Box::pin(child.exited()))).await;
            drop(others);
            let (child, status) = (&mut self.children[index], status?);
            let error = timeout(LAST_LINES, child.last_error()).await.ok().flatten();
            if child.name == TRACE_VIEWER.name && self.viewer != Viewer::Starting {
                self.children.remove(index);
                self.replace_viewer(status).await;
                continue;
            }
            match error {
                Some(error) => {
                    bail!("{} exited by itself ({status}): {error}: put that right and start again", child.name)
                }
                None => bail!("{} exited by itself ({status}): see its lines above, and start again", child.name),
            }
        }
    }

    async fn replace_viewer(&mut self, status: ExitStatus) {
        let name = TRACE_VIEWER.name;
        let off = "stays off. The services go on; spans that they cannot export are dropped, and counted in \
                   telemetry_spans_dropped_total";
        if self.viewer == Viewer::StartedAgain {
            return self.output.say(&format!("{name} exited again ({status}) and {off}")).await;
        }
        self.viewer = Viewer::StartedAgain;
        let again = "is started again, once. Its traces are gone; the services go on";
        self.output.say(&format!("{name} exited by itself ({status}) and {again}")).await;
        for part in self.system.parts.iter().filter(|part| part.service.name == name) {
            match Child::start(self.system, part, &self.output) {
                // First in the order of start, so it stops last.
                Ok(child) => self.children.insert(0, child),
                Err(error) => self.output.say(&format!("{error:#}: {name} {off}")).await,
            }
        }
    }
}

/// Stops the callers before those that they call, and last of all the receiver of spans.
async fn stop_in_order(children: &mut [Child], limit: Duration, output: &Output) {
    let names: Vec<_> = children.iter().rev().filter(|child| child.runs()).map(|child| child.name).collect();
    if !names.is_empty() {
        output.say(&format!("Stopping {}\nCtrl-C again ends all at once", names.join(", "))).await;
    }
    for child in children.iter_mut().rev() {
        if !child.stop(limit).await {
            output.say(&format!("{} did not stop within {limit:?} and was killed", child.name)).await;
        }
        // Until its last line is out.
        let _ = timeout(LAST_LINES, child.last_error()).await;
    }
}
