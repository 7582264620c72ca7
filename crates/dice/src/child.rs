//! One process of the system: started, watched, stopped.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context;
use nix::sys::signal::{Signal, killpg, raise};
use nix::unistd::Pid;
use tokio::process::{ChildStdin, Command};
use tokio::task::JoinSet;

use crate::output::Output;
use crate::system::{Part, System};

/// A running service.
#[derive(Debug)]
pub(crate) struct Child {
    /// The service's name.
    pub(crate) name: &'static str,
    process: tokio::process::Child,
    /// Two tasks that forward its lines; each returns the last error among them.
    lines: JoinSet<Option<String>>,
    /// Open for as long as the launcher runs; see [`stop_with_stdin`].
    _stdin: Option<ChildStdin>,
}

impl Child {
    /// Starts `part` in a process group of its own: a terminal's Ctrl-C goes to the launcher alone, which then stops the
    /// services one after another.
    ///
    /// # Errors
    /// When the process cannot be started.
    pub(crate) fn start(system: &System, part: &Part, output: &Output) -> anyhow::Result<Self> {
        let name = part.service.name;
        let executable = std::env::current_exe().context("the path of this executable is not known")?;
        let mut process = Command::new(executable)
            .args([name, "--stop-with-stdin"])
            .envs(system.environment_of(part))
            // It would give all services the same name.
            .env_remove("OTEL_SERVICE_NAME")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{name} cannot be started"))?;

        let mut lines = JoinSet::new();
        if let Some((stdout, stderr)) = process.stdout.take().zip(process.stderr.take()) {
            lines.spawn(output.clone().forward(name, stdout));
            lines.spawn(output.clone().forward(name, stderr));
        }
        Ok(Self { name, lines, _stdin: process.stdin.take(), process })
    }

    /// Waits until it has exited, for whatever reason.
    ///
    /// # Errors
    /// When the operating system cannot say.
    pub(crate) async fn exited(&mut self) -> std::io::Result<ExitStatus> {
        self.process.wait().await
    }

    /// Whether it still ran when last looked at.
    pub(crate) fn runs(&self) -> bool {
        self.process.id().is_some()
    }

    /// Waits until its last line is out, and returns the last error among its lines.
    pub(crate) async fn last_error(&mut self) -> Option<String> {
        let mut last = None;
        while let Some(seen) = self.lines.join_next().await {
            last = seen.ok().flatten().or(last);
        }
        last
    }

    /// Sends SIGTERM, waits for at most `limit`, and kills it if it still runs then. Returns whether it exited in time.
    pub(crate) async fn stop(&mut self, limit: Duration) -> bool {
        self.signal(Signal::SIGTERM);
        let in_time = tokio::time::timeout(limit, self.exited()).await.is_ok();
        if !in_time {
            self.signal(Signal::SIGKILL);
            // SIGKILL cannot be handled, so this wait is short.
            let _ = self.exited().await;
        }
        in_time
    }

    /// Sends `signal` to it and all processes that it may have started. A process that has exited has no id any more.
    pub(crate) fn signal(&self, signal: Signal) {
        if let Some(id) = self.process.id().and_then(|id| i32::try_from(id).ok()) {
            // Fails only when the process exited in between.
            let _ = killpg(Pid::from_raw(id), signal);
        }
    }
}

/// Stops this process as SIGTERM does when its standard input ends.
///
/// The launcher holds the other end of that pipe and writes nothing. When it exits, even by SIGKILL, the operating
/// system closes the pipe, so no service keeps running without its launcher.
///
/// # Errors
/// When no thread can be started.
pub(crate) fn stop_with_stdin() -> anyhow::Result<()> {
    let wait = || {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        let _ = raise(Signal::SIGTERM);
    };
    std::thread::Builder::new().name("stdin".to_owned()).spawn(wait)?;
    Ok(())
}
