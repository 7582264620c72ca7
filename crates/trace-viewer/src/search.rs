//! `/api/search`: which traces match tags or a query.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Query as Parameters, State};
use serde::Serialize;
use serde_json::{Value, json};

use crate::attributes;
use crate::query::BadQuery;
use crate::span::StoredSpan;
use crate::store::Store;
use crate::tempo_json;
use crate::trace::Trace;
use crate::traceql::{self, Field, Query};

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// What Tempo writes for a trace whose root span is missing.
const NO_ROOT: &str = "<root span not yet received>";

/// The conditions of a search.
struct Search {
    tags: Vec<(String, String)>,
    query: Option<Query>,
    /// Nanoseconds.
    min_duration: u64,
    max_duration: u64,
    /// Nanoseconds since 1970: traces that were in progress between these two.
    start: u64,
    end: u64,
    limit: usize,
    spans_per_set: usize,
}

/// What a service has in a trace.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct ServiceStats {
    span_count: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_count: Option<usize>,
}

/// `/api/search`.
pub(crate) async fn search(
    State(store): State<Arc<Store>>,
    Parameters(parameters): Parameters<Vec<(String, String)>>,
) -> Result<Json<Value>, BadQuery> {
    let search = Search::parse(&parameters).map_err(BadQuery)?;
    let mut traces = store.latest(usize::MAX);
    let inspected = traces.len();
    traces.sort_by_cached_key(|trace| Reverse(trace.start()));
    let found: Vec<Value> = traces.iter().filter_map(|trace| search.result(trace)).take(search.limit).collect();
    Ok(Json(json!({"traces": found, "metrics": {"inspectedTraces": inspected}})))
}

impl Search {
    fn parse(parameters: &[(String, String)]) -> Result<Self, String> {
        // An empty parameter counts as absent, as in Tempo.
        let given = |name: &str| {
            let found = parameters.iter().find(|(key, value)| key == name && !value.is_empty());
            found.map(|(_, value)| value.as_str())
        };
        let parsed = |name, parse: fn(&str) -> Option<u64>, what| {
            let parse = |text| parse(text).ok_or_else(|| format!("invalid {name}: '{text}' is not {what}"));
            given(name).map(parse).transpose()
        };
        let seconds =
            |name| parsed(name, |text| text.parse::<u32>().ok().map(u64::from), "a number of seconds since 1970");
        let duration = |name| {
            let nanos = |text: &str| Some(traceql::duration(text)? as u64);
            parsed(name, nanos, "a duration such as 100ms or 1.5s")
        };
        let number = |name, least: usize, default| match given(name).map(str::parse) {
            None => Ok(default),
            Some(Ok(number)) if number >= least => Ok(number),
            Some(_) => Err(format!("invalid {name}: must be a number from {least} up")),
        };

        let query = given("q").map(Query::parse).transpose();
        let query = query.map_err(|error| format!("invalid TraceQL query: {error}"))?;
        if query.is_some() && given("tags").is_some() {
            return Err("invalid request: can't specify tags and q in the same query".to_owned());
        }
        let tags = logfmt(given("tags").unwrap_or_default()).map_err(|error| format!("invalid tags: {error}"))?;
        let (min_duration, max_duration) = (duration("minDuration")?, duration("maxDuration")?);
        if min_duration.zip(max_duration).is_some_and(|(min, max)| min > max) {
            return Err("invalid maxDuration: must be greater than minDuration".to_owned());
        }
        let (start, end) = (seconds("start")?, seconds("end")?);
        if let Some((start, end)) = start.zip(end).filter(|(start, end)| start >= end) {
            return Err(format!("http parameter start must be before end. received start={start} end={end}"));
        }
        Ok(Self {
            tags,
            query,
            min_duration: min_duration.unwrap_or(0),
            max_duration: max_duration.unwrap_or(u64::MAX),
            start: start.unwrap_or(0) * NANOS_PER_SECOND,
            end: end.map_or(u64::MAX, |seconds| seconds * NANOS_PER_SECOND),
            limit: number("limit", 1, 20)?,
            spans_per_set: number("spss", 0, 3)?,
        })
    }

