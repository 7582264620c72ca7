//! Which attributes there are, and which values they have: what Grafana offers while one types a query.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query as Parameters, State};
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::attributes;
use crate::query::BadQuery;
use crate::store::Store;
use crate::trace::Trace;
use crate::traceql::{self, Field, INTRINSICS, Scope};

/// Values listed at most; a list that nobody can read to its end helps nobody.
const MOST_VALUES: usize = 1000;

/// Limits the answer to one scope.
#[derive(Deserialize)]
pub(crate) struct ScopeParameter {
    #[serde(default)]
    scope: String,
}

/// Answers `/api/search/tags`.
pub(crate) async fn names(
    State(store): State<Arc<Store>>,
    Parameters(ScopeParameter { scope }): Parameters<ScopeParameter>,
) -> Result<Json<Value>, BadQuery> {
    let scopes = scopes(&store.latest(usize::MAX), &scope)?;
    // The intrinsic names are only given to those who ask for them: they are no attributes.
    let asked = |name: &str| name != "intrinsic" || scope == "intrinsic";
    let names: BTreeSet<String> =
        scopes.into_iter().filter(|(name, _)| asked(name)).flat_map(|(_, tags)| tags).collect();
    Ok(Json(json!({"tagNames": names, "metrics": {}})))
}

/// Answers `/api/v2/search/tags`.
pub(crate) async fn scoped_names(
    State(store): State<Arc<Store>>,
    Parameters(ScopeParameter { scope }): Parameters<ScopeParameter>,
) -> Result<Json<Value>, BadQuery> {
    let scopes = scopes(&store.latest(usize::MAX), &scope)?;
    let scopes: Vec<Value> = scopes.into_iter().map(|(name, tags)| json!({"name": name, "tags": tags})).collect();
    Ok(Json(json!({"scopes": scopes, "metrics": {}})))
}

fn scopes(traces: &[Arc<Trace>], only: &str) -> Result<Vec<(&'static str, BTreeSet<String>)>, BadQuery> {
    if !["", "none", "span", "intrinsic", "resource"].contains(&only) {
        return Err(BadQuery(format!("invalid scope: {only}; allowed: span, intrinsic, resource")));
    }
    let (mut on_span, mut on_resource) = (BTreeSet::new(), BTreeSet::new());
    for span in traces.iter().flat_map(|trace| trace.spans.values()) {
        on_span.extend(span.span.attributes.iter().map(|pair| pair.key.as_str()));
        on_resource.extend(span.origin.resource.attributes.iter().map(|pair| pair.key.as_str()));
    }
    let owned = |names: BTreeSet<&str>| -> BTreeSet<String> { names.into_iter().map(str::to_owned).collect() };
    let intrinsic = INTRINSICS.iter().map(|(name, _)| *name).collect();
    let mut scopes = vec![("span", owned(on_span)), ("intrinsic", owned(intrinsic)), ("resource", owned(on_resource))];
    scopes.retain(|(name, tags)| !tags.is_empty() && (["", "none"].contains(&only) || *name == only));
    Ok(scopes)
}

/// Answers `/api/search/tag/{name}/values`: the values of an attribute wherever it stands, as texts.
pub(crate) async fn values(State(store): State<Arc<Store>>, Path(name): Path<String>) -> Json<Value> {
    let field = Field::parse(&name).unwrap_or(Field::Attribute(Scope::Either, name));
    let values: BTreeSet<String> = typed(&store, &field).into_iter().map(|(_, value)| value).collect();
    Json(json!({"tagValues": values, "metrics": {}}))
}

/// Answers `/api/v2/search/tag/{name}/values`: the values of a field as TraceQL names it, each with its type.
pub(crate) async fn typed_values(
    State(store): State<Arc<Store>>,
    Path(name): Path<String>,
) -> Result<Json<Value>, BadQuery> {
    let field = Field::parse(&name)
        .ok_or_else(|| BadQuery(format!("tag name is not valid intrinsic or scoped attribute: {name}")))?;
    let values = typed(&store, &field).into_iter();
    let values: Vec<Value> = values.map(|(kind, value)| json!({"type": kind, "value": value})).collect();
    Ok(Json(json!({"tagValues": values, "metrics": {}})))
}

/// The different values of a field, each with its type. Durations have too many to be of use.
fn typed(store: &Store, field: &Field) -> BTreeSet<(&'static str, String)> {
    let mut values = BTreeSet::new();
    for trace in store.latest(usize::MAX) {
        for span in trace.spans.values() {
            let text = |text: &str| Some(("string", text.to_owned()));
            values.extend(match field {
                Field::Name => text(&span.span.name),
                Field::StatusMessage => text(span.span.status.as_ref().map_or("", |status| &status.message)),
                Field::Status => Some(("keyword", traceql::status(span).to_owned())),
                Field::Kind => Some(("keyword", traceql::kind(span).to_owned())),
                Field::RootName => trace.root().and_then(|root| text(&root.span.name)),
                Field::RootServiceName => trace.root().and_then(|root| text(&root.origin.service)),
                Field::Duration | Field::TraceDuration => None,
                Field::Attribute(..) => field.attribute(span).map(|(_, value)| (kind(value), attributes::text(value))),
            });
            if values.len() >= MOST_VALUES {
                return values;
            }
        }
    }
    values
}

/// The name that TraceQL has for the type of a value.
fn kind(value: &Any) -> &'static str {
    match value {
        Any::IntValue(_) => "int",
        Any::DoubleValue(_) => "float",
        Any::BoolValue(_) => "bool",
        _ => "string",
    }
}
