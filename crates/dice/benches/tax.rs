//! What telemetry costs: processor time a request, of the same service without telemetry, instrumented with published
//! crates as their READMEs say, and as it is, with either span processor.
//!
//! All are real processes on the same core, with the same stub of die-service, the same load and the same allocator,
//! measured in turns. Below them stands the same service with one signal switched off, which shows where the cost is.
//!
//! A dropped span is cheap, so a figure counts only if every span of its rounds was exported: the receiver counts them.
//! Where one was not, everything is measured anew with pauses in the load, for all alike. The export after the load is
//! waited for and part of the figure.

mod support;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{bail, ensure};
use clap::Parser;
use clap::builder::FalseyValueParser;
use reqwest::Url;
use tokio::runtime::Runtime;

use support::cores::Cores;
use support::die::Die;
use support::load::{Bursts, Load};
use support::process::Process;
use support::report::{Cell, Table, print};
use support::settings::Settings;
use support::sink::Sink;
use support::{SHIPPED_QUEUE, bare, published, quantile, runtime, sorted};

/// The same as in every program that is measured.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Requests in flight: enough to keep the service's core busy.
const CONNECTIONS: usize = 32;

/// Longer than any delay of export: after this a span that has not arrived is lost.
const EXPORT_LIMIT: Duration = Duration::from_secs(15);

/// What is tried in turn until no span is lost.
const PACES: [Option<Bursts>; 4] = [None, Some(bursts(20, 20)), Some(bursts(10, 30)), Some(bursts(5, 45))];

const fn bursts(load: u64, pause: u64) -> Bursts {
    Bursts { load: Duration::from_millis(load), pause: Duration::from_millis(pause) }
}

/// Processor time of a request with telemetry, and without.
#[derive(Debug, Parser)]
struct Tax {
    #[command(flatten)]
    settings: Settings,

    /// Fail where the program with published crates cannot be built; else its row is left out
    #[arg(long, env = "BENCH_REQUIRE_PUBLISHED", action = clap::ArgAction::SetTrue, value_parser = FalseyValueParser::new())]
    require_published: bool,

    /// Be the service without telemetry, with the die-service at this address
    #[arg(long, hide = true, requires = "port")]
    bare: Option<Url>,

    /// Where that service listens
    #[arg(long, env = "PORT", hide = true)]
    port: Option<u16>,
}

const NONE: &str = "no telemetry";
const PUBLISHED: &str = "published crates";
const OURS: &str = "ours";
const DIRECT: &str = "ours, SPAN_PROCESSOR=direct";

