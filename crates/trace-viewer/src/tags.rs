//! The names and values of attributes, which Grafana offers while a query is typed.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, Path, Query as Parameters, State};
use serde_json::{Value, json};

use crate::attributes::Attribute;
use crate::by_start::{NewestFirst, Services};
use crate::query::{QueryError, QueryPool};
use crate::search::{TimeRange, given};
use crate::span::StoredSpan;
use crate::store::Store;
use crate::traceql::{Deadline, Field, INTRINSICS, Intrinsic, Query, Scope, TraceContext};

/// Most names of a scope, or values, in one response, and most bytes of them: one for which there is no place is left out.
const MOST_ITEMS: usize = 1000;
const MOST_BYTES: usize = 1 << 20;

type Pairs = Vec<(String, String)>;

/// `/api/search/tags`.
pub(crate) async fn names(
    State(store): State<Arc<Store>>,
    Extension(pool): Extension<QueryPool>,
    Parameters(parameters): Parameters<Pairs>,
) -> Result<Json<Value>, QueryError> {
    let scopes = pool.run(move |deadline| scopes(&store, &parameters, false, deadline)).await?;
    let names: BTreeSet<String> = scopes.into_iter().flat_map(|(_, tags)| tags).collect();
    Ok(Json(json!({"tagNames": names, "metrics": {}})))
}

/// `/api/v2/search/tags`.
pub(crate) async fn scoped_names(
    State(store): State<Arc<Store>>,
    Extension(pool): Extension<QueryPool>,
    Parameters(parameters): Parameters<Pairs>,
) -> Result<Json<Value>, QueryError> {
    let scopes = pool.run(move |deadline| scopes(&store, &parameters, true, deadline)).await?;
    let scopes: Vec<Value> = scopes.into_iter().map(|(name, tags)| json!({"name": name, "tags": tags})).collect();
    Ok(Json(json!({"scopes": scopes, "metrics": {}})))
}

/// The names of each scope. Intrinsics are no attributes: version 1 lists them only if that scope is requested.
fn scopes(
    store: &Store,
    parameters: &Pairs,
    with_intrinsics: bool,
    deadline: &Deadline,
) -> Result<Vec<(&'static str, BTreeSet<String>)>, QueryError> {
    let only = given(parameters, "scope").unwrap_or("none");
    if !["none", "trace", "span", "intrinsic", "resource", "event", "link", "instrumentation"].contains(&only) {
        return Err(QueryError::Invalid(format!(
            "invalid scope: {only}; allowed: span, resource, event, link, instrumentation, intrinsic"
        )));
    }
    let mut names: [(&str, HashSet<String>); 5] =
        ["span", "resource", "event", "link", "instrumentation"].map(|scope| (scope, HashSet::new()));
    let mut bytes = 0;
    for_each_span(store, parameters, deadline, |_, span| {
        for (scope, names) in names.iter_mut().filter(|(scope, _)| [*scope, "none"].contains(&only)) {
            for_each_list(scope, span, |list| {
                for pair in list {
                    let fits = names.len() < MOST_ITEMS && bytes + pair.key.len() <= MOST_BYTES;
                    if fits && !names.contains(pair.key.as_str()) {
                        bytes += pair.key.len();
                        names.insert(pair.key.to_string());
                    }
                }
            });
        }
        true
    })?;
    let mut scopes: Vec<(&'static str, BTreeSet<String>)> =
        names.into_iter().map(|(scope, names)| (scope, names.into_iter().collect())).collect();
    if only == "intrinsic" || only == "none" && with_intrinsics {
        scopes.insert(1, ("intrinsic", intrinsics().map(str::to_owned).collect()));
    }
    scopes.retain(|(_, names)| !names.is_empty());
    Ok(scopes)
}

/// Those that Tempo offers, which are all but the numbers of the nested sets.
fn intrinsics() -> impl Iterator<Item = &'static str> {
    let hidden = ["nestedSetLeft", "nestedSetRight", "nestedSetParent", "span:childCount"];
    INTRINSICS.iter().map(|(name, _)| *name).filter(move |name| !hidden.contains(name))
}

