//! Whether one service can export 50,000 spans a second (SPAN_PROCESSOR=batch) or 100,000 (direct) and lose none, with the
//! queue that the Dockerfile sets.
//!
//! Each span is counted three times: by the requests that must have made it, by the service (exported, dropped), and by
//! the receiver.

mod support;

use std::process::ExitCode;
use std::time::Duration;

use support::cores::Cores;
use support::die::Die;
use support::load::Load;
use support::process::Process;
use support::report::{Cell, Table, print};
use support::settings::Settings;
use support::sink::Sink;
use support::{SHIPPED_QUEUE, runtime};

/// The same as in every program that is measured.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const PATH: &str = "/roll-async?die=fair&times=20";
/// Of one such request: the server's, the call to die-service, twenty rolls.
const SPANS: f64 = 22.0;

fn main() -> ExitCode {
    service::settings::start(run)
}

fn run(settings: Settings) -> anyhow::Result<()> {
    let cores = Cores::divide()?;
    let runtime = runtime(cores.for_load)?;
    let (die, sink) = (Die::start(&runtime)?, Sink::start(&runtime, drop)?);
    let (die_url, otlp) = (die.url(), sink.url());
    let own = [("DIE_SERVICE_URL", &*die_url), ("OTEL_EXPORTER_OTLP_ENDPOINT", &otlp), ("ROLL_DELAY_MAX_MS", "0")];
    let time = settings.time(30);

    let columns = ["SPAN_PROCESSOR", "wanted", "spans/s", "made", "received", "dropped", "cores", "most MB", "goal"];
    let mut table = Table::new(format!("Spans from one service for {} s", time.as_secs()), &columns);
    for (processor, wanted, rate, goal) in [
        ("batch", "50,000 spans/s", Some(50_000.0), "50,000/s, 0 dropped"),
        ("batch", "75,000 spans/s", Some(75_000.0), ""),
        ("direct", "100,000 spans/s", Some(100_000.0), "100,000/s, 0 dropped"),
        ("direct", "as many as it can", None, ""),
    ] {
        let rate = rate.map(|spans: f64| spans / SPANS);
        let environment = [&SHIPPED_QUEUE[..], &own, &[("SPAN_PROCESSOR", processor)]].concat();
        let mut process = cores.on_its_own(|| Process::dice("dice-roller", &environment))?;
        process.ready()?;
        let (cpu, before) = (process.cpu()?, sink.received());
        let load = Load {
            to: process.address,
            path: PATH,
            connections: 64,
            warm_up: Duration::ZERO,
            time,
            rate,
            bursts: None,
        };
        let outcome = runtime.block_on(load.run())?;
        let busy = process.cpu()? - cpu;
        let made = outcome.responses * SPANS as u64;
        let lost = process.metric("telemetry_spans_dropped_total")? as u64;
        let received = sink.wait_for(before + made.saturating_sub(lost), Duration::from_secs(10)) - before;
        table.row([
            Cell::from(processor),
            Cell::from(wanted),
            Cell::Number(outcome.rate() * SPANS, 0),
            Cell::from(made),
            Cell::from(received),
            Cell::Number(process.metric("telemetry_spans_dropped_total")?, 0),
            Cell::Number(busy.as_secs_f64() / time.as_secs_f64(), 2),
            Cell::Number(process.memory()?.most, 0),
            Cell::from(goal),
        ]);
    }
    print("lossless", &[table], settings.json)
}
