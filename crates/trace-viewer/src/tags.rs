//! The names and values of attributes, which Grafana offers while a query is typed.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query as Parameters, State};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::attributes::{self, Value as Attribute};
use crate::query::BadQuery;
use crate::store::Store;
use crate::trace::Trace;
use crate::traceql::{Field, INTRINSICS, Literal, Scope};

/// Most values in one response.
const MOST_VALUES: usize = 1000;

/// Limits the response to one scope.
#[derive(Deserialize)]
pub(crate) struct ScopeParameter {
    #[serde(default)]
    scope: String,
}

/// `/api/search/tags`.
pub(crate) async fn names(
    State(store): State<Arc<Store>>,
    Parameters(ScopeParameter { scope }): Parameters<ScopeParameter>,
) -> Result<Json<Value>, BadQuery> {
    let mut scopes = scopes(&store.latest(usize::MAX), &scope)?;
    // Intrinsics are no attributes, and not listed unless that scope is requested.
    scopes.retain(|(name, _)| *name != "intrinsic" || scope == "intrinsic");
    let names: BTreeSet<String> = scopes.into_iter().flat_map(|(_, tags)| tags).collect();
    Ok(Json(json!({"tagNames": names, "metrics": {}})))
}

/// `/api/v2/search/tags`.
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
        on_span.extend(span.attributes().iter().map(|pair| pair.key.as_str()));
        on_resource.extend(span.resource_attributes().iter().map(|pair| pair.key.as_str()));
    }
    let owned = |names: BTreeSet<&str>| -> BTreeSet<String> { names.into_iter().map(str::to_owned).collect() };
    let intrinsic = INTRINSICS.iter().map(|(name, _)| *name).collect();
    let mut scopes = vec![("span", owned(on_span)), ("intrinsic", owned(intrinsic)), ("resource", owned(on_resource))];
    scopes.retain(|(name, tags)| !tags.is_empty() && (["", "none"].contains(&only) || *name == only));
    Ok(scopes)
}

/// `/api/search/tag/{name}/values`: the values of an attribute of spans or resources, as strings.
pub(crate) async fn values(State(store): State<Arc<Store>>, Path(name): Path<String>) -> Json<Value> {
    let field = Field::parse(&name).unwrap_or(Field::Attribute(Scope::Either, name));
    let values: BTreeSet<String> = typed(&store, &field).into_iter().map(|(_, value)| value).collect();
    Json(json!({"tagValues": values, "metrics": {}}))
}

/// `/api/v2/search/tag/{name}/values`: the values of a TraceQL field, each with its type.
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

/// The different values of a field, each with its type; none of a duration, as nearly every one is different.
fn typed(store: &Store, field: &Field) -> BTreeSet<(&'static str, String)> {
    let mut values = BTreeSet::new();
    for trace in store.latest(usize::MAX) {
        for span in trace.spans.values() {
            match field {
                Field::Attribute(..) => {
                    values.extend(field.attribute(span).map(|(_, value)| (kind(value), attributes::text(value))));
                }
                _ => values.extend(field.values(&trace, span).into_iter().filter_map(|value| match value {
                    Literal::Text(text) => Some(("string", text)),
                    Literal::Keyword(name) => Some(("keyword", name.to_owned())),
                    Literal::Number(_) | Literal::Flag(_) | Literal::Duration(_) => None,
                })),
            }
            if values.len() >= MOST_VALUES {
                return values;
            }
        }
    }
    values
}

/// TraceQL's name of a value's type.
fn kind(value: &Attribute) -> &'static str {
    match value {
        Attribute::Int(_) => "int",
        Attribute::Double(_) => "float",
        Attribute::Bool(_) => "bool",
        _ => "string",
    }
}
