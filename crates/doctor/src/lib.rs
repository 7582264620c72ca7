//! `dice doctor`: sends one batch through the system, and proves hop by hop that every signal of it arrives.
//!
//! Reading order: `config.rs` (what one can set), `targets.rs` (the parts of the system and their addresses), this file
//! (the sequence of the hops), `check.rs` (how one hop is checked), `report.rs` (what is written), `containers.rs` (log lines of
//! a broken part), `http.rs` (the client).
//! Then the hops: `batch.rs`, `metrics.rs`, `prometheus.rs`, `trace.rs`, `logs.rs`, `grafana.rs`, `links.rs`, `dashboard.rs`.

mod batch;
mod check;
mod config;
mod containers;
mod dashboard;
mod grafana;
mod http;
mod links;
mod logs;
mod metrics;
mod prometheus;
mod report;
mod targets;
mod trace;

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use traffic_gen::manifest;

pub use config::Config;

use batch::Sent;
use check::{Checked, Checks, Needs, Skip, part};
use http::HttpClient;
use report::{Failure, Report};
use targets::{Target, Targets, Trouble};

/// A program that the launcher starts. Its table of these is the launcher's, so that a port stands in one place.
#[derive(Debug, Clone, Copy)]
pub struct Service {
    /// As on its spans.
    pub name: &'static str,
    /// Where it listens on this machine, unless a setting names another address.
    pub port: u16,
    /// The environment variable that names its address.
    pub url_setting: &'static str,
}

/// The programs that the doctor expects.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)] // the names of the programs
pub struct Services {
    pub frontend: Service,
    pub dice_roller: Service,
    pub die_service: Service,
    pub trace_viewer: Service,
}

/// Checks the system, and writes a line for each hop.
///
/// # Errors
/// When a hop is broken; the report names it, why that is likely so, and what to do.
pub fn run(config: &Config, services: &Services) -> anyhow::Result<()> {
    let (http, targets) = (HttpClient::new()?, Targets::new(config, services)?);
    let mut checks = Checks::new(Report::new(config.json), Duration::from_secs_f64(config.wait));
    let mut ready = Ok(());
    for service in [&targets.die_service, &targets.dice_roller, &targets.frontend] {
        let hop = format!("{} ready", service.name);
        ready = ready.and(checks.check(&hop, &Ok(()), |()| is_ready(&http, service))?);
    }
    let sent = checks.check("batch rolled", &ready, |()| batch::send(&http, &targets))?;
    follow(&mut checks, &http, &targets, &sent, config.exclusive)?;
    if let Some(file) = &config.manifest {
        let (wait, mut report) = (checks.wait, None);
        checks.check_once("manifest", &Ok(()), |()| compare(file, &targets.tempo, wait, &mut report))?.ok();
        checks.report.manifest = report;
    }
    checks.report.finish()
}

fn is_ready(http: &HttpClient, service: &Target) -> Checked<()> {
    let response = http.get(service, "ready", &[])?;
    match response.status {
        200 => Ok(((), service.origin())),
        status => Err(Failure::new(
            format!("{} responds with {status} to /ready: {}", service.name, response.beginning()),
            "it is still starting, or stopping already",
            format!("wait and try again (--wait); its log lines say more. Is {} right?", service.setting),
        ))
        .map_err(|failure| service.blamed(failure)),
    }
}

/// Follows the batch to every part that must hold a signal of it.
fn follow(
    checks: &mut Checks,
    http: &HttpClient,
    targets: &Targets,
    sent: &Needs<Sent>,
    exclusive: bool,
) -> anyhow::Result<()> {
    checks.check_once("trace continued", sent, Sent::kept_its_trace)?.ok();
    checks.check("metrics moved", sent, |sent| metrics::moved(http, targets, &sent.before, exclusive))?.ok();
    checks.check("spans exported", sent, |sent| metrics::exported(http, targets, &sent.before))?.ok();

    let prometheus = part(http, &targets.prometheus, sent);
    checks.check("Prometheus targets", &prometheus, |_| prometheus::targets(http, targets))?.ok();
    checks.check("Prometheus series", &prometheus, |sent| prometheus::series(http, targets, &sent.before))?.ok();
    let collector = part(http, &targets.collector, sent);
    let healthy = |_: &_| http.json(&targets.collector, "", &[]).map(|_| ((), "healthy".to_owned()));
    checks.check("collector", &collector, healthy)?.ok();
    let tempo = part(http, &targets.tempo, sent);
    let trace = checks.check("trace complete", &tempo, |sent| trace::complete(http, &targets.tempo, sent))?;
    let loki = part(http, &targets.loki, sent);
    checks.check("log lines", &loki, |sent| logs::arrived(http, &targets.loki, sent, trace.as_ref().ok()))?.ok();

    let exemplars = prometheus.and_then(|sent| match tempo.is_ok() && prometheus::expects_exemplars(http, targets) {
        true => Ok(sent),
        false => Err(Skip::absent("exemplars", "exemplars come from Tempo, by way of Prometheus")),
    });
    checks.check("exemplar", &exemplars, |sent| prometheus::exemplar(http, targets, sent))?.ok();

    let grafana = &targets.grafana;
    let sources = part(http, grafana, sent);
    let sources = checks.check("Grafana data sources", &sources, |_| grafana::sources(http, targets))?;
    let linked = match (sent, &sources, &trace) {
        (Ok(sent), Ok(sources), Ok(trace)) => Ok((sent, sources, trace)),
        (Err(why), ..) | (_, Err(why), _) | (.., Err(why)) => Err(why.clone()),
    };
    checks
        .check("Grafana links", &linked, |(sent, sources, trace)| links::resolve(http, grafana, sources, trace, sent))?
        .ok();
    let queries = checks.check("Grafana dashboard", &sources, |sources| dashboard::find(http, grafana, sources))?;
    let mut open = queries.clone().unwrap_or_default();
    checks.check("Grafana panels", &queries, |all| dashboard::have_data(http, targets, all, &mut open))?.ok();
    Ok(())
}

/// Compares the manifest of an earlier run with what the trace backend holds, which may take `wait` to take in the rest.
fn compare(file: &Path, tempo: &Target, wait: Duration, compared: &mut Option<manifest::Report>) -> Checked<()> {
    let compare = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(manifest::compare(file, &tempo.url, wait)).context("no comparison")
    };
    let report = compared.insert(compare().map_err(|error| tempo.failure(Trouble::Wrong, format!("{error:#}")))?);
    if report.is_lossless() {
        return Ok(((), format!("all {} spans of {} traces are there", report.spans_expected, report.traces)));
    }
    Err(Failure::new(
        format!("{} of {} expected spans were lost; below is which", report.spans_lost, report.spans_expected),
        "a queue was full, an export failed, or the backend let go of old traces",
        "look for telemetry_spans_dropped_total of each service, and at the backend's limits",
    ))
}
