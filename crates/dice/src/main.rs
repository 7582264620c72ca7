//! The whole system on one machine: `dice` starts it, `dice <role>` is one of its processes.
//!
//! Each service is a process of its own, because tracer provider and subscriber are per process, and so that one can be
//! killed while the others run. All are this same executable, started again with a subcommand.
//!
//! Reading order: `config.rs` (what one can set), `services.rs` (the table of services), `system.rs` (their addresses and
//! environment), `port_owner.rs`, `supervisor.rs` (start, watch, stop), `child.rs` (one process), `ready.rs`, `welcome.rs` (what a person
//! reads first), `output.rs`, `log_line.rs` and `sort.rs` (the log lines of all). `dice doctor` is the crate `doctor`,
//! `dice learn` the crate `lessons`.
//! `show.rs` and `compare.rs` show traces (`trace_source.rs` reads them, `terminal.rs` draws them). `mystery.rs` and
//! `mystery/play.rs` start an incident and judge the answer, with the crate `mystery`.

mod child;
mod compare;
mod config;
mod log_line;
mod mystery;
mod output;
mod port_owner;
mod ready;
mod services;
mod show;
mod sort;
mod supervisor;
mod system;
mod terminal;
mod trace_source;
mod welcome;

use std::process::ExitCode;

/// Cheaper for many small allocations than the allocator of the C library.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Starts the whole system: trace viewer, die-service, dice-roller and frontend, each a process of its own.
///
/// Settings of the services (ROLL_DELAY_MAX_MS, ROLL_SEED, RUST_LOG, …) reach them through the environment;
/// `dice <role> --help` lists them. Ctrl-C stops all in order, without losing a span; a second Ctrl-C ends all at once.
#[derive(Debug, clap::Parser)]
#[command(name = "dice", version, args_conflicts_with_subcommands = true)]
struct Dice {
    /// Run one part in the foreground instead
    #[command(subcommand)]
    role: Option<Role>,

    #[command(flatten)]
    launcher: config::Config,

    /// Stop when standard input ends: so a service notices that its launcher is gone, even when that was killed
    #[arg(long, global = true, hide = true)]
    stop_with_stdin: bool,
}

/// The parts of the system, each with the settings of the program of the same name.
#[derive(Debug, clap::Subcommand)]
enum Role {
    TraceViewer(Box<trace_viewer::Config>),
    DieService(Box<die_service::Config>),
    DiceRoller(Box<dice_roller::Config>),
    Frontend(Box<frontend::Config>),
    GenerateTraffic(Box<traffic_gen::generate::Config>),
    AsyncPerformance(Box<traffic_gen::performance::Config>),
    Doctor(Box<doctor::Config>),
    Show(Box<show::Config>),
    Compare(Box<compare::Config>),
    Learn(Box<lessons::Config>),
    Mystery(Box<mystery::Config>),
}

fn main() -> ExitCode {
    // Before anything else. It cannot fail with these signals.
    let _ = supervisor::hold_signals();
    service::settings::start(run)
}

fn run(dice: Dice) -> anyhow::Result<ExitCode> {
    let starts_system = match &dice.role {
        None => true,
        Some(Role::Mystery(config)) => config.starts_system(),
        Some(_) => false,
    };
    if !starts_system {
        supervisor::release_signals()?;
    }
    if dice.stop_with_stdin {
        child::stop_with_stdin()?;
    }
    match dice.role {
        None => supervisor::run(&dice.launcher, None),
        Some(Role::TraceViewer(config)) => trace_viewer::run(*config),
        Some(Role::DieService(config)) => die_service::run(*config),
        Some(Role::DiceRoller(config)) => dice_roller::run(*config),
        Some(Role::Frontend(config)) => frontend::run(*config),
        Some(Role::GenerateTraffic(config)) => traffic_gen::generate::run(*config),
        Some(Role::AsyncPerformance(config)) => traffic_gen::performance::run(*config),
        Some(Role::Doctor(config)) => doctor::run(&config, &services::FOR_DOCTOR),
        Some(Role::Show(config)) => return Ok(show::run(&config)),
        Some(Role::Compare(config)) => return Ok(compare::run(&config)),
        Some(Role::Learn(config)) => return Ok(lessons::learn(&config)),
        Some(Role::Mystery(config)) => return mystery::run(*config),
    }
    .map(|()| ExitCode::SUCCESS)
}
