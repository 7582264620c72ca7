//! The rules, in the sequence in which they are tried: what explains most comes first, and what compares durations last,
//! because most faults change durations too.
//!
//! No rule has a bound in absolute time. Each counts in how many cases something shows, of those in which it could.

use std::collections::BTreeMap;

use trace_check::{Kind, Trace};

use crate::facets::{Batch, Call, batches, below, calls, number, percentile, text};
use crate::{Conclusion, HEALTHY, NOBODY, Observed, Recording};

/// Cases that are no accident.
const FEW: usize = 3;

/// Calls wait when they do so many times as long as others.
const WAITS: u64 = 3;

type Rule = fn(&Recording) -> Option<Conclusion>;

const RULES: [Rule; 11] = [
    dropped_spans,
    clock_skew,
    lost_context,
    detached_rolls,
    early_answer,
    one_call_per_roll,
    retry_storm,
    hidden_error,
    one_after_another,
    slow_die,
    small_pool,
];

/// The conclusion of the first rule that has one; otherwise nothing is wrong.
pub fn solve(recording: &Recording) -> Conclusion {
    RULES.iter().find_map(|rule| rule(recording)).unwrap_or_else(|| healthy(recording))
}

/// Cases by who would be to blame: in how many it shows, of how many, and where.
#[derive(Debug, Default)]
struct Cases<'r>(BTreeMap<String, Case<'r>>);

#[derive(Debug, Default)]
struct Case<'r> {
    all: usize,
    shown: usize,
    evidence: Option<(u64, &'r str)>,
}

impl<'r> Cases<'r> {
    fn add(&mut self, culprit: &str, shows: bool, observed: &'r Observed) {
        self.add_with(culprit, shows, 0, observed);
    }

    /// The evidence is the case of the largest `weight`.
    fn add_with(&mut self, culprit: &str, shows: bool, weight: u64, observed: &'r Observed) {
        let case = self.0.entry(culprit.to_owned()).or_default();
        case.all += 1;
        if shows {
            case.shown += 1;
            if case.evidence.is_none_or(|(known, _)| weight > known) {
                case.evidence = Some((weight, &observed.id));
            }
        }
    }

    /// Who is to blame: it shows in a quarter of the cases and more, since some are from before.
    fn conclude(self, mechanism: &'static str) -> Option<Conclusion> {
        let shows = |case: &Case<'_>| case.shown >= FEW && case.shown * 4 >= case.all;
        let (culprit, case) = self.0.into_iter().filter(|(_, case)| shows(case)).max_by_key(|(_, case)| case.shown)?;
        Some(Conclusion { culprit, mechanism, evidence: case.evidence?.1.to_owned() })
    }
}

/// Whether a statement holds.
fn holds(trace: &Trace, statement: impl FnOnce(&Trace)) -> bool {
    trace.check(statement).is_ok()
}

fn each_batch(recording: &Recording) -> impl Iterator<Item = (&Observed, Batch<'_>)> {
    recording
        .traces
        .iter()
        .flat_map(|observed| batches(&observed.trace).into_iter().map(move |batch| (observed, batch)))
}

/// A service says that it dropped spans, and a trace has holes.
fn dropped_spans(recording: &Recording) -> Option<Conclusion> {
    let (culprit, _) = recording.dropped.iter().filter(|(_, count)| **count > 0.0).max_by(|a, b| a.1.total_cmp(b.1))?;
    let with_hole = |observed: &&Observed| !holds(&observed.trace, |trace| _ = trace.whole().no_open_spans());
    let observed = recording.traces.iter().filter(|observed| observed.trace.tree().has_root).find(with_hole)?;
    Some(Conclusion { culprit: culprit.clone(), mechanism: "dropped-spans", evidence: observed.id.clone() })
}

/// The service that is called begins before the call.
fn clock_skew(recording: &Recording) -> Option<Conclusion> {
    let mut cases = Cases::default();
    for observed in &recording.traces {
        for call in calls(&observed.trace) {
            cases.add(&call.server.service, call.server.start < call.client.start, observed);
        }
    }
    cases.conclude("clock-skew")
}

