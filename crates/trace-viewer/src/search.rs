//! `/api/search`: which traces match tags or a query.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use axum::extract::{Extension, Query as Parameters, State};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::by_start::{NewestFirst, Services};
use crate::query::{QueryError, QueryPool};
use crate::sending::{Full, Sending, Text, too_long};
use crate::span::StoredSpan;
use crate::store::Store;
use crate::trace::Trace;
use crate::traceql::{self, Deadline, Field, Intrinsic, Query, Scope, SpanSet, TimedOut, TraceContext, Value};

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// What Tempo writes for a trace whose root span is missing.
const NO_ROOT: &str = "<root span not yet received>";

/// Most spans of each trace in a response, as in Tempo.
const MOST_SPANS_PER_SET: usize = 100;

/// Most tags of a search.
const MOST_TAGS: usize = 64;

/// The conditions of a search.
struct Search {
    tags: Vec<(Field, String)>,
    query: Option<Query>,
    /// Nanoseconds.
    min_duration: u64,
    max_duration: u64,
    range: TimeRange,
    limit: usize,
    spans_per_set: usize,
}

/// Nanoseconds since 1970.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TimeRange {
    pub(crate) start: u64,
    pub(crate) end: u64,
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
    Extension(pool): Extension<QueryPool>,
    Extension(sending): Extension<Sending>,
    Parameters(parameters): Parameters<Vec<(String, String)>>,
) -> Result<Response, QueryError> {
    let text = pool.run(move |deadline| {
        let mut text = Text::new(&sending);
        Search::parse(&parameters)?.run(&store, deadline, &mut text)?;
        Ok(text)
    });
    Ok(text.await?.into_response())
}

impl Search {
    fn parse(parameters: &[(String, String)]) -> Result<Self, String> {
        let duration = |name| {
            let text = given(parameters, name);
            let parse = |text: &str| {
                let nanos = traceql::duration(text).and_then(|nanos| u64::try_from(nanos).ok());
                nanos.ok_or_else(|| format!("invalid {name}: '{text}' is not a duration such as 100ms or 1.5s"))
            };
            text.map(parse).transpose()
        };
        let number = |name, least: usize, default| match given(parameters, name).map(str::parse) {
            None => Ok(default),
            Some(Ok(number)) if number >= least => Ok(number),
            Some(_) => Err(format!("invalid {name}: must be a number from {least} up")),
        };

        let query = given(parameters, "q").map(Query::parse).transpose();
        let query = query.map_err(|error| format!("invalid TraceQL query: {error}"))?;
        let tags = given(parameters, "tags");
        if query.is_some() && tags.is_some() {
            return Err("invalid request: can't specify tags and q in the same query".to_owned());
        }
        let tags = logfmt(tags.unwrap_or_default()).map_err(|error| format!("invalid tags: {error}"))?;
        let (min_duration, max_duration) = (duration("minDuration")?, duration("maxDuration")?);
        if min_duration.zip(max_duration).is_some_and(|(min, max)| min > max) {
            return Err("invalid maxDuration: must be greater than minDuration".to_owned());
        }
        let spans_per_set = match number("spss", 0, 3)? {
            // As in Tempo.
            0 => 3,
            many if many > MOST_SPANS_PER_SET => {
                return Err(format!("spans per span set exceeds {MOST_SPANS_PER_SET}. received {many}"));
            }
            some => some,
        };
        Ok(Self {
            tags: tags.into_iter().map(|(key, value)| (Field::Attribute(Scope::Any, key), value)).collect(),
            query,
            min_duration: min_duration.unwrap_or(0),
            max_duration: max_duration.unwrap_or(u64::MAX),
            range: TimeRange::parse(parameters)?,
            limit: number("limit", 1, 20)?,
            spans_per_set,
        })
    }

