//! The system under test: four processes, and the programs that are run against them.

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};
use test_support::Process;

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
    let config = match service::settings::parse([role.into()]) {
        Ok(config) => config,
        Err(error) => return service::settings::report(&error),
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
    _processes: Vec<Process>,
}

impl System {
    /// Starts all four. `extra` is (role, variable, value). Rolls take up to 20 ms unless it says otherwise.
    pub(crate) fn start(extra: &[(&str, &str, &str)]) -> Self {
        let start = |role: &str, variables: &[(&str, &str)]| {
            let of_role = extra.iter().filter(|(of, ..)| *of == role).map(|(_, name, value)| (*name, *value));
            let variables: Vec<_> = [
                ("PORT", "0"),
                ("OTLP_PORT", "0"),
                ("OTLP_GRPC_PORT", "0"),
                ("OTEL_BSP_SCHEDULE_DELAY", "100"),
                ("ROLL_DELAY_MAX_MS", "20"),
            ]
            .into_iter()
            .chain(variables.iter().copied())
            .chain(of_role)
            .collect();
            let process = Process::start(std::env::current_exe().unwrap(), &[role], &variables);
            (process.url("address"), process)
        };
        let (viewer, viewer_process) = start("trace-viewer", &[]);
        let otlp = viewer_process.url("otlp_address");
        let export = ("OTEL_EXPORTER_OTLP_ENDPOINT", &*otlp);
        let (die_service, die_service_process) = start("die-service", &[export]);
        let die_service_url = ("DIE_SERVICE_URL", &*die_service);
        let (dice_roller, dice_roller_process) = start("dice-roller", &[export, die_service_url]);
        let (frontend, frontend_process) =
            start("frontend", &[export, die_service_url, ("DICE_ROLLER_URL", &dice_roller)]);
        let processes = vec![viewer_process, die_service_process, dice_roller_process, frontend_process];
        Self { viewer, dice_roller, frontend, otlp, _processes: processes }
    }
}

/// `generate-traffic` with these settings and no others.
pub(crate) fn generate_traffic(flags: &[&str], variables: &[(&str, &str)]) -> Process {
    Process::start(env!("CARGO_BIN_EXE_generate-traffic"), flags, variables)
}

/// `async-performance` with these settings and no others.
pub(crate) fn async_performance(flags: &[&str], variables: &[(&str, &str)]) -> Process {
    Process::start(env!("CARGO_BIN_EXE_async-performance"), flags, variables)
}

impl System {
    /// `generate-traffic` at the system's frontend, without think time, its lines as JSON.
    pub(crate) fn traffic(&self, flags: &[&str]) -> Process {
        let variables = [
            ("FRONTEND_URL", &*self.frontend),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &*self.otlp),
            ("THINK_TIME_MS", "0"),
            ("LOG_FORMAT", "json"),
        ];
        generate_traffic(flags, &variables)
    }
}
