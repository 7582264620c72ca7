//! The list of recent traces, as JSON: which traces pass the query and the filters of the page, and a summary of each.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::by_start::{NewestFirst, Services};
use crate::query::QueryError;
use crate::sending::Text;
use crate::short::short;
use crate::span::StoredSpan;
use crate::store::{Level, Store};
use crate::trace::Trace;
use crate::traceql::{Deadline, Query, TimedOut, TraceContext};

/// Traces in the list; `/api/search` finds more, for a query.
const LISTED: usize = 100;

/// Bars in the small picture of a trace.
const MOST_BARS: usize = 40;

/// Services named beside a trace.
const MOST_SERVICES: usize = 8;

/// The filters, as the address of the page has them. An empty one does not filter.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Filter {
    /// The revision of the page's last response: only traces that changed since are described.
    since: u64,
    /// Part of a service's name, in upper or lower case.
    service: String,
    /// Part of a span's name, in upper or lower case.
    name: String,
    /// With any value: only traces with an error.
    errors: String,
    /// The least duration, such as `100ms`.
    min: String,
    /// With any value: without traces whose root span is `GET /`.
    hide: String,
    /// Only traces that started later than this, in milliseconds since 1970.
    after: u64,
    /// A query in TraceQL.
    q: String,
}

/// Writes the newest traces that pass the query and the filters, or why there are none to show.
///
/// # Errors
/// There is no memory for it.
pub(crate) fn list(store: &Store, filter: &Filter, deadline: &Deadline, out: &mut Text) -> Result<(), QueryError> {
    match select(store, filter, deadline) {
        Ok(listed) => write(store, filter, listed, out),
        // 200, as the page polls and shows what is wrong.
        Err(reason) => Ok(out.json(&json!({"invalid": reason}))?),
    }
}

/// The traces of the list, and the state of the store.
struct Listed {
    level: Level,
    /// `None` where nothing changed since the page's last response.
    traces: Option<Vec<Arc<Trace>>>,
}

/// What is listed; or what is wrong with the query or a filter: also that it takes too long.
fn select(store: &Store, filter: &Filter, deadline: &Deadline) -> Result<Listed, String> {
    let test = Test::of(filter)?;
    let level = store.level();
    if filter.since == level.revision && level.revision > 0 {
        return Ok(Listed { level, traces: None });
    }
    let (mut traces, mut seen) = (Vec::new(), HashSet::new());
    for trace in NewestFirst::new(store, u64::MAX, Services::default()) {
        let passes = test.passes(&trace, deadline).map_err(|TimedOut| {
            "The query took too long and was stopped: narrow it by a service, a name or a duration.".to_owned()
        });
        if passes? && seen.insert(trace.id) {
            traces.push(trace);
        }
        if traces.len() == LISTED {
            break;
        }
    }
    traces.sort_by_cached_key(|trace| (Reverse(trace.start()), trace.id));
    Ok(Listed { level, traces: Some(traces) })
}

/// All ids, and a summary of each trace that changed since the page's last response.
fn write(store: &Store, filter: &Filter, listed: Listed, out: &mut Text) -> Result<(), QueryError> {
    let Listed { level, traces } = listed;
    let mut object = json!({
        "created": store.created.to_string(),
        "revision": level.revision,
        "kept": {
            "traces": level.traces,
            "spans": level.spans,
            "evicted": level.evicted,
            "metrics_ignored": level.metrics_ignored,
        },
    });
    let Some(traces) = traces else { return Ok(out.json(&object)?) };
    object["ids"] = traces.iter().map(|trace| trace.id.to_string()).collect();
    let changed = traces.iter().filter(|trace| trace.revision > filter.since);
    Ok(out.object_with_list(&object, "traces", changed.map(|trace| summary(trace)))?)
}

/// A filter in the form that is compared.
struct Test {
    service: String,
    name: String,
    errors: bool,
    least: u64,
    hide: bool,
    after: u64,
    query: Option<Query>,
}

impl Test {
    fn of(filter: &Filter) -> Result<Self, String> {
        Ok(Self {
            service: filter.service.to_lowercase(),
            name: filter.name.to_lowercase(),
            errors: !filter.errors.is_empty(),
            least: nanos(&filter.min)?,
            hide: !filter.hide.is_empty(),
            after: filter.after.saturating_mul(1_000_000),
            query: query(filter.q.trim())?,
        })
    }

