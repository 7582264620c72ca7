//! `/api/search`: which traces match tags or a query.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query as Parameters, State};
use serde_json::{Value, json};

use crate::attributes;
use crate::query::BadQuery;
use crate::store::Store;
use crate::tempo_json;
use crate::trace::{StoredSpan, Trace};
use crate::traceql::{self, Field, Query};

/// What Tempo writes for a trace whose first span is missing.
const NO_ROOT: &str = "<root span not yet received>";

/// A search as it was asked for.
struct Search {
    tags: Vec<(String, String)>,
    query: Option<Query>,
    /// Nanoseconds.
    min_duration: u64,
    max_duration: u64,
    /// Nanoseconds since 1970: the traces that were under way between these two.
    start: u64,
    end: u64,
    limit: usize,
    spans_per_set: usize,
}

/// Answers `/api/search`.
pub(crate) async fn search(
    State(store): State<Arc<Store>>,
    Parameters(parameters): Parameters<Vec<(String, String)>>,
) -> Result<Json<Value>, BadQuery> {
    let search = Search::parse(&parameters).map_err(BadQuery)?;
    let mut traces = store.latest(usize::MAX);
    let inspected = traces.len();
    traces.sort_by_cached_key(|trace| std::cmp::Reverse(trace.start()));
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
        let seconds = |name| match given(name) {
            None => Ok(None),
            Some(text) => match text.parse::<u32>() {
                Ok(seconds) => Ok(Some(u64::from(seconds) * 1_000_000_000)),
                Err(_) => Err(format!("invalid {name}: '{text}' is not a number of seconds since 1970")),
            },
        };
        let duration = |name| match given(name) {
            None => Ok(None),
            Some(text) => match traceql::duration(text) {
                Some(nanos) => Ok(Some(nanos as u64)),
                None => Err(format!("invalid {name}: '{text}' is not a duration such as 100ms or 1.5s")),
            },
        };
        let number = |name, least: usize, otherwise| match given(name).map(str::parse) {
            None => Ok(otherwise),
            Some(Ok(number)) if number >= least => Ok(number),
            Some(_) => Err(format!("invalid {name}: must be a number from {least} up")),
        };

        let query = match given("q") {
            Some(text) => Some(Query::parse(text).map_err(|error| format!("invalid TraceQL query: {error}"))?),
            None => None,
        };
        let tags = match given("tags") {
            Some(_) if query.is_some() => {
                return Err("invalid request: can't specify tags and q in the same query".to_owned());
            }
            Some(text) => logfmt(text).map_err(|error| format!("invalid tags: {error}"))?,
            None => Vec::new(),
        };
        let (min_duration, max_duration) = (duration("minDuration")?, duration("maxDuration")?);
        if let (Some(min), Some(max)) = (min_duration, max_duration)
            && min > max
        {
            return Err("invalid maxDuration: must be greater than minDuration".to_owned());
        }
        let (start, end) = (seconds("start")?, seconds("end")?);
        if let (Some(start), Some(end)) = (start, end)
            && start >= end
        {
            let (start, end) = (start / 1_000_000_000, end / 1_000_000_000);
            return Err(format!("http parameter start must be before end. received start={start} end={end}"));
        }
        Ok(Self {
            tags,
            query,
            min_duration: min_duration.unwrap_or(0),
            max_duration: max_duration.unwrap_or(u64::MAX),
            start: start.unwrap_or(0),
            end: end.unwrap_or(u64::MAX),
            limit: number("limit", 1, 20)?,
            spans_per_set: number("spss", 0, 3)?,
        })
    }

    /// What the answer says of `trace`, if it matches.
    fn result(&self, trace: &Trace) -> Option<Value> {
        let (start, duration) = (trace.start(), trace.duration());
        let in_time = start <= self.end && start.saturating_add(duration) >= self.start;
        let has_tag = |(key, value): &(String, String)| trace.spans.values().any(|span| tagged(span, key, value));
        if !in_time || duration < self.min_duration || duration > self.max_duration || !self.tags.iter().all(has_tag) {
            return None;
        }
        let mut result = json!({"traceID": trace.id.short(), "rootServiceName": NO_ROOT});
        if let Some(root) = trace.root() {
            result["rootServiceName"] = root.origin.service.as_str().into();
            result["rootTraceName"] = root.span.name.as_str().into();
        }
        result["startTimeUnixNano"] = start.to_string().into();
        result["durationMs"] = u32::try_from(duration / 1_000_000).unwrap_or(u32::MAX).into();
        if let Some(query) = &self.query {
            let matched: Vec<_> = trace.spans.values().filter(|span| query.matches(trace, span)).collect();
            if matched.is_empty() {
                return None;
            }
            let shown = if self.spans_per_set == 0 { matched.len() } else { self.spans_per_set };
            let spans: Vec<_> = matched.iter().take(shown).map(|span| found_span(query, span)).collect();
            let set = json!({"spans": spans, "matched": matched.len()});
            result["spanSet"] = set.clone();
            result["spanSets"] = json!([set]);
            let services = trace.services().into_iter().map(|(service, share)| {
                let mut stats = json!({"spanCount": share.spans});
                if share.failed > 0 {
                    stats["errorCount"] = share.failed.into();
                }
                (service.to_owned(), stats)
            });
            result["serviceStats"] = Value::Object(services.collect());
        }
        Some(result)
    }
}

/// A span of the answer, with what the query looked at.
fn found_span(query: &Query, span: &StoredSpan) -> Value {
    let mut found = json!({
        "spanID": span.id.to_string(),
        "startTimeUnixNano": span.start().to_string(),
        "durationNanos": (span.end() - span.start()).to_string(),
    });
    if query.0.iter().any(|condition| condition.field == Field::Name) {
        found["name"] = span.span.name.as_str().into();
    }
    let looked_at = query.0.iter().filter_map(|condition| condition.field.attribute(span));
    let attributes: Vec<_> = looked_at.map(|(key, value)| tempo_json::attribute(key, value)).collect();
    if !attributes.is_empty() {
        found["attributes"] = attributes.into();
    }
    found
}

/// Whether the span or its resource has the tag; `name`, `status` and `error` are tags that every span has.
fn tagged(span: &StoredSpan, key: &str, value: &str) -> bool {
    let on = |list| attributes::find(list, key).is_some_and(|found| attributes::text(found) == value);
    match key {
        "name" => span.span.name == value,
        "status" => traceql::status(span) == value,
        "error" if value == "true" => span.failed(),
        _ => on(&span.span.attributes) || on(&span.origin.resource.attributes),
    }
}

/// Reads `a=b c="d e"`, as Tempo's parameter `tags` is written.
fn logfmt(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut tags = Vec::<(String, String)>::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let at = text.len() - rest.len() + 1;
        let Some((key, after)) = rest.split_once('=').filter(|(key, _)| !key.is_empty() && !key.contains([' ', '"']))
        else {
            return Err(format!("expected key=value at character {at}"));
        };
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => unquote(quoted).ok_or_else(|| format!("unterminated quoted value at character {at}"))?,
            None => {
                let end = after.find(char::is_whitespace).unwrap_or(after.len());
                (after[..end].to_owned(), &after[end..])
            }
        };
        if tags.iter().any(|(known, _)| known == key) {
            return Err(format!("tag {key} has been set twice"));
        }
        tags.push((key.to_owned(), value));
        rest = after.trim_start();
    }
    Ok(tags)
}

/// The text up to the closing quote, and what comes behind it.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((i, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[i + 1..])),
            '\\' => value.push(chars.next()?.1),
            _ => value.push(c),
        }
    }
    None
}