/// Calls that were answered have nothing below them.
fn lost_context(recording: &Recording) -> Option<Conclusion> {
    let mut cases = Cases::default();
    for observed in &recording.traces {
        let tree = observed.trace.tree();
        for (i, span) in tree.spans.iter().enumerate().filter(|(_, span)| span.kind == Kind::Client) {
            let answered = number(&observed.trace, i, "http.response.status_code").is_some();
            cases.add(&span.service, answered && tree.children[i].is_empty(), observed);
        }
    }
    cases.conclude("lost-context")
}

/// Work inside of a service that serves requests is a trace of its own.
fn detached_rolls(recording: &Recording) -> Option<Conclusion> {
    let spans = || recording.traces.iter().flat_map(|observed| &observed.trace.tree().spans);
    let serves = |service: &str| spans().any(|span| span.kind == Kind::Server && span.service == service);
    let mut cases = Cases::default();
    for observed in &recording.traces {
        let tree = observed.trace.tree();
        let Some(root) = tree.root.map(|root| &tree.spans[root]) else { continue };
        cases.add(
            &root.service,
            root.parent.is_none() && root.kind == Kind::Internal && serves(&root.service),
            observed,
        );
    }
    cases.conclude("detached-rolls")
}

/// The parts of a batch go on after its end.
fn early_answer(recording: &Recording) -> Option<Conclusion> {
    let mut cases = Cases::default();
    for (observed, batch) in each_batch(recording) {
        let spans = &observed.trace.tree().spans;
        let late = batch.parts.iter().any(|&i| spans[i].end > batch.server.end);
        cases.add(&batch.server.service, late, observed);
    }
    cases.conclude("early-answer")
}

/// A batch has as many calls as parts.
fn one_call_per_roll(recording: &Recording) -> Option<Conclusion> {
    let mut cases = Cases::default();
    for (observed, batch) in each_batch(recording) {
        let calls = below(&observed.trace, batch.index, Kind::Client);
        cases.add(&batch.server.service, calls >= batch.parts.len(), observed);
    }
    cases.conclude("one-call-per-roll")
}

/// After a call that failed by the fault of the other side there is another one.
fn retry_storm(recording: &Recording) -> Option<Conclusion> {
    let mut cases = Cases::default();
    for observed in &recording.traces {
        let tree = observed.trace.tree();
        for (i, span) in tree.spans.iter().enumerate().filter(|(_, span)| span.kind == Kind::Server) {
            let status = |&call: &usize| number(&observed.trace, call, "http.response.status_code");
            let calls: Vec<_> =
                tree.children[i].iter().filter(|&&child| tree.spans[child].kind == Kind::Client).collect();
            let failed = calls.iter().any(|call| status(call).is_some_and(|status| status >= 500));
            if failed {
                cases.add_with(&span.service, calls.len() > 1, calls.len() as u64, observed);
            }
        }
    }
    cases.conclude("retry-storm")
}

/// Something has a result that it cannot have.
fn hidden_error(recording: &Recording) -> Option<Conclusion> {
    let mut cases = Cases::default();
    for observed in &recording.traces {
        let spans = &observed.trace.tree().spans;
        let attribute = |i: usize, name: &str| observed.trace.details(i).attributes.get(name);
        let faces = (0..spans.len()).find_map(|i| attribute(i, "die.faces")?.as_array());
        for (i, span) in spans.iter().enumerate() {
            let result = attribute(i, "die.result");
            // Most requests have none: only those that do are a case.
            if result.zip(faces).is_some_and(|(result, faces)| !faces.contains(result)) {
                cases.add(&span.service, true, observed);
            }
        }
    }
    cases.conclude("hidden-error")
}

/// The parts of a batch run one after another, although more were to run at once. Where those of different batches do so
/// too, the whole service stands still meanwhile.
fn one_after_another(recording: &Recording) -> Option<Conclusion> {
    let (mut cases, mut in_sequence) = (Cases::default(), Vec::new());
    let asked_for_more = |observed: &Observed, i| number(&observed.trace, i, "async.concurrency") != Some(1);
    for (observed, batch) in each_batch(recording).filter(|(_, batch)| batch.parts.len() >= FEW) {
        if !asked_for_more(observed, batch.index) {
            continue;
        }
        let server = batch.server;
        let shows = holds(&observed.trace, |trace| {
            let server = trace.span(&server.name).service(&server.service).kind(Kind::Server);
            server.children("*").kind(Kind::Internal).one_after_another();
        });
        cases.add(&server.service, shows, observed);
        if shows {
            in_sequence.push((observed, batch));
        }
    }
    cases.conclude(if alone(&in_sequence) { "blocking-sleep" } else { "lock-across-await" })
}

