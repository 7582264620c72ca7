//! The cost as work grows: 1, 10, 100 and 1,000 batches of ten in flight, at dice-roller and through frontend, with the
//! simulated work and without. Every row has a system of its own, with the real die-service, on all cores.

mod support;

use std::process::ExitCode;
use std::time::Duration;

use support::load::Load;
use support::process::Process;
use support::report::{Cell, Table, print};
use support::runtime;
use support::settings::Settings;
use support::sink::Sink;
use support::system::System;

/// The same as in every program that is measured.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const PATH: &str = "/roll-async?die=fair&times=10";
const IN_FLIGHT: [usize; 4] = [1, 10, 100, 1000];

fn main() -> ExitCode {
    service::settings::start(run)
}

fn run(settings: Settings) -> anyhow::Result<()> {
    Process::build_services()?;
    let runtime = runtime(1)?;
    let sink = Sink::start(&runtime, drop)?;
    let mut tables = Vec::new();
    for (delay, work) in [(0, "no simulated work"), (1000, "each roll takes up to a second")] {
        for (door, through_frontend) in [("at dice-roller", false), ("through frontend", true)] {
            let columns = [
                "in flight",
                "batches/s",
                "p50 ms",
                "p99 ms",
                "failed",
                "spans dropped",
                "frontend MB",
                "dice-roller MB",
                "die-service MB",
            ];
            let mut table = Table::new(format!("Batches of ten {door}, {work}"), &columns);
            for connections in IN_FLIGHT {
                let system = System::start(&sink, "batch", delay)?;
                let entrance = if through_frontend { &system.frontend } else { &system.dice_roller };
                let load = Load {
                    to: entrance.address,
                    path: PATH,
                    connections,
                    warm_up: Duration::from_secs(1),
                    time: settings.time(5),
                    rate: None,
                    bursts: None,
                };
                let outcome = runtime.block_on(load.run())?;
                let (mut dropped, mut memory) = (0.0, Vec::new());
                for (_, process) in system.services() {
                    dropped += process.metric("telemetry_spans_dropped_total")?;
                    memory.push(Cell::Number(process.memory()?.most, 0));
                }
                let measured = [
                    Cell::from(connections as u64),
                    Cell::Number(outcome.rate(), 0),
                    Cell::Number(outcome.latency(0.5), 1),
                    Cell::Number(outcome.latency(0.99), 1),
                    Cell::from(outcome.failed),
                    Cell::Number(dropped, 0),
                ];
                table.row(measured.into_iter().chain(memory));
            }
            tables.push(table);
        }
    }
    print("scale", &tables, settings.json)
}
