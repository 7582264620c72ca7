//! What an answer is worth, and the reveal: what was wrong, where a trace shows it, and in what that trace differs from a
//! healthy one.

use anyhow::ensure;
use serde::Serialize;
use trace_analysis::Comparison;
use trace_check::{Report, Trace};

use crate::mechanisms::{HEALTHY, Mechanism, NOBODY, SERVICES, mechanisms};
use crate::plan::Incident;
use crate::state::Running;
use crate::viewer::{Held, Viewer};

/// What takes longer than this many times as long is slower, as in the viewer's comparison.
const SLOWER: f64 = 1.5;

const NANOSECONDS: u64 = 1_000_000_000;

/// What a person answers.
#[derive(Debug, Clone)]
pub struct Answer {
    /// A service, or [`NOBODY`].
    pub culprit: String,
    /// The name of a mechanism.
    pub mechanism: String,
    /// Where a trace shows it.
    pub evidence: Evidence,
}

/// Where a trace shows what is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Evidence {
    /// 32 hex digits.
    TraceId(String),
    /// A query in TraceQL that returns such a trace.
    Query(String),
}

/// What the answer is worth, and what was wrong.
#[derive(Debug, Clone, Serialize)]
pub struct Verdict {
    /// Whether all of the answer is right.
    pub right: bool,
    /// What was wrong: the service, or `none`.
    pub culprit: &'static str,
    /// What was wrong: the mechanism.
    pub mechanism: &'static str,
    /// A trace that shows it: that of the answer where it does. `None` where the viewer holds none.
    pub evidence: Option<String>,
    /// A query in TraceQL that such traces match.
    pub evidence_query: String,
    /// Points of this answer: one each for culprit, mechanism and evidence.
    pub score: u64,
    /// What of the answer is right.
    pub correct: Correct,
    /// What the mechanism does, and what a trace shows of it.
    pub sentence: String,
    /// A trace of the same kind from before the incident.
    pub healthy: Option<String>,
    /// The difference between both, in a sentence.
    pub comparison: Option<String>,
    /// The viewer's page of that comparison.
    pub compare_url: Option<String>,
    /// The statement that does not hold in the evidence, with its bars.
    pub statement: Option<String>,
    /// What looked odd, and why it is harmless.
    pub decoys: Vec<&'static str>,
}

/// What of an answer is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[allow(missing_docs)] // the names of the answer's parts
pub struct Correct {
    pub culprit: bool,
    pub mechanism: bool,
    pub evidence: bool,
}

impl Evidence {
    /// A trace id (up to 32 hex digits) or a query in TraceQL (`{ … }`).
    ///
    /// # Errors
    /// When it is neither.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let text = text.trim();
        let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
        match text.chars().next() {
            Some('{' | '(') => Ok(Self::Query(text.to_owned())),
            Some(_) if is_hex && text.len() <= 32 => Ok(Self::TraceId(format!("{:0>32}", text.to_ascii_lowercase()))),
            _ => Err("allowed: a trace id (up to 32 hex digits), or a query in TraceQL such as { duration > 1s }"),
        }
    }
}

impl Answer {
    /// Checks names before anything is asked.
    ///
    /// # Errors
    /// When the culprit or the mechanism is none that there is, or one of them says that nothing is wrong and the other
    /// does not.
    pub fn check(&self) -> anyhow::Result<()> {
        let names: Vec<_> = mechanisms().map(|mechanism| mechanism.name).collect();
        let services: Vec<_> = SERVICES.into_iter().chain([NOBODY]).collect();
        for (setting, value, allowed) in [("culprit", &self.culprit, services), ("mechanism", &self.mechanism, names)] {
            let known = allowed.contains(&value.as_str());
            ensure!(known, "--{setting} '{}': allowed: {}", value.escape_debug(), allowed.join(", "));
        }
        let (healthy, culprit, mechanism) = (HEALTHY.name, &self.culprit, &self.mechanism);
        ensure!(
            (culprit == NOBODY) == (mechanism == healthy),
            "--culprit {culprit} with --mechanism {mechanism} is no answer: allowed: {NOBODY} with {healthy}, or a service \
             with another mechanism than {healthy}"
        );
        Ok(())
    }

