//! The map of services, as JSON: who calls whom, how often, how slow, and how many calls failed.

use std::cmp::Reverse;
use std::collections::HashMap;

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use serde_json::{Value, json};
use smol_str::SmolStr;

use crate::attributes;
use crate::short::short;
use crate::span::StoredSpan;
use crate::trace::Trace;
use crate::traceql::{Deadline, TimedOut};

/// Services drawn; the others are counted.
const MOST_SERVICES: usize = 30;

/// Connections drawn; the others are counted.
const MOST_CALLS: usize = 150;

/// What one service, or the calls from one to another, took.
#[derive(Default)]
struct Taken {
    nanos: Vec<u64>,
    failed: usize,
}

impl Taken {
    fn add(&mut self, span: &StoredSpan) {
        self.nanos.push(span.end() - span.start());
        self.failed += usize::from(span.failed());
    }

    /// The duration that `percent` of the calls do not exceed.
    fn percentile(&mut self, percent: usize) -> u64 {
        let Some(last) = self.nanos.len().checked_sub(1) else { return 0 };
        let rank = (self.nanos.len() * percent).div_ceil(100).saturating_sub(1).min(last);
        *self.nanos.select_nth_unstable(rank).1
    }

    fn json(&mut self) -> Value {
        json!({
            "calls": self.nanos.len(),
            "failed": self.failed,
            "median": self.percentile(50),
            "p95": self.percentile(95),
        })
    }
}

/// What the map says, as far as it has seen traces.
#[derive(Default)]
pub(crate) struct ServiceMap {
    traces: usize,
    calls: HashMap<(SmolStr, SmolStr), Taken>,
    /// Spans, and calls to what sends none.
    services: HashMap<SmolStr, (usize, usize)>,
    entries: HashMap<SmolStr, Taken>,
}

impl ServiceMap {
    /// Adds the spans of a trace.
    ///
    /// # Errors
    /// It takes too long.
    pub(crate) fn add(&mut self, trace: &Trace, deadline: &Deadline) -> Result<(), TimedOut> {
        let service = |span: &StoredSpan| span.origin.resource.service.clone();
        self.traces += 1;
        for span in trace.spans.values() {
            deadline.check()?;
            self.services.entry(service(span)).or_default().0 += 1;
            let parent = span.parent().and_then(|id| trace.spans.get(&id));
            match parent {
                // The caller's span has the time on the network too.
                Some(parent) if parent.service() != span.service() => {
                    let caller = if is_call(parent) { parent } else { span };
                    self.calls.entry((service(parent), service(span))).or_default().add(caller);
                }
                Some(_) => {}
                None => self.entries.entry(service(span)).or_default().add(span),
            }
        }
        for (from, to) in without_spans(trace) {
            deadline.check()?;
            let to = short(to);
            // The name is held once, also where thousands of services call it.
            let known = self.services.get_key_value(&*to).map(|(name, _)| name.clone());
            let to = known.unwrap_or_else(|| SmolStr::new(to));
            self.services.entry(to.clone()).or_default().1 += 1;
            self.calls.entry((service(from), to)).or_default().add(from);
        }
        Ok(())
    }

    /// The busiest services, and how many more there are.
    pub(crate) fn json(self) -> Value {
        let Self { traces, calls, services, mut entries } = self;
        let mut busiest: Vec<_> = services.into_iter().collect();
        busiest.sort_by_cached_key(|(name, (spans, calls))| (Reverse(spans + calls), name.clone()));
        let more_services = busiest.len().saturating_sub(MOST_SERVICES);
        busiest.truncate(MOST_SERVICES);
        let drawn = |name: &SmolStr| busiest.iter().any(|(other, _)| other == name);
        let mut between: Vec<_> = calls.into_iter().filter(|((from, to), _)| drawn(from) && drawn(to)).collect();
        between.sort_by_cached_key(|(names, taken)| (Reverse(taken.nanos.len()), names.clone()));
        let more_calls = between.len().saturating_sub(MOST_CALLS);
        between.truncate(MOST_CALLS);
        let services = busiest.iter().map(|(name, (spans, _))| {
            let entries = entries.get_mut(name).map(Taken::json);
            json!({"name": short(name), "spans": spans, "entries": entries})
        });
        let with_names = |((from, to), mut taken): ((SmolStr, SmolStr), Taken)| {
            let mut json = taken.json();
            json["from"] = short(&from).into();
            json["to"] = short(&to).into();
            json
        };
        json!({
            "traces": traces,
            "services": services.collect::<Value>(),
            "calls": between.into_iter().map(with_names).collect::<Value>(),
            "more_services": more_services,
            "more_calls": more_calls,
        })
    }
}

/// Calls to what sends no spans of its own, such as a database, with its name.
fn without_spans(trace: &Trace) -> impl Iterator<Item = (&StoredSpan, &str)> {
    let mut has_callee = std::collections::HashSet::new();
    has_callee.extend(trace.spans.values().filter_map(|span| span.parent()));
    let leaves = trace.spans.values().filter(move |span| is_call(span) && !has_callee.contains(&span.id));
    leaves.filter_map(|span| Some((span.as_ref(), address(span).filter(|to| *to != span.service())?)))
}

/// Whether the span is a call to another service.
pub(crate) fn is_call(span: &StoredSpan) -> bool {
    matches!(span.kind(), SpanKind::Client | SpanKind::Producer)
}

/// Where a call goes, by its own attributes.
pub(crate) fn address(span: &StoredSpan) -> Option<&str> {
    let text = |key| match span.attribute(key) {
        Some(attributes::Value::Text(text)) if !text.is_empty() => Some(text.as_str()),
        _ => None,
    };
    ["peer.service", "service.peer.name", "db.system.name", "db.system", "messaging.system", "server.address"]
        .into_iter()
        .find_map(text)
}