    /// Writes the response.
    fn run(&self, store: &Store, deadline: &Deadline, out: &mut Text) -> Result<(), QueryError> {
        let service = self.query.as_ref().and_then(Query::service);
        let mut services = Services::default();
        service.inspect(|service| services.add(service));
        let mut found = HashSet::new();
        let mut inspected = 0;
        out.push(r#"{"traces":["#)?;
        for trace in NewestFirst::new(store, self.range.end, services) {
            deadline.check_now()?;
            inspected += 1;
            let has = |service: &str| trace.origins.iter().any(|origin| origin.resource.service == service);
            if service.is_some_and(|service| !has(service)) || found.contains(&trace.id) {
                continue;
            }
            let context = TraceContext::new(&trace, deadline);
            if let Some(matching) = self.matching(&context, deadline)? {
                let spans = self.query.as_ref().zip(matching);
                let spans = spans.map(|(query, spans)| self.found_spans(query, &context, spans));
                out.push(if found.is_empty() { "" } else { "," })?;
                out.json(&TraceResult::new(&context, spans.as_ref())).map_err(|full| match full {
                    Full::Busy => full.into(),
                    Full::TooLong => QueryError::Invalid(format!("{}: use a smaller limit or spss", too_long())),
                })?;
                found.insert(trace.id);
            }
            if found.len() == self.limit {
                break;
            }
        }
        Ok(out.push(&format!(r#"],"metrics":{{"inspectedTraces":{inspected}}}}}"#))?)
    }

    /// The spans that the query finds, if the trace matches; none without a query.
    fn matching<'a>(
        &'a self,
        context: &TraceContext<'a>,
        deadline: &Deadline,
    ) -> Result<Option<Option<SpanSet<'a>>>, TimedOut> {
        let duration = context.duration;
        if !self.range.includes(context.trace.start(), duration)
            || duration < self.min_duration
            || duration > self.max_duration
        {
            return Ok(None);
        }
        for (field, value) in &self.tags {
            if !has_tag(context, field, value, deadline)? {
                return Ok(None);
            }
        }
        match &self.query {
            None => Ok(Some(None)),
            Some(query) => Ok(query.run(context)?.map(Some)),
        }
    }

    fn found_spans<'a>(&self, query: &'a Query, context: &TraceContext<'a>, found: SpanSet<'a>) -> FoundSpans<'a> {
        let shown = found.spans.iter().take(self.spans_per_set);
        let results = found.attributes.into_iter().filter(|(_, value)| *value != Value::Nil);
        FoundSpans {
            spans: shown.map(|span| FoundSpan::new(query, context, span)).collect(),
            matched: found.spans.len(),
            attributes: results.map(|(key, value)| Pair { key: key.into(), value }).collect(),
        }
    }
}

/// A trace in a response. The mapping of protobuf leaves out what is empty or 0.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TraceResult<'a> {
    #[serde(rename = "traceID")]
    trace_id: String,
    root_service_name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    root_trace_name: &'a str,
    start_time_unix_nano: String,
    #[serde(skip_serializing_if = "is_zero")]
    duration_ms: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    span_sets: Option<[&'a FoundSpans<'a>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    span_set: Option<&'a FoundSpans<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_stats: Option<BTreeMap<&'a str, ServiceStats>>,
}

impl<'a> TraceResult<'a> {
    fn new(context: &'a TraceContext<'a>, spans: Option<&'a FoundSpans<'a>>) -> Self {
        Self {
            trace_id: context.trace.id.to_string(),
            root_service_name: if context.has_root { context.root_service } else { NO_ROOT },
            root_trace_name: context.root_name,
            start_time_unix_nano: context.trace.start().to_string(),
            duration_ms: u32::try_from(context.duration / 1_000_000).unwrap_or(u32::MAX),
            span_sets: spans.map(|spans| [spans]),
            span_set: spans,
            service_stats: spans.map(|_| service_stats(context.trace)),
        }
    }
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// The spans that matched, with the results of aggregates.
#[derive(Serialize)]
struct FoundSpans<'a> {
    spans: Vec<FoundSpan<'a>>,
    matched: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attributes: Vec<Pair<'a>>,
}

