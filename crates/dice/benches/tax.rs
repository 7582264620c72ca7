//! What telemetry costs: processor time a request, with everything on, against the same service without any of it.
//!
//! Both are real processes on the same core, with the same stub of die-service, the same load and the same allocator,
//! measured in turns. Between the two stand the same service with one signal switched off, which shows where the cost
//! is. What is exported after the load has ended is waited for and counted in.

mod support;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::ensure;
use clap::Parser;
use reqwest::Url;

use support::cores::Cores;
use support::die::Die;
use support::load::Load;
use support::process::Process;
use support::report::{Cell, Table, print};
use support::settings::Settings;
use support::sink::Sink;
use support::{SHIPPED_QUEUE, bare, quantile, runtime, sorted};

/// The same as in every program that is measured.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Requests in flight: enough to keep the service's core busy.
const CONNECTIONS: usize = 32;

/// Processor time of a request with telemetry, and without.
#[derive(Debug, Parser)]
struct Tax {
    #[command(flatten)]
    settings: Settings,

    /// Be the service without telemetry, with the die-service at this address
    #[arg(long, hide = true, requires = "port")]
    bare: Option<Url>,

    /// Where that service listens
    #[arg(long, env = "PORT", hide = true)]
    port: Option<u16>,
}

/// What is requested, how many spans that makes, and the ratio that is the goal.
struct Question {
    path: &'static str,
    spans: u64,
    goal: f64,
}

const QUESTIONS: [Question; 2] = [
    Question { path: "/roll?die=fair", spans: 2, goal: 1.45 },
    Question { path: "/roll-async?die=fair&times=10", spans: 12, goal: 2.2 },
];

/// One of the services that are compared.
struct Variant {
    name: &'static str,
    process: Process,
    exports: bool,
    /// One value a round.
    costs: Vec<Cost>,
}

/// What one measurement says.
struct Cost {
    /// Microseconds of processor time a request, to the export of its last span.
    request: f64,
    /// How much of its core the service had in use, 0 to 1. Below 1 the load was what gave out.
    busy: f64,
}

fn main() -> ExitCode {
    telemetry::config::start(run)
}

fn run(tax: Tax) -> anyhow::Result<()> {
    if let (Some(die_service_url), Some(port)) = (&tax.bare, tax.port) {
        return bare::run(port, die_service_url);
    }
    let cores = Cores::divide()?;
    let runtime = runtime(cores.for_load)?;
    let (die, sink) = (Die::start(&runtime)?, Sink::blind(&runtime)?);

    let mut tables = Vec::new();
    for question in QUESTIONS {
        let mut variants = variants(&cores, &die, &sink)?;
        // The first round warms up: connections, allocator, branch predictors.
        for round in 0..=tax.settings.rounds(7) {
            for variant in &mut variants {
                let cost = variant.measure(&question, tax.settings.time(2), &runtime)?;
                if round > 0 {
                    variant.costs.push(cost);
                }
            }
        }
        tables.push(table(&question, &variants));
    }
    print("tax", &tables, tax.settings.json)
}

/// The service without telemetry first: the others are compared with it.
fn variants(cores: &Cores, die: &Die, sink: &Sink) -> anyhow::Result<Vec<Variant>> {
    let (die_url, otlp) = (die.url(), sink.url());
    let mut all = SHIPPED_QUEUE.to_vec();
    all.extend([("DIE_SERVICE_URL", &*die_url), ("OTEL_EXPORTER_OTLP_ENDPOINT", &otlp), ("ROLL_DELAY_MAX_MS", "0")]);

    let (no_spans, no_export, no_lines) =
        (("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_EXPORTER", "none"), ("RUST_LOG", "off"));
    let real: [(_, &[(&str, &str)]); 5] = [
        ("everything on", &[]),
        ("spans made, not exported", &[no_export]),
        ("no log lines", &[no_lines]),
        ("no spans", &[no_spans]),
        ("metrics only", &[no_spans, no_lines]),
    ];
    let bare = std::env::current_exe()?;
    let mut variants = Vec::new();
    let mut add =
        |name, exports, process: Process| variants.push(Variant { name, process, exports, costs: Vec::new() });
    add("no telemetry", false, cores.on_its_own(|| Process::start(&bare, &["--bare", &die_url], &[]))?);
    for (name, settings) in real {
        let process = cores.on_its_own(|| Process::dice("dice-roller", &[&all, settings].concat()))?;
        add(name, !settings.contains(&no_export) && !settings.contains(&no_spans), process);
    }
    for variant in &mut variants {
        variant.process.ready()?;
    }
    Ok(variants)
}

impl Variant {
    fn measure(&self, question: &Question, time: Duration, runtime: &tokio::runtime::Runtime) -> anyhow::Result<Cost> {
        let exported = || self.process.metric("telemetry_spans_exported_total");
        let already = if self.exports { exported()? } else { 0.0 };
        let before = self.process.cpu()?;
        let load = Load {
            to: self.process.address,
            path: question.path,
            connections: CONNECTIONS,
            warm_up: Duration::ZERO,
            time,
            rate: None,
        };
        let outcome = runtime.block_on(load.run())?;
        let under_load = self.process.cpu()? - before;
        ensure!(outcome.failed == 0, "{} requests were not answered with 200", outcome.failed);
        if self.exports {
            let expected = already + (outcome.responses * question.spans) as f64;
            let deadline = Instant::now() + Duration::from_secs(10);
            while exported()? < expected {
                ensure!(Instant::now() < deadline, "{} of {expected} spans left", exported()?);
                std::thread::sleep(Duration::from_millis(100)); // what the question costs counts as well
            }
        }
        let used = self.process.cpu()? - before;
        Ok(Cost {
            request: used.as_secs_f64() * 1e6 / outcome.responses as f64,
            busy: under_load.as_secs_f64() / time.as_secs_f64(),
        })
    }
}

fn table(question: &Question, variants: &[Variant]) -> Table {
    let title = format!("GET {}: processor time a request, {} spans", question.path, question.spans);
    let mut table = Table::new(title, &["", "µs", "µs, rounds", "ratio", "ratio, rounds", "goal", "core in use"]);
    let bare = &variants[0].costs;
    for variant in variants {
        let of_all = |value: fn(&Cost) -> f64| sorted(variant.costs.iter().map(value).collect());
        let costs = of_all(|cost| cost.request);
        let ratios = sorted(variant.costs.iter().zip(bare).map(|(this, bare)| this.request / bare.request).collect());
        let goal = if variant.name == "everything on" { format!("≤ {}", question.goal) } else { String::new() };
        table.row([
            variant.name.into(),
            Cell::Number(quantile(&costs, 0.5), 1),
            Cell::spread(&costs, 1),
            Cell::Number(quantile(&ratios, 0.5), 2),
            Cell::spread(&ratios, 2),
            Cell::Text(goal),
            Cell::Number(quantile(&of_all(|cost| cost.busy), 0.5), 2),
        ]);
    }
    table
}