/// Of batches that were in progress together, whether in most cases only one had a part in progress.
fn alone(batches: &[(&Observed, Batch<'_>)]) -> bool {
    let (mut together, mut at_once) = (0, 0);
    for (i, (observed, batch)) in batches.iter().enumerate() {
        for (other_observed, other) in &batches[i + 1..] {
            let (a, b) = (batch.server, other.server);
            if a.start >= b.end || b.start >= a.end {
                continue;
            }
            together += 1;
            let parts = |observed: &Observed, batch: &Batch<'_>| -> Vec<(u64, u64)> {
                let spans = &observed.trace.tree().spans;
                batch.parts.iter().map(|&i| (spans[i].start, spans[i].end)).collect()
            };
            let others = parts(other_observed, other);
            let overlap = |(start, end): (u64, u64)| others.iter().any(|&(from, to)| start < to && from < end);
            at_once += usize::from(parts(observed, batch).into_iter().any(overlap));
        }
    }
    together > 0 && at_once * 2 < together
}

/// For one value of what is looked up, the service that is called takes nearly all of the call.
fn slow_die(recording: &Recording) -> Option<Conclusion> {
    let mut of_value = BTreeMap::<_, Cases<'_>>::new();
    for observed in &recording.traces {
        for call in calls(&observed.trace) {
            let Some(value) = text(&observed.trace, call.index, "die.identifier") else { continue };
            let (server, client) = (call.server.duration(), call.client.duration());
            let shows = server.saturating_mul(5) > client.saturating_mul(4);
            of_value.entry(value).or_default().add_with(&call.server.service, shows, server, observed);
        }
    }
    of_value.into_values().find_map(|cases| cases.conclude("slow-die"))
}

/// Calls of one service to another wait much longer before they are served than all other calls do, and much longer than
/// their responses are under way: a busy machine holds up both.
fn small_pool(recording: &Recording) -> Option<Conclusion> {
    let mut of_edge = BTreeMap::<(&str, &str), Vec<(Call<'_>, &Observed)>>::new();
    for observed in &recording.traces {
        for call in calls(&observed.trace) {
            let edge = (call.client.service.as_str(), call.server.service.as_str());
            of_edge.entry(edge).or_default().push((call, observed));
        }
    }
    let before = |call: &Call<'_>| call.server.start.saturating_sub(call.client.start);
    let after = |call: &Call<'_>| call.client.end.saturating_sub(call.server.end);
    let usual = |calls: &[(Call<'_>, &Observed)], of: &dyn Fn(&Call<'_>) -> u64| {
        percentile(calls.iter().map(|(call, _)| of(call)), 75).unwrap_or(0)
    };
    let waits = |calls: &[(Call<'_>, &Observed)]| usual(calls, &before);
    let (edge, calls) = of_edge.iter().filter(|(_, calls)| calls.len() >= FEW).max_by_key(|(_, calls)| waits(calls))?;
    let others = of_edge.iter().filter(|(other, _)| *other != edge).map(|(_, calls)| waits(calls)).max()?;
    let (_, longest) = calls.iter().max_by_key(|(call, _)| before(call))?;
    let least = others.max(usual(calls, &after)).saturating_mul(WAITS);
    (waits(calls) > least).then(|| Conclusion {
        culprit: edge.0.to_owned(),
        mechanism: "small-pool",
        evidence: longest.id.clone(),
    })
}

/// Nothing is wrong: the evidence is a trace in which all is as it should be.
fn healthy(recording: &Recording) -> Conclusion {
    let sound = |observed: &&Observed| {
        holds(&observed.trace, |trace| _ = trace.whole().no_open_spans().one_root().no_errors())
            && !batches(&observed.trace).is_empty()
    };
    let evidence = recording.traces.iter().find(sound).or(recording.traces.first());
    let evidence = evidence.map(|observed| observed.id.clone()).unwrap_or_default();
    Conclusion { culprit: NOBODY.to_owned(), mechanism: HEALTHY, evidence }
}
