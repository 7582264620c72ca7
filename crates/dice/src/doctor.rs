//! `dice doctor`: sends one batch through the system, and proves hop by hop that every signal of it arrives.
//!
//! Reading order: `config.rs` (what one can set), `places.rs` (who is asked, and where), this file (the order of the
//! hops), `exam.rs` (how one hop is looked at), `report.rs` (what is written), `probe.rs` (questions over HTTP). Then the
//! hops: `batch.rs`, `metrics.rs`, `prometheus.rs`, `trace.rs`, `logs.rs`, `grafana.rs`, `links.rs`, `dashboard.rs`.

mod batch;
mod config;
mod dashboard;
mod exam;
mod grafana;
mod links;
mod logs;
mod metrics;
mod places;
mod probe;
mod prometheus;
mod report;
mod trace;

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use traffic_gen::manifest;

pub(crate) use config::Config;

use batch::Sent;
use dashboard::Panels;
use exam::{Exam, Look};
use places::{Place, Places};
use probe::Probe;
use report::{Fault, Hop};

/// Examines the system, and writes a line for each hop.
///
/// # Errors
/// When a hop is broken; the report names it, why that is likely so, and what to do.
pub(crate) fn run(config: &Config) -> anyhow::Result<()> {
    let (probe, places) = (Probe::new()?, Places::of(config)?);
    let mut exam = Exam::new(config);
    if all_ready(&mut exam, &probe, &places)?
        && let Some(sent) = exam.look(Hop::Batch, || batch::send(&probe, &places))?
    {
        follow(&mut exam, &probe, &places, &sent, config.exclusive)?;
    }
    exam.skip_rest("not looked at: no batch got through")?;
    if let Some(file) = &config.manifest {
        let (outcome, report) = compare(file, &places.tempo, config.wait())?;
        exam.conclude(Hop::Manifest, outcome)?;
        exam.add_manifest(report);
    }
    exam.finish()
}

fn all_ready(exam: &mut Exam, probe: &Probe, places: &Places) -> anyhow::Result<bool> {
    let mut ready = true;
    for (hop, service) in [
        (Hop::DieService, &places.die_service),
        (Hop::DiceRoller, &places.dice_roller),
        (Hop::Frontend, &places.frontend),
    ] {
        ready &= exam.look(hop, || is_ready(probe, service))?.is_some();
    }
    Ok(ready)
}

fn is_ready(probe: &Probe, service: &Place) -> Look<()> {
    let answer = probe.get(service, "ready", &[])?;
    match answer.status {
        200 => Ok(((), service.origin())),
        status => Err(Fault {
            found: format!("{} answers {status} to /ready: {}", service.name, answer.beginning()),
            cause: "it is still starting, or stopping already".to_owned(),
            remedy: format!("wait and try again (--wait); its log lines say more. Is {} right?", service.setting),
        }),
    }
}

/// Follows the batch to every place that must have heard of it.
fn follow(exam: &mut Exam, probe: &Probe, places: &Places, sent: &Sent, exclusive: bool) -> anyhow::Result<()> {
    exam.conclude(Hop::TraceContext, sent.kept_its_trace())?;
    exam.look(Hop::Metrics, || metrics::moved(probe, places, &sent.before, exclusive))?;
    exam.look(Hop::Exported, || metrics::exported(probe, places, &sent.before))?;

    let prometheus = exam.part(probe, &places.prometheus, &[Hop::Targets, Hop::Series])?;
    if prometheus {
        exam.look(Hop::Targets, || prometheus::targets(probe, places))?;
        exam.look(Hop::Series, || prometheus::series(probe, places, &sent.before))?;
    }
    if exam.part(probe, &places.collector, &[Hop::Collector])? {
        exam.look(Hop::Collector, || probe.json(&places.collector, "", &[]).map(|_| ((), "healthy".to_owned())))?;
    }
    let tempo = exam.part(probe, &places.tempo, &[Hop::Trace])?;
    let trace = if tempo { exam.look(Hop::Trace, || trace::complete(probe, &places.tempo, sent))? } else { None };
    if exam.part(probe, &places.loki, &[Hop::Logs])? {
        exam.look(Hop::Logs, || logs::arrived(probe, &places.loki, sent, trace.as_ref()))?;
    }

    if !(prometheus && tempo && prometheus::expects_exemplars(probe, places)) {
        exam.skip(&[Hop::Exemplar], "not part of this system: exemplars come from Tempo, by way of Prometheus")?;
    } else {
        exam.look(Hop::Exemplar, || prometheus::exemplar(probe, places, sent))?;
    }
    if exam.part(probe, &places.grafana, &[Hop::Sources, Hop::Links, Hop::Dashboard, Hop::Panels])? {
        look_at_grafana(exam, probe, places, sent, trace.as_ref())?;
    }
    Ok(())
}

fn look_at_grafana(
    exam: &mut Exam,
    probe: &Probe,
    places: &Places,
    sent: &Sent,
    trace: Option<&trace::Trace>,
) -> anyhow::Result<()> {
    let grafana = &places.grafana;
    let Some(sources) = exam.look(Hop::Sources, || grafana::sources(probe, grafana))? else {
        return exam.skip(&[Hop::Links, Hop::Dashboard, Hop::Panels], "not looked at: needs Grafana's data sources");
    };
    match trace {
        Some(trace) => exam.look(Hop::Links, || links::resolve(probe, grafana, &sources, trace, sent)).map(drop)?,
        None => exam.skip(&[Hop::Links], "not looked at: needs the trace")?,
    }
    let Some(dashboard) = exam.look(Hop::Dashboard, || dashboard::find(probe, grafana))? else {
        return exam.skip(&[Hop::Panels], "not looked at: needs the dashboard");
    };
    let mut panels = Panels::new(dashboard, sources);
    exam.look(Hop::Panels, || panels.ask(probe, places)).map(drop)
}

/// Compares the manifest of an earlier run with what the trace backend holds, which may take `wait` to take in the rest.
fn compare(file: &Path, tempo: &Place, wait: Duration) -> anyhow::Result<(Look<()>, Option<manifest::Report>)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let report = match runtime.block_on(manifest::compare(file, &tempo.url, wait)).context("no comparison") {
        Ok(report) => report,
        Err(error) => return Ok((Err(tempo.fault(format!("{error:#}"))), None)),
    };
    let outcome = if report.is_lossless() {
        Ok(((), format!("all {} spans of {} traces are there", report.spans_expected, report.traces)))
    } else {
        Err(Fault {
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
