//! The system under test: four processes, and the programs that are run against them.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use clap::{CommandFactory, FromArgMatches};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// What this test starts itself as.
pub(crate) const ROLES: [&str; 4] = ["trace-viewer", "die-service", "dice-roller", "frontend"];

/// Runs the service of that name; its settings are in the environment.
pub(crate) fn serve(role: &str) -> ExitCode {
    match role {
        "trace-viewer" => run(role, trace_viewer::run),
        "die-service" => run(role, die_service::run),
        "dice-roller" => run(role, dice_roller::run),
        _ => run(role, frontend::run),
    }
}

fn run<C: CommandFactory + FromArgMatches>(role: &str, run: fn(C) -> anyhow::Result<()>) -> ExitCode {
    let config = match telemetry::config::parse([role.into()]) {
        Ok(config) => config,
        Err(error) => return telemetry::config::report(&error),
    };
    match run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{role}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The running system; dropped, it stops.
pub(crate) struct System {
    pub(crate) viewer: String,
    pub(crate) dice_roller: String,
    frontend: String,
    otlp: String,
    _processes: Vec<Program>,
}

impl System {
    /// Starts all four. `extra` is (role, variable, value). Rolls take up to 20 ms unless it says otherwise.
    pub(crate) fn start(extra: &[(&str, &str, &str)]) -> Self {
        let mut processes = Vec::new();
        let mut start = |role: &str, variables: &[(&str, &str)]| {
            let of_role = extra.iter().filter(|(of, ..)| *of == role).map(|(_, name, value)| (*name, *value));
            let variables: Vec<_> =
                [("PORT", "0"), ("OTLP_PORT", "0"), ("OTEL_BSP_SCHEDULE_DELAY", "100"), ("ROLL_DELAY_MAX_MS", "20")]
                    .into_iter()
                    .chain(variables.iter().copied())
                    .chain(of_role)
                    .collect();
            let mut process = Program::start(&std::env::current_exe().unwrap().to_string_lossy(), &[role], &variables);
            let line: Value = serde_json::from_str(&process.wait_for("\"address\":")).unwrap();
            processes.push(process);
            move |field: &str| format!("http://{}", line[field].as_str().unwrap())
        };
        let viewer = start("trace-viewer", &[]);
        let otlp = viewer("otlp_address");
        let export = ("OTEL_EXPORTER_OTLP_ENDPOINT", &*otlp);
        let die_service = start("die-service", &[export])("address");
        let die_service_url = ("DIE_SERVICE_URL", &*die_service);
        let dice_roller = start("dice-roller", &[export, die_service_url])("address");
        let frontend = start("frontend", &[export, die_service_url, ("DICE_ROLLER_URL", &dice_roller)])("address");
        Self { viewer: viewer("address"), dice_roller, frontend, otlp, _processes: processes }
    }
}

/// A process and what it writes.
pub(crate) struct Program {
    child: Child,
    lines: Receiver<String>,
    seen: String,
}

/// A process that has ended.
pub(crate) struct Finished {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Program {
    pub(crate) fn start(path: &str, flags: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(path);
        command.args(flags).envs(variables.iter().copied()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        // Reads to the end whether or not anyone looks: a full pipe would stop the process.
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).for_each(|line| drop(sender.send(line))));
        Self { child, lines, seen: String::new() }
    }

    /// `generate-traffic` at the system's frontend, without think time, its lines as JSON.
    pub(crate) fn traffic(system: &System, flags: &[&str]) -> Self {
        let variables = [
            ("FRONTEND_URL", &*system.frontend),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &*system.otlp),
            ("THINK_TIME_MS", "0"),
            ("LOG_FORMAT", "json"),
        ];
        Self::start(env!("CARGO_BIN_EXE_generate-traffic"), flags, &variables)
    }

    /// The first line of stdout that holds `text`.
    pub(crate) fn wait_for(&mut self, text: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(Duration::from_secs(30));
            let line = line.unwrap_or_else(|_| panic!("'{text}' was not written; this was:\n{}", self.seen));
            self.seen.push_str(&line);
            self.seen.push('\n');
            if line.contains(text) {
                return line;
            }
        }
    }

    /// As Ctrl-C does.
    pub(crate) fn interrupt(&self) {
        kill(self.pid(), Signal::SIGINT).unwrap();
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap())
    }

    /// Waits for the end, which has to come within a minute.
    pub(crate) fn finish(mut self) -> Finished {
        let deadline = Instant::now() + Duration::from_secs(60);
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None => assert!(Instant::now() < deadline, "still running; this was:\n{}", self.seen),
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        let mut stderr = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        let mut stdout = std::mem::take(&mut self.seen);
        for line in self.lines.iter() {
            stdout.push_str(&line);
            stdout.push('\n');
        }
        Finished { status, stdout, stderr }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