fn for_each_list<'a>(scope: &str, span: &'a StoredSpan, mut with: impl FnMut(&'a [Attribute])) {
    match scope {
        "span" => with(span.attributes()),
        "resource" => with(span.resource_attributes()),
        "instrumentation" => with(&span.scope().attributes),
        "event" => span.events().iter().for_each(|event| with(&event.attributes)),
        _ => span.links().iter().for_each(|link| with(&link.attributes)),
    }
}

/// `/api/search/tag/{name}/values`: the values of an attribute of spans or resources, as strings.
pub(crate) async fn values(
    State(store): State<Arc<Store>>,
    Extension(pool): Extension<QueryPool>,
    Path(name): Path<String>,
    Parameters(parameters): Parameters<Pairs>,
) -> Result<Json<Value>, QueryError> {
    let field = Field::parse(&name).unwrap_or(Field::Attribute(Scope::Any, name));
    let values = pool.run(move |deadline| typed(&store, &field, &parameters, deadline)).await?;
    let values: BTreeSet<String> = values.into_iter().map(|(_, value)| value).collect();
    Ok(Json(json!({"tagValues": values, "metrics": {}})))
}

/// `/api/v2/search/tag/{name}/values`: the values of a TraceQL field, each with its type.
pub(crate) async fn typed_values(
    State(store): State<Arc<Store>>,
    Extension(pool): Extension<QueryPool>,
    Path(name): Path<String>,
    Parameters(parameters): Parameters<Pairs>,
) -> Result<Json<Value>, QueryError> {
    let field = Field::parse(&name)
        .ok_or_else(|| QueryError::Invalid(format!("tag name is not valid intrinsic or scoped attribute: {name}")))?;
    let all: &[&str] = match field {
        Field::Intrinsic(Intrinsic::Status) => &["ok", "error", "unset"],
        Field::Intrinsic(Intrinsic::Kind) => &["client", "server", "producer", "consumer", "internal", "unspecified"],
        _ => &[],
    };
    let mut values: Vec<(&str, String)> = all.iter().map(|value| ("keyword", (*value).to_owned())).collect();
    if values.is_empty() {
        values.extend(pool.run(move |deadline| typed(&store, &field, &parameters, deadline)).await?);
    }
    let values: Vec<Value> = values.into_iter().map(|(kind, value)| json!({"type": kind, "value": value})).collect();
    Ok(Json(json!({"tagValues": values, "metrics": {}})))
}

/// The different values of a field, each with its type; none of a duration, as nearly every one is different.
fn typed(
    store: &Store,
    field: &Field,
    parameters: &Pairs,
    deadline: &Deadline,
) -> Result<BTreeSet<(&'static str, String)>, QueryError> {
    let mut values = BTreeSet::new();
    let mut bytes = 0;
    for_each_span(store, parameters, deadline, |context, span| {
        for (kind, text) in field.value(context, span).typed_texts() {
            if values.len() >= MOST_ITEMS || bytes >= MOST_BYTES {
                return false;
            }
            let length = text.len();
            let fits = !text.is_empty() && bytes + length <= MOST_BYTES;
            if fits && values.insert((kind, text.into_owned())) {
                bytes += length;
            }
        }
        true
    })?;
    Ok(values)
}

/// Calls `with` for the spans that `start`, `end` and `q` select, until it returns false.
///
/// A query that is not finished yet limits nothing, as in Tempo: Grafana sends what stands in its editor.
fn for_each_span(
    store: &Store,
    parameters: &Pairs,
    deadline: &Deadline,
    mut with: impl FnMut(&TraceContext<'_>, &StoredSpan) -> bool,
) -> Result<(), QueryError> {
    let range = TimeRange::parse(parameters)?;
    let query = given(parameters, "q").and_then(|query| Query::parse(query).ok());
    for trace in NewestFirst::new(store, range.end, Services::default()) {
        deadline.check_now()?;
        if !range.includes(trace.start(), trace.duration()) {
            continue;
        }
        let context = TraceContext::new(&trace, deadline);
        let spans = match &query {
            Some(query) => query.run(&context)?.map(|found| found.spans).unwrap_or_default(),
            None => context.spans().collect(),
        };
        for span in spans {
            deadline.check()?;
            if !with(&context, span) {
                return Ok(());
            }
        }
    }
    Ok(())
}
