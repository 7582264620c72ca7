//! A real process, and what the operating system says of it.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use nix::time::ClockId;
use nix::unistd::Pid;
use test_support::raw::Connection;

/// Longer than any start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// A program that serves HTTP; killed when dropped.
pub(crate) struct Process {
    process: test_support::Process,
    pub(crate) address: SocketAddr,
    started: Instant,
}

/// Resident memory, in MB (10⁶ bytes).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    pub(crate) now: f64,
    pub(crate) most: f64,
}

impl Process {
    /// Starts a role of `dice` on a free port, with nothing in its environment but `environment`. Its log lines go into
    /// a pipe that is read, as under a container's log driver.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn dice(role: &str, environment: &[(&str, &str)]) -> anyhow::Result<Self> {
        Self::start(Path::new(env!("CARGO_BIN_EXE_dice")), &[role], environment)
    }

    /// As [`Process::dice`], with the service's own program, as the images hold it: less code to map than the launcher.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn service(name: &str, environment: &[(&str, &str)]) -> anyhow::Result<Self> {
        Self::start(&Path::new(env!("CARGO_BIN_EXE_dice")).with_file_name(name), &[], environment)
    }

    /// Builds the services' own programs beside the launcher: cargo makes only that for a benchmark of its package.
    ///
    /// # Errors
    /// When they do not compile.
    pub(crate) fn build_services() -> anyhow::Result<()> {
        let services = ["die-service", "dice-roller", "frontend"].map(|name| format!("--package={name}"));
        let built = Command::new(env!("CARGO")).args(["build", "--profile=bench", "--bins"]).args(services).status()?;
        ensure!(built.success(), "the services' programs cannot be built");
        Ok(())
    }

    /// Starts `program`, which has to listen on `PORT`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn start(program: &Path, args: &[&str], environment: &[(&str, &str)]) -> anyhow::Result<Self> {
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let started = Instant::now();
        let mut command = Command::new(program);
        command.args(args).env_clear().env("PORT", address.port().to_string()).envs(environment.iter().copied());
        let process = test_support::Process::spawn_discarding(command)
            .with_context(|| format!("{} cannot be started", program.display()))?;
        Ok(Self { process, address, started })
    }

    /// Waits until `/ready` responds with 200; returns the time since the process was started.
    ///
    /// # Errors
    /// When it ends, or is not ready within ten seconds.
    pub(crate) fn ready(&mut self) -> anyhow::Result<Duration> {
        loop {
            let response = Connection::open(&self.url()).and_then(|mut connection| connection.get("/ready", ""));
            if response.is_ok_and(|response| response.status == 200) {
                return Ok(self.started.elapsed());
            }
            if let Some(status) = self.process.exited()? {
                bail!("a process ended before it was ready: {status}");
            }
            if self.started.elapsed() > PATIENCE {
                bail!("a process was not ready within {PATIENCE:?}");
            }
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Processor time of all its threads so far, those that have ended included.
    ///
    /// # Errors
    /// When the process is gone.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        let clock = ClockId::pid_cpu_clock_id(Pid::from_raw(self.process.id()))?;
        Ok(clock.now()?.into())
    }

    /// # Errors
    /// When the process is gone.
    pub(crate) fn memory(&self) -> anyhow::Result<Memory> {
        let megabytes = |bytes: u64| bytes as f64 / 1e6;
        Ok(Memory { now: megabytes(self.process.memory()), most: megabytes(self.process.peak_memory()) })
    }

    /// The sum of all samples of a metric, whatever their labels.
    ///
    /// # Errors
    /// When the process does not respond.
    pub(crate) fn metric(&self, name: &str) -> anyhow::Result<f64> {
        let text = Connection::open(&self.url())?.get("/metrics", "")?.text();
        let of_metric = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
        let values = text.lines().filter(of_metric).filter_map(|line| line.rsplit_once(' '));
        values.map(|(_, value)| value.trim().parse::<f64>().context("a metric is not a number")).sum()
    }
}