    fn passes(&self, trace: &Trace, deadline: &Deadline) -> Result<bool, TimedOut> {
        deadline.check_now()?;
        match &self.query {
            Some(query) if self.passes_filters(trace, deadline)? => {
                Ok(query.run(&TraceContext::new(trace, deadline))?.is_some())
            }
            Some(_) => Ok(false),
            None => self.passes_filters(trace, deadline),
        }
    }

    fn passes_filters(&self, trace: &Trace, deadline: &Deadline) -> Result<bool, TimedOut> {
        let any = |test: &dyn Fn(&StoredSpan) -> bool| {
            for span in trace.spans.values() {
                deadline.check_bytes(span.service().len() + span.name().len())?;
                if test(span) {
                    return Ok(true);
                }
            }
            Ok(false)
        };
        let contains = |text: &str, part: &str| text.to_lowercase().contains(part);
        Ok((self.after == 0 || trace.start() / 1_000_000 * 1_000_000 > self.after)
            && (self.least == 0 || trace.duration() >= self.least)
            && (!self.hide || trace.root().is_none_or(|root| root.name() != "GET /"))
            && (!self.errors || any(&|span| span.failed())?)
            && (self.service.is_empty() || any(&|span| contains(span.service(), &self.service))?)
            && (self.name.is_empty() || any(&|span| contains(span.name(), &self.name))?))
    }
}

fn query(text: &str) -> Result<Option<Query>, String> {
    match text.chars().next() {
        None => Ok(None),
        Some('{' | '(') => Query::parse(text).map(Some).map_err(|error| format!("The query is not valid: {error}")),
        Some(_) => Err(format!(
            "“{text}” is neither a trace id, which has up to 32 digits of 0 to 9 and a to f, nor TraceQL, which begins with {{."
        )),
    }
}

/// A duration such as `100ms`, `1.5 s` or `20`, which is in milliseconds, as nanoseconds; 0 for an empty text.
fn nanos(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = match unit.trim() {
        "ns" => 1.0,
        "us" | "µs" | "μs" => 1e3,
        "" | "ms" => 1e6,
        "s" => 1e9,
        "m" | "min" => 60e9,
        _ => f64::NAN,
    };
    match number.parse::<f64>() {
        Ok(number) if !unit.is_nan() => Ok((number * unit) as u64),
        Err(_) if text.is_empty() => Ok(0),
        _ => Err(format!("'{text}' is not a duration; allowed: a number with ns, µs, ms, s or m, such as 100ms")),
    }
}

/// A trace for the list.
pub(crate) fn summary(trace: &Trace) -> Value {
    let start = trace.start();
    let mut spans: Vec<&Arc<StoredSpan>> = trace.spans.values().collect();
    spans.sort_by_key(|span| (span.start(), Reverse(span.end())));
    let mut seen = HashSet::new();
    let services = spans.iter().map(|span| span.service()).filter(|service| seen.insert(*service));
    let services: Vec<&str> = services.collect();
    let named: Vec<_> = services.iter().take(MOST_SERVICES).map(|service| short(service)).collect();
    let bar = |span: &Arc<StoredSpan>| {
        json!([span.start() - start, span.end() - span.start(), short(span.service()), span.failed()])
    };
    // The whole of a long trace: of each stretch of spans the failed one, or the longest.
    let stretch = spans.len().div_ceil(MOST_BARS).max(1);
    let of_each = |stretch: &[&Arc<StoredSpan>]| {
        stretch.iter().max_by_key(|span| (span.failed(), span.end() - span.start())).map(|span| bar(span))
    };
    json!({
        "id": trace.id.to_string(),
        "root": trace.root().map(|root| json!({"name": short(root.name()), "service": short(root.service())})),
        "start": start / 1_000_000,
        "duration": trace.duration(),
        "spans": spans.len(),
        "errors": spans.iter().filter(|span| span.failed()).count(),
        "services": named,
        "more_services": services.len().saturating_sub(MOST_SERVICES),
        "bars": spans.chunks(stretch).filter_map(of_each).collect::<Value>(),
    })
}

#[cfg(test)]
mod tests {
    use super::nanos;

    #[test]
    fn durations_have_a_number_and_a_unit() {
        let parsed: Vec<_> = ["", " ", "20", "100ms", "1.5 s", "2m", "3µs", "7 ns"].map(nanos).into_iter().collect();
        let expected = [0, 0, 20_000_000, 100_000_000, 1_500_000_000, 120_000_000_000, 3_000, 7].map(Ok);
        assert_eq!(parsed, expected);
        for wrong in ["ms", "1h", "-1s", "1..2", "1e3", "NaN", "9".repeat(400).as_str()] {
            assert!(nanos(wrong).is_err() || wrong.len() > 100, "{wrong}");
        }
    }
}