/// The requests of one table, how many spans each makes, and the goals.
struct Measurement {
    path: &'static str,
    spans: u64,
    /// The row, the largest ratio to [`NONE`], and to [`PUBLISHED`].
    goals: [(&'static str, f64, f64); 2],
}

const MEASUREMENTS: [Measurement; 2] = [
    Measurement { path: "/roll?die=fair", spans: 2, goals: [(OURS, 1.8, 0.5), (DIRECT, 1.5, 0.45)] },
    Measurement { path: "/roll-async?die=fair&times=10", spans: 12, goals: [(OURS, 3.3, 0.4), (DIRECT, 2.5, 0.3)] },
];

/// One of the services that are compared.
struct Variant {
    name: &'static str,
    process: Process,
    /// Where its spans arrive, of a service that exports, and how many of them have to.
    sink: Option<Sink>,
    expected: u64,
    /// One value a round.
    costs: Vec<Cost>,
}

/// The result of one round.
struct Cost {
    /// Microseconds of processor time a request, to the export of its last span.
    request: f64,
    /// How much of its core the service had in use, 0 to 1. Below 1 the load, or its pauses, set the rate.
    busy: f64,
}

/// What the variants share.
struct Bench {
    cores: Cores,
    runtime: Runtime,
    die: Die,
    published: Option<PathBuf>,
    settings: Settings,
}

fn main() -> ExitCode {
    service::settings::start(run)
}

fn run(tax: Tax) -> anyhow::Result<()> {
    if let (Some(die_service_url), Some(port)) = (&tax.bare, tax.port) {
        return bare::run(port, die_service_url);
    }
    let published = match published::build() {
        Err(error) if tax.require_published => return Err(error.context("benches/published-crates cannot be built")),
        Err(error) => {
            eprintln!("benches/published-crates cannot be built, its row is left out: {error:#}");
            None
        }
        Ok(program) => Some(program),
    };
    let cores = Cores::divide()?;
    let runtime = runtime(cores.for_load)?;
    let bench = Bench { die: Die::start(&runtime)?, cores, runtime, published, settings: tax.settings };
    let tables = MEASUREMENTS.iter().map(|measurement| bench.without_loss(measurement));
    print("tax", &tables.collect::<anyhow::Result<Vec<_>>>()?, bench.settings.json)
}

impl Bench {
    /// The table of the first pace at which every span arrived.
    fn without_loss(&self, measurement: &Measurement) -> anyhow::Result<Table> {
        for pace in PACES {
            let mut variants = self.variants()?;
            match self.rounds(measurement, pace, &mut variants)? {
                None => return Ok(table(measurement, pace, &variants)),
                Some(lost) => eprintln!("GET {} with {}: {lost}", measurement.path, shown(pace)),
            }
        }
        bail!("spans are lost at every pace, so GET {} has no figures", measurement.path)
    }

    /// Measures all in turns; stops at the first that lost spans, and says so.
    fn rounds(
        &self,
        measurement: &Measurement,
        pace: Option<Bursts>,
        variants: &mut [Variant],
    ) -> anyhow::Result<Option<String>> {
        // The first round warms up: connections, allocator, branch predictors.
        for round in 0..=self.settings.rounds(7) {
            for variant in &mut *variants {
                let cost = variant.measure(measurement, pace, self.settings.time(2), &self.runtime)?;
                if let Some(lost) = variant.lost()? {
                    return Ok(Some(format!(
                        "{}: {lost} of {} spans were not exported",
                        variant.name, variant.expected
                    )));
                }
                if round > 0 {
                    variant.costs.push(cost);
                }
            }
        }
        Ok(None)
    }

    /// The service without telemetry first: the others are compared with it.
    fn variants(&self) -> anyhow::Result<Vec<Variant>> {
        let (no_spans, no_export, no_lines) =
            (("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_EXPORTER", "none"), ("RUST_LOG", "off"));
        let (this, die_url) = (std::env::current_exe()?, self.die.url());
        let bare = ["--bare", &die_url];
        let mut programs: Vec<(_, bool, &Path, &[&str], &[_])> = vec![(NONE, false, &this, &bare, &[])];
        if let Some(program) = &self.published {
            programs.push((PUBLISHED, true, program, &[], &[]));
        }
        let ours: [(_, bool, &[_]); 6] = [
            (OURS, true, &[("SPAN_PROCESSOR", "batch")]),
            (DIRECT, true, &[("SPAN_PROCESSOR", "direct")]),
            ("ours, spans made, not exported", false, &[no_export]),
            ("ours, no log lines", true, &[no_lines]),
            ("ours, no spans", false, &[no_spans]),
            ("ours, metrics only", false, &[no_spans, no_lines]),
        ];
        let dice = Path::new(env!("CARGO_BIN_EXE_dice"));
        programs.extend(ours.map(|(name, exports, own)| (name, exports, dice, &["dice-roller"][..], own)));

        let mut variants = Vec::new();
        for (name, exports, program, args, own) in programs {
            let sink = Sink::counting(&self.runtime)?;
            let otlp = sink.url();
            let all =
                [("DIE_SERVICE_URL", &*die_url), ("OTEL_EXPORTER_OTLP_ENDPOINT", &otlp), ("ROLL_DELAY_MAX_MS", "0")];
            let environment = [&SHIPPED_QUEUE, &all[..], own].concat();
            let process = self.cores.on_its_own(|| Process::start(program, args, &environment))?;
            variants.push(Variant { name, process, sink: exports.then_some(sink), expected: 0, costs: Vec::new() });
        }
        for variant in &mut variants {
            variant.process.ready()?;
        }
        Ok(variants)
    }
}

impl Variant {
    fn measure(
        &mut self,
        measurement: &Measurement,
        bursts: Option<Bursts>,
        time: Duration,
        runtime: &Runtime,
    ) -> anyhow::Result<Cost> {
        let before = self.process.cpu()?;
        let load = Load {
            to: self.process.address,
            path: measurement.path,
            connections: CONNECTIONS,
            warm_up: Duration::ZERO,
            time,
            rate: None,
            bursts,
        };
        let outcome = runtime.block_on(load.run())?;
        let under_load = self.process.cpu()? - before;
        ensure!(outcome.failed == 0, "{}: {} responses had another status than 200", self.name, outcome.failed);
        self.expected += outcome.responses * measurement.spans;
        if let Some(sink) = &self.sink {
            sink.wait_for(self.expected, EXPORT_LIMIT);
        }
        let used = self.process.cpu()? - before;
        Ok(Cost {
            request: used.as_secs_f64() * 1e6 / outcome.responses as f64,
            busy: under_load.as_secs_f64() / time.as_secs_f64(),
        })
    }

    /// How many spans have not arrived.
    fn lost(&self) -> anyhow::Result<Option<u64>> {
        let Some(sink) = &self.sink else { return Ok(None) };
        let received = sink.received();
        ensure!(received <= self.expected, "{}: {received} spans instead of {}", self.name, self.expected);
        Ok(Some(self.expected - received).filter(|lost| *lost > 0))
    }
}

fn shown(pace: Option<Bursts>) -> String {
    pace.map_or("no pauses".to_owned(), |Bursts { load, pause }| format!("{pause:?} of pause after {load:?} of load"))
}

fn table(measurement: &Measurement, pace: Option<Bursts>, variants: &[Variant]) -> Table {
    let Measurement { path, spans, goals } = measurement;
    let title = format!("GET {path}: processor time a request, {spans} spans, {}, none lost", shown(pace));
    let columns = [
        "",
        "µs",
        "µs, rounds",
        "× none",
        "× none, rounds",
        "goal (none)",
        "× published",
        "× published, rounds",
        "goal (published)",
        "core in use",
    ];
    let mut table = Table::new(title, &columns);
    let costs_of = |name| variants.iter().find(|variant| variant.name == name).map(|variant| &*variant.costs);
    for variant in variants {
        let of_all = |value: fn(&Cost) -> f64| sorted(variant.costs.iter().map(value).collect());
        let costs = of_all(|cost| cost.request);
        let goal = goals.iter().find(|(name, ..)| *name == variant.name);
        let shown_goal = |goal: Option<f64>| Cell::Text(goal.map_or(String::new(), |goal| format!("≤ {goal}")));
        let [none, none_rounds] = ratios(&variant.costs, costs_of(NONE));
        let [published, published_rounds] = ratios(&variant.costs, costs_of(PUBLISHED));
        table.row([
            variant.name.into(),
            Cell::Number(quantile(&costs, 0.5), 1),
            Cell::spread(&costs, 1),
            none,
            none_rounds,
            shown_goal(goal.map(|goal| goal.1)),
            published,
            published_rounds,
            shown_goal(goal.map(|goal| goal.2)),
            Cell::Number(quantile(&of_all(|cost| cost.busy), 0.5), 2),
        ]);
    }
    table
}

/// The median of the rounds' own ratios, and the least and greatest.
fn ratios(costs: &[Cost], base: Option<&[Cost]>) -> [Cell; 2] {
    let Some(base) = base else { return ["–".into(), "–".into()] };
    let ratios = sorted(costs.iter().zip(base).map(|(this, base)| this.request / base.request).collect());
    [Cell::Number(quantile(&ratios, 0.5), 2), Cell::spread(&ratios, 2)]
}