    /// What the response says of `trace`, if it matches.
    fn result(&self, trace: &Trace) -> Option<Value> {
        let (start, duration) = (trace.start(), trace.duration());
        let in_time = start <= self.end && start.saturating_add(duration) >= self.start;
        let has_tag = |(key, value): &(String, String)| trace.spans.values().any(|span| tagged(span, key, value));
        if !in_time || duration < self.min_duration || duration > self.max_duration || !self.tags.iter().all(has_tag) {
            return None;
        }
        let mut result = json!({"traceID": trace.id.short(), "rootServiceName": NO_ROOT});
        if let Some(root) = trace.root() {
            result["rootServiceName"] = json!(root.service());
            result["rootTraceName"] = json!(root.name());
        }
        result["startTimeUnixNano"] = json!(start.to_string());
        result["durationMs"] = json!(u32::try_from(duration / 1_000_000).unwrap_or(u32::MAX));
        if let Some(query) = &self.query {
            let matched: Vec<_> = trace.spans.values().filter(|span| query.matches(trace, span)).collect();
            if matched.is_empty() {
                return None;
            }
            let shown = if self.spans_per_set == 0 { matched.len() } else { self.spans_per_set };
            let spans: Vec<_> = matched.iter().take(shown).map(|span| found_span(query, span)).collect();
            let set = json!({"spans": spans, "matched": matched.len()});
            result["spanSets"] = json!([set]);
            result["spanSet"] = set;
            let mut services = BTreeMap::<&str, ServiceStats>::new();
            for span in trace.spans.values() {
                let stats = services.entry(span.service()).or_default();
                stats.span_count += 1;
                if span.failed() {
                    *stats.error_count.get_or_insert(0) += 1;
                }
            }
            result["serviceStats"] = json!(services);
        }
        Some(result)
    }
}

/// A span that matched, with the attributes in the query.
fn found_span(query: &Query, span: &StoredSpan) -> Value {
    let mut found = json!({
        "spanID": span.id.to_string(),
        "startTimeUnixNano": span.start().to_string(),
        "durationNanos": (span.end() - span.start()).to_string(),
    });
    if query.0.iter().any(|condition| condition.field == Field::Name) {
        found["name"] = span.name().into();
    }
    let attributes = query.0.iter().filter_map(|condition| condition.field.attribute(span));
    let attributes: Vec<_> = attributes.map(|(key, value)| tempo_json::attribute(key, value)).collect();
    if !attributes.is_empty() {
        found["attributes"] = attributes.into();
    }
    found
}

/// Whether the span or its resource has the attribute. `name`, `status` and `error` count as attributes of the span.
fn tagged(span: &StoredSpan, key: &str, value: &str) -> bool {
    let is_value = |found: &attributes::Value| attributes::text(found) == value;
    match key {
        "name" => span.name() == value,
        "status" => traceql::status(span) == value,
        "error" if value == "true" => span.failed(),
        _ => span.attribute(key).is_some_and(is_value) || span.resource_attribute(key).is_some_and(is_value),
    }
}

/// Parses `a=b c="d e"`, the form of Tempo's parameter `tags`.
fn logfmt(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut tags = Vec::<(String, String)>::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let at = text.len() - rest.len() + 1;
        let Some((key, after)) = rest.split_once('=').filter(|(key, _)| !key.is_empty() && !key.contains([' ', '"']))
        else {
            return Err(format!("expected key=value at character {at}"));
        };
        let (value, after) = if after.starts_with('"') {
            traceql::quoted(after).ok_or_else(|| format!("unterminated quoted value at character {at}"))?
        } else {
            let end = after.find(char::is_whitespace).unwrap_or(after.len());
            (after[..end].to_owned(), &after[end..])
        };
        if tags.iter().any(|(known, _)| known == key) {
            return Err(format!("tag {key} has been set twice"));
        }
        tags.push((key.to_owned(), value));
        rest = after.trim_start();
    }
    Ok(tags)
}
