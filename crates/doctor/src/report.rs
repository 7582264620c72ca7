//! What the doctor writes: a line for each hop, the first broken one with cause and remedy, or all of it as JSON.

use std::io::Write;

use anyhow::Context as _;
use serde_json::{Value, json};
use traffic_gen::manifest;

/// The hops, in the order in which a signal takes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hop {
    DieService,
    DiceRoller,
    Frontend,
    Batch,
    TraceContext,
    Metrics,
    Exported,
    Targets,
    Series,
    Collector,
    Trace,
    Logs,
    Exemplar,
    Sources,
    Links,
    Dashboard,
    Panels,
    Manifest,
}

impl Hop {
    /// Those of every run; the manifest is checked only where one is given.
    pub(crate) const ALL: [Hop; 17] = [
        Hop::DieService,
        Hop::DiceRoller,
        Hop::Frontend,
        Hop::Batch,
        Hop::TraceContext,
        Hop::Metrics,
        Hop::Exported,
        Hop::Targets,
        Hop::Series,
        Hop::Collector,
        Hop::Trace,
        Hop::Logs,
        Hop::Exemplar,
        Hop::Sources,
        Hop::Links,
        Hop::Dashboard,
        Hop::Panels,
    ];

    /// Its name in table and JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Hop::DieService => "die-service ready",
            Hop::DiceRoller => "dice-roller ready",
            Hop::Frontend => "frontend ready",
            Hop::Batch => "batch answered",
            Hop::TraceContext => "trace continued",
            Hop::Metrics => "metrics moved",
            Hop::Exported => "spans exported",
            Hop::Targets => "Prometheus targets",
            Hop::Series => "Prometheus series",
            Hop::Collector => "collector",
            Hop::Trace => "trace complete",
            Hop::Logs => "log lines",
            Hop::Exemplar => "exemplar",
            Hop::Sources => "Grafana data sources",
            Hop::Links => "Grafana links",
            Hop::Dashboard => "Grafana dashboard",
            Hop::Panels => "Grafana panels",
            Hop::Manifest => "manifest",
        }
    }
}

/// What is wrong with a hop, for a person who wants to put it right.
#[derive(Debug)]
pub(crate) struct Failure {
    /// What was seen.
    pub(crate) found: String,
    /// The likely cause.
    pub(crate) cause: String,
    /// What to do.
    pub(crate) remedy: String,
}

/// What became of a hop.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It holds; what was seen.
    Ok(String),
    Failed(Failure),
    /// It was not looked at; why.
    Skipped(&'static str),
    /// Nothing listens where it would be, and nobody said that it must be there.
    Absent(String),
}

/// All lines so far. As text they are written one by one, because a hop may take its time.
#[derive(Debug)]
pub(crate) struct Report {
    json: bool,
    lines: Vec<(Hop, Outcome)>,
    pub(crate) manifest: Option<manifest::Report>,
}

impl Report {
    pub(crate) fn new(json: bool) -> Self {
        Self { json, lines: Vec::new(), manifest: None }
    }

    /// # Errors
    /// When stdout is closed.
    pub(crate) fn add(&mut self, hop: Hop, outcome: Outcome) -> anyhow::Result<()> {
        if !self.json {
            let (state, text) = outcome.text();
            write(&format!("{state:<8} {:<21} {text}\n", hop.name()))?;
        }
        self.lines.push((hop, outcome));
        Ok(())
    }

    pub(crate) fn has(&self, hop: Hop) -> bool {
        self.lines.iter().any(|(there, _)| *there == hop)
    }

    /// Writes the rest, and returns the name of the first broken hop.
    ///
    /// # Errors
    /// When stdout is closed.
    pub(crate) fn finish(self) -> anyhow::Result<Option<&'static str>> {
        let text = if self.json { format!("{}\n", self.to_json()) } else { self.summary() };
        write(&text)?;
        Ok(self.first_broken().map(|(hop, _)| hop.name()))
    }

    fn first_broken(&self) -> Option<(Hop, &Failure)> {
        self.lines.iter().find_map(|(hop, outcome)| match outcome {
            Outcome::Failed(failure) => Some((*hop, failure)),
            _ => None,
        })
    }

    fn summary(&self) -> String {
        let mut text = "\n".to_owned();
        if let Some(manifest) = self.manifest.as_ref().filter(|manifest| !manifest.is_lossless()) {
            text += &format!("{manifest}\n");
        }
        text += &match self.first_broken() {
            Some((hop, Failure { found, cause, remedy })) => format!(
                "The first broken hop is '{}': {found}.\n  Likely cause  {cause}.\n  What to do    {remedy}.\n",
                hop.name()
            ),
            None => {
                let absent = self.lines.iter().filter(|(_, outcome)| !matches!(outcome, Outcome::Ok(_))).count();
                let rest = if absent > 0 { format!("; {absent} are not part of this system") } else { String::new() };
                format!("{} hops hold{rest}.\n", self.lines.len() - absent)
            }
        };
        text
    }

    fn to_json(&self) -> Value {
        let hop = |(hop, outcome): &(Hop, Outcome)| {
            let (state, text) = outcome.text();
            let mut object = json!({ "hop": hop.name(), "state": state.to_lowercase(), "found": text });
            if let Outcome::Failed(failure) = outcome {
                object["likely_cause"] = failure.cause.as_str().into();
                object["what_to_do"] = failure.remedy.as_str().into();
            }
            object
        };
        let first_broken = self.first_broken().map(|(hop, _)| hop.name());
        let mut report = json!({
            "ok": first_broken.is_none(),
            "first_broken": first_broken,
            "hops": self.lines.iter().map(hop).collect::<Vec<_>>(),
        });
        if let Some(manifest) = &self.manifest {
            report["manifest"] = json!(manifest);
        }
        report
    }
}

impl Outcome {
    /// The state, and what there is to say.
    fn text(&self) -> (&'static str, String) {
        match self {
            Outcome::Ok(found) => ("ok", found.clone()),
            Outcome::Failed(failure) => ("FAILED", failure.found.clone()),
            Outcome::Skipped(why) => ("skipped", (*why).to_owned()),
            Outcome::Absent(place) => ("skipped", format!("not part of this system: {place}")),
        }
    }
}

fn write(text: &str) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).context("stdout was closed")
}
