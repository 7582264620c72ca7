//! `dice doctor`: sends one batch through the system, and proves hop by hop that every signal of it arrives.
//!
//! Reading order: `config.rs` (what one can set), `targets.rs` (the parts of the system and their addresses), this file
//! (the sequence of the hops), `check.rs` (how one hop is checked), `report.rs` (what is written), `http.rs` (the client).
//! Then the hops: `batch.rs`, `metrics.rs`, `prometheus.rs`, `trace.rs`, `logs.rs`, `grafana.rs`, `links.rs`, `dashboard.rs`.

mod batch;
mod check;
mod config;
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
use tempo_client::Trace;
use traffic_gen::manifest;

pub use config::Config;

use batch::Sent;
use check::{Checked, Checks};
use dashboard::Panels;
use http::HttpClient;
use report::{Failure, Hop};
use targets::{Target, Targets};

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
    let mut checks = Checks::new(config);
    if all_ready(&mut checks, &http, &targets)?
        && let Some(sent) = checks.check(Hop::Batch, || batch::send(&http, &targets))?
    {
        follow(&mut checks, &http, &targets, &sent, config.exclusive)?;
    }
    checks.skip_rest("not checked: no batch got through")?;
    if let Some(file) = &config.manifest {
        let (outcome, report) = compare(file, &targets.tempo, config.wait())?;
        checks.conclude(Hop::Manifest, outcome)?;
        checks.add_manifest(report);
    }
    checks.finish()
}

fn all_ready(checks: &mut Checks, http: &HttpClient, targets: &Targets) -> anyhow::Result<bool> {
    let mut ready = true;
    for (hop, service) in [
        (Hop::DieService, &targets.die_service),
        (Hop::DiceRoller, &targets.dice_roller),
        (Hop::Frontend, &targets.frontend),
    ] {
        ready &= checks.check(hop, || is_ready(http, service))?.is_some();
    }
    Ok(ready)
}

fn is_ready(http: &HttpClient, service: &Target) -> Checked<()> {
    let response = http.get(service, "ready", &[])?;
    match response.status {
        200 => Ok(((), service.origin())),
        status => Err(Failure {
            found: format!("{} answers {status} to /ready: {}", service.name, response.beginning()),
            cause: "it is still starting, or stopping already".to_owned(),
            remedy: format!("wait and try again (--wait); its log lines say more. Is {} right?", service.setting),
        }),
    }
}

/// Follows the batch to every part that must hold a signal of it.
fn follow(
    checks: &mut Checks,
    http: &HttpClient,
    targets: &Targets,
    sent: &Sent,
    exclusive: bool,
) -> anyhow::Result<()> {
    checks.conclude(Hop::TraceContext, sent.kept_its_trace())?;
    checks.check(Hop::Metrics, || metrics::moved(http, targets, &sent.before, exclusive))?;
    checks.check(Hop::Exported, || metrics::exported(http, targets, &sent.before))?;

    let prometheus = checks.part(http, &targets.prometheus, &[Hop::Targets, Hop::Series])?;
    if prometheus {
        checks.check(Hop::Targets, || prometheus::targets(http, targets))?;
        checks.check(Hop::Series, || prometheus::series(http, targets, &sent.before))?;
    }
    if checks.part(http, &targets.collector, &[Hop::Collector])? {
        checks.check(Hop::Collector, || http.json(&targets.collector, "", &[]).map(|_| ((), "healthy".to_owned())))?;
    }
    let tempo = checks.part(http, &targets.tempo, &[Hop::Trace])?;
    let trace = if tempo { checks.check(Hop::Trace, || trace::complete(http, &targets.tempo, sent))? } else { None };
    if checks.part(http, &targets.loki, &[Hop::Logs])? {
        checks.check(Hop::Logs, || logs::arrived(http, &targets.loki, sent, trace.as_ref()))?;
    }

    if !(prometheus && tempo && prometheus::expects_exemplars(http, targets)) {
        checks.skip(&[Hop::Exemplar], "not part of this system: exemplars come from Tempo, by way of Prometheus")?;
    } else {
        checks.check(Hop::Exemplar, || prometheus::exemplar(http, targets, sent))?;
    }
    if checks.part(http, &targets.grafana, &[Hop::Sources, Hop::Links, Hop::Dashboard, Hop::Panels])? {
        check_grafana(checks, http, targets, sent, trace.as_ref())?;
    }
    Ok(())
}

fn check_grafana(
    checks: &mut Checks,
    http: &HttpClient,
    targets: &Targets,
    sent: &Sent,
    trace: Option<&Trace>,
) -> anyhow::Result<()> {
    let grafana = &targets.grafana;
    let Some(sources) = checks.check(Hop::Sources, || grafana::sources(http, grafana))? else {
        return checks.skip(&[Hop::Links, Hop::Dashboard, Hop::Panels], "not checked: needs Grafana's data sources");
    };
    match trace {
        Some(trace) => checks.check(Hop::Links, || links::resolve(http, grafana, &sources, trace, sent)).map(drop)?,
        None => checks.skip(&[Hop::Links], "not checked: needs the trace")?,
    }
    let Some(dashboard) = checks.check(Hop::Dashboard, || dashboard::find(http, grafana))? else {
        return checks.skip(&[Hop::Panels], "not checked: needs the dashboard");
    };
    let mut panels = Panels::new(dashboard, sources);
    checks.check(Hop::Panels, || panels.check(http, targets)).map(drop)
}

/// Compares the manifest of an earlier run with what the trace backend holds, which may take `wait` to take in the rest.
fn compare(file: &Path, tempo: &Target, wait: Duration) -> anyhow::Result<(Checked<()>, Option<manifest::Report>)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let report = match runtime.block_on(manifest::compare(file, &tempo.url, wait)).context("no comparison") {
        Ok(report) => report,
        Err(error) => return Ok((Err(tempo.failure(format!("{error:#}"))), None)),
    };
    let outcome = if report.is_lossless() {
        Ok(((), format!("all {} spans of {} traces are there", report.spans_expected, report.traces)))
    } else {
        Err(Failure {
            found: format!(
                "{} of {} expected spans were lost; below is which",
                report.spans_lost, report.spans_expected
            ),
            cause: "a queue was full, an export failed, or the backend let go of old traces".to_owned(),
            remedy: "look for telemetry_spans_dropped_total of each service, and at the backend's limits".to_owned(),
        })
    };
    Ok((outcome, Some(report)))
}
