//! One process of the system: started, watched, stopped.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context;
use nix::sys::signal::{Signal, killpg, raise};
use nix::unistd::Pid;
use tokio::process::{ChildStdin, Command};
use tokio::task::JoinSet;

use crate::output::Output;
use crate::system::Service;

/// A running role of this executable.
#[derive(Debug)]
pub(crate) struct Child {
    /// Its role.
    pub(crate) role: &'static str,
    process: tokio::process::Child,
    /// Two tasks that carry its lines on; each ends with the last error that it saw.
    lines: JoinSet<Option<String>>,
    /// Held open for as long as the launcher lives; see [`stop_with_stdin`].
    _lifeline: Option<ChildStdin>,
}

impl Child {
    /// Starts `service` in a process group of its own: a terminal's Ctrl-C goes to the launcher alone, which then
    /// stops the services in order.
    ///
    /// # Errors
    /// When the process cannot be started.
    pub(crate) fn start(
        service: &Service,
        environment: &[(&'static str, String)],
        output: &Output,
    ) -> anyhow::Result<Self> {
        let executable = std::env::current_exe().context("the path of this executable is not known")?;
        let mut process = Command::new(executable)
            .args([service.role, "--stop-with-stdin"])
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .env("PORT", service.address.port().to_string())
            // One name for all would make one service of three.
            .env_remove("OTEL_SERVICE_NAME")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{} cannot be started", service.role))?;

        let mut lines = JoinSet::new();
        if let Some(stdout) = process.stdout.take() {
            lines.spawn(output.clone().carry(service.role, stdout));
        }
        if let Some(stderr) = process.stderr.take() {
            lines.spawn(output.clone().carry(service.role, stderr));
        }
        let lifeline = process.stdin.take();
        Ok(Self { role: service.role, process, lines, _lifeline: lifeline })
    }

    /// Waits for its end, however that comes.
    ///
    /// # Errors
    /// When the operating system does not tell.
    pub(crate) async fn ended(&mut self) -> std::io::Result<ExitStatus> {
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

    /// Asks it to stop, waits for at most `limit`, and kills it if it has not ended by then. Returns whether it ended
    /// by itself.
    pub(crate) async fn stop(&mut self, limit: Duration) -> bool {
        self.signal(Signal::SIGTERM);
        let in_time = tokio::time::timeout(limit, self.ended()).await.is_ok();
        if !in_time {
            self.kill();
            // Nobody survives SIGKILL, so this wait is short.
            let _ = self.ended().await;
        }
        in_time
    }

    /// Ends it at once, with all that it may have started.
    pub(crate) fn kill(&self) {
        self.signal(Signal::SIGKILL);
    }

    /// Sends `signal` to the process group. One that has ended already has no id any more and is left alone.
    fn signal(&self, signal: Signal) {
        if let Some(id) = self.process.id().and_then(|id| i32::try_from(id).ok()) {
            // Fails only when the process ended in between.
            let _ = killpg(Pid::from_raw(id), signal);
        }
    }
}

/// Stops this process as SIGTERM does when its standard input ends.
///
/// The launcher holds the other end of that pipe and writes nothing. When it dies, even by SIGKILL, the operating
/// system closes the pipe, so no service outlives its launcher.
///
/// # Errors
/// When no thread can be started.
pub(crate) fn stop_with_stdin() -> anyhow::Result<()> {
    let wait = || {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        let _ = raise(Signal::SIGTERM);
    };
    std::thread::Builder::new().name("lifeline".to_owned()).spawn(wait)?;
    Ok(())
}
