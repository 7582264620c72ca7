//! What the fan-out itself costs: how much longer a batch of twenty takes than its slowest roll, as its spans show.
//!
//! Of each batch: the duration of dice-roller's server span, less the call to die-service, less the longest
//! `async_roll_*`. What is left is this service's own: parsing, making the rolls, polling them, the response.

mod support;

use std::collections::HashMap;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::ensure;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

use support::cores::Cores;
use support::die::Die;
use support::load::Load;
use support::process::Process;
use support::report::{Cell, Table, print};
use support::settings::Settings;
use support::sink::Sink;
use support::{SHIPPED_QUEUE, quantile, runtime, sorted};

/// The same as in every program that is measured.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const PATH: &str = "/roll-async?die=fair&times=20";
const SPANS: u64 = 22;
const ROLLS: u32 = 20;

/// Batches in flight, and milliseconds of overhead that are the goal.
const QUESTIONS: [(usize, f64); 2] = [(10, 2.0), (1000, 10.0)];

/// The spans of one batch, in milliseconds.
#[derive(Debug, Default)]
struct Batch {
    server: Option<f64>,
    client: f64,
    slowest_roll: f64,
    rolls: u32,
}

/// By trace id.
type Batches = HashMap<Vec<u8>, Batch>;

impl Batch {
    fn add(&mut self, span: &Span) {
        let milliseconds = (span.end_time_unix_nano - span.start_time_unix_nano) as f64 / 1e6;
        match span.kind() {
            SpanKind::Server => self.server = Some(milliseconds),
            SpanKind::Client => self.client += milliseconds,
            _ => {
                self.slowest_roll = self.slowest_roll.max(milliseconds);
                self.rolls += 1;
            }
        }
    }

    /// None where a span is missing.
    fn overhead(&self) -> Option<f64> {
        let whole = self.server.filter(|_| self.rolls == ROLLS)?;
        Some(whole - self.client - self.slowest_roll)
    }
}

fn main() -> ExitCode {
    service::settings::start(run)
}

fn run(settings: Settings) -> anyhow::Result<()> {
    let cores = Cores::divide()?;
    let runtime = runtime(cores.for_load)?;
    let die = Die::start(&runtime)?;
    let columns = ["batches in flight", "batches", "p50 ms", "p99 ms", "most ms", "goal for p99"];
    let mut table = Table::new("A batch of 20 beyond its slowest roll and its call to die-service", &columns);
    for (connections, goal) in QUESTIONS {
        let batches = Arc::new(Mutex::new(Batches::new()));
        let kept = batches.clone();
        let keep = move |span: Span| {
            let mut batches = kept.lock().unwrap_or_else(PoisonError::into_inner);
            batches.entry(span.trace_id.clone()).or_default().add(&span);
        };
        let sink = Sink::start(&runtime, keep)?;
        let (die_url, otlp) = (die.url(), sink.url());
        let own = [("DIE_SERVICE_URL", &*die_url), ("OTEL_EXPORTER_OTLP_ENDPOINT", &otlp)];
        let mut process = cores.on_its_own(|| Process::dice("dice-roller", &[&SHIPPED_QUEUE[..], &own].concat()))?;
        process.ready()?;

        let load = Load {
            to: process.address,
            path: PATH,
            connections,
            warm_up: Duration::from_secs(1),
            time: settings.time(20),
            rate: None,
            bursts: None,
        };
        let outcome = runtime.block_on(load.run())?;
        ensure!(outcome.failed == 0, "{} batches were not responses with 200", outcome.failed);
        let expected = outcome.responses * SPANS;
        let arrived = sink.wait_for(expected, Duration::from_secs(10));
        ensure!(arrived == expected, "{arrived} of {expected} spans arrived");

        let batches = batches.lock().unwrap_or_else(PoisonError::into_inner);
        let overhead = sorted(batches.values().filter_map(Batch::overhead).collect());
        ensure!(overhead.len() as u64 == outcome.responses, "some traces lack a span");
        table.row([
            Cell::from(connections as u64),
            Cell::from(outcome.responses),
            Cell::Number(quantile(&overhead, 0.5), 2),
            Cell::Number(quantile(&overhead, 0.99), 2),
            Cell::Number(quantile(&overhead, 1.0), 2),
            Cell::Text(format!("≤ {goal}")),
        ]);
    }
    print("fanout", &[table], settings.json)
}
