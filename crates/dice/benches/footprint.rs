//! What a service takes before and while it works: time to its first response, and memory.
//!
//! Memory in flight is that of the whole way: 1,000 users request batches from frontend of twenty, with the real delays.

mod support;

use std::process::ExitCode;
use std::time::Duration;

use support::load::Load;
use support::process::Process;
use support::report::{Cell, Table, print};
use support::settings::Settings;
use support::sink::Sink;
use support::system::System;
use support::{SHIPPED_QUEUE, quantile, runtime, sorted};
use tokio::runtime::Runtime;

/// The same as in every program that is measured.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const PATH: &str = "/roll-async?die=fair&times=20";
const DELAY_MS: u64 = 1000;
const USERS: usize = 1000;

fn main() -> ExitCode {
    service::settings::start(run)
}

fn run(settings: Settings) -> anyhow::Result<()> {
    Process::build_services()?;
    let runtime = runtime(1)?;
    let sink = Sink::start(&runtime, drop)?;
    let mut tables = Vec::new();
    for (processor, goal) in [("batch", "≤ 18"), ("direct", "≤ 12")] {
        tables.extend(measure(&runtime, &sink, &settings, processor, goal)?);
    }
    print("footprint", &tables, settings.json)
}

/// Starts and resident memory of all three services with this span processor.
fn measure(
    runtime: &Runtime,
    sink: &Sink,
    settings: &Settings,
    processor: &'static str,
    goal: &'static str,
) -> anyhow::Result<[Table; 2]> {
    let system = System::start(sink, processor, DELAY_MS)?;

    let columns = ["", "median ms", "of starts", "goal"];
    let mut starts = Table::new(format!("From exec to the first 200 of /ready, SPAN_PROCESSOR={processor}"), &columns);
    for (role, _) in system.services() {
        let milliseconds = (0..settings.rounds(20)).map(|_| started(role, &system, sink, processor));
        let sample = sorted(milliseconds.collect::<anyhow::Result<_>>()?);
        starts.row([
            role.into(),
            Cell::Number(quantile(&sample, 0.5), 1),
            Cell::spread(&sample, 1),
            Cell::from("≤ 100"),
        ]);
    }

    // What it takes once it runs, the list of dice fetched and the first export tried.
    std::thread::sleep(Duration::from_secs(2));
    let idle: Vec<f64> = memory(&system)?.into_iter().map(|memory| memory.now).collect();
    let load = Load {
        to: system.frontend.address,
        path: PATH,
        connections: USERS,
        warm_up: Duration::from_secs(1),
        time: settings.time(15),
        rate: None,
        bursts: None,
    };
    let outcome = runtime.block_on(load.run())?;
    let title = format!(
        "Resident memory, SPAN_PROCESSOR={processor}; in flight: {USERS} batches of 20 through frontend, {:.0} a second, {} failed",
        outcome.rate(),
        outcome.failed
    );
    let mut resident = Table::new(title, &["", "idle MB", "goal idle", "in flight, most MB", "goal in flight"]);
    for (((role, _), idle), most) in system.services().into_iter().zip(idle).zip(memory(&system)?) {
        resident.row([role.into(), Cell::Number(idle, 1), goal.into(), Cell::Number(most.most, 0), "≤ 256".into()]);
    }
    Ok([starts, resident])
}

fn memory(system: &System) -> anyhow::Result<Vec<support::process::Memory>> {
    system.services().into_iter().map(|(_, process)| process.memory()).collect()
}

/// Milliseconds that another process of this role takes to its first response, beside the running system.
fn started(role: &str, system: &System, sink: &Sink, processor: &str) -> anyhow::Result<f64> {
    let (otlp, die, roller) = (sink.url(), system.die_service.url(), system.dice_roller.url());
    let own = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &*otlp),
        ("DIE_SERVICE_URL", &die),
        ("DICE_ROLLER_URL", &roller),
        ("SPAN_PROCESSOR", processor),
    ];
    let mut process = Process::service(role, &[&SHIPPED_QUEUE[..], &own].concat())?;
    Ok(process.ready()?.as_secs_f64() * 1000.0)
}