    /// Judges the answer to a running incident by what the viewer holds.
    ///
    /// # Errors
    /// When the viewer does not respond, does not take the query, or has no trace that is meant: nothing is revealed.
    pub async fn judge(&self, running: &Running, viewer: &Viewer) -> anyhow::Result<Verdict> {
        let incident = Incident::new(running.seed, running.level);
        let mechanism = incident.mechanism;
        let (given, none): (Vec<_>, _) = match &self.evidence {
            Evidence::TraceId(id) => (viewer.trace(id).await?.into_iter().collect(), "has this id"),
            Evidence::Query(query) => (viewer.find(query, None).await?, "matches the query"),
        };
        ensure!(!given.is_empty(), "--evidence: no trace of the viewer {none}; this answer does not count");
        let evidence_query = mechanism.query(&incident);
        let shows = |held: &Held| mechanism.is_shown_by(&held.trace);
        let given = given.into_iter().find(shows);
        let correct = Correct {
            culprit: self.culprit == mechanism.culprit,
            mechanism: self.mechanism == mechanism.name,
            evidence: given.is_some(),
        };
        let evidence = match given {
            Some(held) => Some(held),
            None => viewer.find(&evidence_query, None).await?.into_iter().find(shows),
        };
        let healthy = match &evidence {
            Some(held) => healthy(viewer, held, running.since).await?,
            None => None,
        };
        let both = healthy.as_ref().zip(evidence.as_ref());
        let points = [correct.culprit, correct.mechanism, correct.evidence];
        Ok(Verdict {
            right: points == [true; 3],
            culprit: mechanism.culprit,
            mechanism: mechanism.name,
            score: points.into_iter().map(u64::from).sum(),
            correct,
            sentence: mechanism.told(),
            comparison: both.map(|(a, b)| Comparison::of(a.trace.tree(), b.trace.tree(), SLOWER).sentence),
            compare_url: both.map(|(a, b)| format!("{}/compare/{}/{}", viewer.address(), a.id, b.id)),
            statement: evidence.as_ref().and_then(|held| mechanism.broken_in(&held.trace)).map(shown),
            healthy: healthy.map(|held| held.id),
            evidence: evidence.map(|held| held.id),
            evidence_query,
            decoys: incident.decoys.iter().map(|decoy| decoy.sentence).collect(),
        })
    }
}

/// The first one says enough: others follow from it.
fn shown(report: Report) -> String {
    report.failures.first().map(ToString::to_string).unwrap_or_default()
}

/// A trace of the same kind from before the incident, in which nothing failed; with as many rolls where there is one.
async fn healthy(viewer: &Viewer, like: &Held, since: u64) -> anyhow::Result<Option<Held>> {
    let size = batch_size(&like.trace);
    let batch = if size.is_some() { "-async" } else { "" };
    let query =
        format!(r#"{{ name = "GET /roll{batch}" && resource.service.name = "dice-roller" && status != error }}"#);
    let found = viewer.find(&query, Some(since / NANOSECONDS)).await?.into_iter();
    let sound = |held: &Held| HEALTHY.is_shown_by(&held.trace) && no_errors(&held.trace);
    let mut found: Vec<_> = found.filter(sound).collect();
    let distance = |held: &Held| batch_size(&held.trace).unwrap_or(0).abs_diff(size.unwrap_or(0));
    let depth = |held: &Held| held.trace.tree().spans.len();
    // Of equally large batches one with the generator's spans, as the evidence usually has them.
    found.sort_by_key(|held| (distance(held), std::cmp::Reverse(depth(held))));
    Ok(found.into_iter().next())
}

fn no_errors(trace: &Trace) -> bool {
    trace.check(|trace| _ = trace.whole().no_errors()).is_ok()
}

fn batch_size(trace: &Trace) -> Option<u64> {
    let of_span = |i: usize| trace.details(i).attributes.get("async.batch_size").and_then(serde_json::Value::as_u64);
    (0..trace.tree().spans.len()).find_map(of_span)
}

impl Mechanism {
    /// Whether this trace shows it.
    pub fn is_shown_by(&self, trace: &Trace) -> bool {
        self.is_healthy() == self.broken_in(trace).is_none()
    }
}