/// A span that matched, with the fields in the query.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FoundSpan<'a> {
    #[serde(rename = "spanID")]
    span_id: String,
    start_time_unix_nano: String,
    duration_nanos: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attributes: Vec<Pair<'a>>,
}

#[derive(Serialize)]
struct Pair<'a> {
    key: Cow<'a, str>,
    value: Value<'a>,
}

impl<'a> FoundSpan<'a> {
    fn new(query: &'a Query, context: &TraceContext<'a>, span: &'a StoredSpan) -> Self {
        let shown = query.fields.iter().filter(|field| match field {
            Field::Attribute(..) => true,
            // In the trace or the span already; Tempo leaves out the same.
            Field::Intrinsic(intrinsic) => !matches!(
                intrinsic,
                Intrinsic::Name
                    | Intrinsic::Duration
                    | Intrinsic::TraceDuration
                    | Intrinsic::RootName
                    | Intrinsic::RootServiceName
                    | Intrinsic::TraceId
                    | Intrinsic::SpanId
            ),
        });
        let attributes = shown.map(|field| Pair { key: field.key().into(), value: field.value(context, span) });
        Self {
            span_id: span.id.to_string(),
            start_time_unix_nano: span.start().to_string(),
            duration_nanos: (span.end() - span.start()).to_string(),
            name: query.fields.contains(&Field::Intrinsic(Intrinsic::Name)).then(|| span.name()),
            attributes: attributes.filter(|pair| pair.value != Value::Nil).collect(),
        }
    }
}

impl TimeRange {
    /// Parses `start` and `end`.
    pub(crate) fn parse(parameters: &[(String, String)]) -> Result<Self, String> {
        let seconds = |name| {
            let parse = |text: &str| {
                let seconds = text.parse::<u32>().ok().map(u64::from);
                seconds.ok_or_else(|| format!("invalid {name}: '{text}' is not a number of seconds since 1970"))
            };
            given(parameters, name).map(parse).transpose()
        };
        let (start, end) = (seconds("start")?, seconds("end")?);
        if let Some((start, end)) = start.zip(end).filter(|(start, end)| start >= end) {
            return Err(format!("http parameter start must be before end. received start={start} end={end}"));
        }
        let end = end.map_or(u64::MAX, |seconds| seconds * NANOS_PER_SECOND);
        Ok(Self { start: start.unwrap_or(0) * NANOS_PER_SECOND, end })
    }

    /// Whether a trace was in progress in this time.
    pub(crate) fn includes(&self, start: u64, duration: u64) -> bool {
        start <= self.end && start.saturating_add(duration) >= self.start
    }
}

/// The parameter `name`. An empty one counts as absent, as in Tempo.
pub(crate) fn given<'a>(parameters: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let found = parameters.iter().find(|(key, value)| key == name && !value.is_empty());
    found.map(|(_, value)| value.as_str())
}

fn service_stats(trace: &Trace) -> BTreeMap<&str, ServiceStats> {
    let mut services = BTreeMap::<&str, ServiceStats>::new();
    for span in trace.spans.values() {
        let stats = services.entry(span.service()).or_default();
        stats.span_count += 1;
        if span.failed() {
            *stats.error_count.get_or_insert(0) += 1;
        }
    }
    services
}

/// Whether a span or its resource has the attribute. `name`, `status` and `error` count as attributes of the span.
fn has_tag(context: &TraceContext<'_>, field: &Field, value: &str, deadline: &Deadline) -> Result<bool, TimedOut> {
    for span in context.spans() {
        deadline.check()?;
        let found = match field.key() {
            "name" => span.name() == value,
            "status" => traceql::status(span) == value,
            "error" if value == "true" => span.failed(),
            _ => field.value(context, span).typed_texts().any(|(_, text)| text == value),
        };
        if found {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Parses `a=b c="d e"`, the form of Tempo's parameter `tags`.
fn logfmt(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut tags = Vec::<(String, String)>::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let at = text.len() - rest.len() + 1;
        if tags.len() == MOST_TAGS {
            return Err(format!("more than {MOST_TAGS} tags"));
        }
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
