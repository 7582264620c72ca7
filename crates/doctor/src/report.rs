//! What the doctor writes: a line for each hop, the first broken one with cause and remedy, or all of it as JSON.

use std::io::Write;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use traffic_gen::manifest;

use crate::check::Skip;
use crate::containers;

/// What is wrong with a hop, for a person who wants to put it right.
#[derive(Debug)]
pub(crate) struct Failure {
    /// What was seen.
    pub(crate) found: String,
    /// The likely cause.
    cause: String,
    /// What to do.
    remedy: String,
    /// Whose last log lines may say more: a name in docker-compose.yml.
    pub(crate) container: Option<&'static str>,
}

impl Failure {
    pub(crate) fn new(found: impl Into<String>, cause: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { found: found.into(), cause: cause.into(), remedy: remedy.into(), container: None }
    }
}

/// What became of a hop.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It holds; what was seen.
    Ok(String),
    Failed(Failure),
    /// It was not looked at; why.
    Skipped(Skip),
}

/// All lines so far. As text they are written one by one, because a hop may take its time.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) json: bool,
    lines: Vec<(String, Outcome)>,
    pub(crate) manifest: Option<manifest::Report>,
}

impl Report {
    pub(crate) fn new(json: bool) -> Self {
        Self { json, ..Self::default() }
    }

    /// # Errors
    /// When stdout is closed.
    pub(crate) fn add(&mut self, hop: &str, outcome: Outcome) -> anyhow::Result<()> {
        // What is not part of the system is named in one line at the end.
        if !self.json && !matches!(outcome, Outcome::Skipped(Skip::Absent(..))) {
            let (state, text) = outcome.text();
            write(&format!("{state:<8} {hop:<21} {text}\n"))?;
        }
        self.lines.push((hop.to_owned(), outcome));
        Ok(())
    }

    /// Writes the rest.
    ///
    /// # Errors
    /// When a hop is broken, or stdout is closed.
    pub(crate) fn finish(&self) -> anyhow::Result<()> {
        let broken = self.lines.iter().find_map(|(hop, outcome)| match outcome {
            Outcome::Failed(failure) => Some((hop, failure)),
            _ => None,
        });
        let lines =
            broken.and_then(|(_, failure)| failure.container).map(containers::last_log_lines).unwrap_or_default();
        let text = if self.json { format!("{}\n", self.to_json(broken, &lines)) } else { self.summary(broken, &lines) };
        write(&text)?;
        match broken {
            Some((hop, _)) => bail!("'{hop}' is broken"),
            None => Ok(()),
        }
    }

    fn summary(&self, broken: Option<(&String, &Failure)>, lines: &[String]) -> String {
        let lossy = self.manifest.as_ref().filter(|manifest| !manifest.is_lossless());
        let lost = lossy.map(|manifest| format!("{manifest}\n")).unwrap_or_default();
        let absent = self.absent();
        if let Some((hop, Failure { found, cause, remedy, container })) = broken {
            let mut text = format!(
                "\n{absent}{lost}The first broken hop is '{hop}': {found}.\n  Likely cause  {cause}.\n  What to do    {remedy}.\n"
            );
            if !lines.is_empty() {
                text += &format!("  The last log lines of {}:\n", container.unwrap_or_default());
                lines.iter().for_each(|line| text += &format!("    {line}\n"));
            }
            return text;
        }
        let holding = self.lines.iter().filter(|(_, outcome)| matches!(outcome, Outcome::Ok(_))).count();
        format!("\n{absent}{holding} hops hold.\n")
    }

    /// One line about all parts that are not part of the system; empty where there are none.
    fn absent(&self) -> String {
        let mut parts: Vec<&str> = Vec::new();
        let mut hops = 0;
        for (_, outcome) in &self.lines {
            if let Outcome::Skipped(Skip::Absent(part, _)) = outcome {
                hops += 1;
                if !parts.contains(part) {
                    parts.push(part);
                }
            }
        }
        match hops {
            0 => String::new(),
            1 => format!("Not part of this system, so one hop is not checked: {}.\n", parts.join(", ")),
            _ => format!("Not part of this system, so {hops} hops are not checked: {}.\n", parts.join(", ")),
        }
    }

    fn to_json(&self, broken: Option<(&String, &Failure)>, lines: &[String]) -> Value {
        let hop = |(hop, outcome): &(String, Outcome)| {
            let (state, text) = outcome.text();
            let mut object = json!({ "hop": hop, "state": state.to_lowercase(), "found": text });
            if let Outcome::Failed(failure) = outcome {
                object["likely_cause"] = json!(failure.cause);
                object["what_to_do"] = json!(failure.remedy);
            }
            object
        };
        let hops: Vec<_> = self.lines.iter().map(hop).collect();
        let mut report = json!({ "ok": broken.is_none(), "first_broken": broken.map(|(hop, _)| hop), "hops": hops });
        if !lines.is_empty() {
            report["log_lines"] = json!(lines);
        }
        if let Some(manifest) = &self.manifest {
            report["manifest"] = json!(manifest);
        }
        report
    }
}

impl Outcome {
    /// The state, and what there is to say.
    fn text(&self) -> (&'static str, &str) {
        match self {
            Outcome::Ok(found) => ("ok", found),
            Outcome::Failed(failure) => ("FAILED", &failure.found),
            Outcome::Skipped(Skip::After(why) | Skip::Absent(_, why)) => ("skipped", why),
        }
    }
}

fn write(text: &str) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).context("stdout was closed")
}
