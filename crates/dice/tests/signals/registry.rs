//! The registry in `signals/`, read, and the tables that SIGNALS.md has of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::Value;

/// All groups of all files, in the order of the page.
pub(crate) fn groups() -> Vec<Value> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../signals");
    let files = ["spans", "attributes", "events", "metrics"];
    let file = |name| {
        let text = std::fs::read_to_string(folder.join(format!("{name}.yaml"))).unwrap();
        let file: Value = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("signals/{name}.yaml: {error}"));
        file["groups"].as_array().unwrap().clone()
    };
    files.into_iter().flat_map(file).collect()
}

fn of_type<'a>(groups: &'a [Value], kind: &str) -> impl Iterator<Item = &'a Value> {
    groups.iter().filter(move |group| group["type"] == kind)
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The name that an attribute of a group defines (`id`) or refers to (`ref`).
fn name(attribute: &Value) -> &str {
    attribute["id"].as_str().or(attribute["ref"].as_str()).unwrap()
}

/// Each attribute's type, in words of the page: `int array`. For names of OpenTelemetry it is the annotation `type`.
pub(crate) fn types(groups: &[Value]) -> BTreeMap<String, String> {
    let attributes = groups.iter().flat_map(|group| list(&group["attributes"]));
    let typed = attributes.filter_map(|attribute| {
        let given = attribute["type"].as_str().or(attribute["annotations"]["type"].as_str())?;
        let given = given.replace("[]", " array").replace("boolean", "bool");
        Some((name(attribute).to_owned(), given))
    });
    typed.collect()
}

/// Attributes that are referred to and not defined here: OpenTelemetry's.
pub(crate) fn standard(groups: &[Value]) -> BTreeSet<String> {
    let attributes = || groups.iter().flat_map(|group| list(&group["attributes"]));
    let own: BTreeSet<_> = attributes().filter_map(|attribute| attribute["id"].as_str()).collect();
    attributes().map(name).filter(|name| !own.contains(name)).map(str::to_owned).collect()
}

/// The names of events that log records have.
pub(crate) fn event_names(groups: &[Value]) -> BTreeSet<String> {
    let of_lines = of_type(groups, "event").filter(|event| event["annotations"]["lines"].is_array());
    of_lines.map(|event| text(&event["name"]).to_owned()).collect()
}

/// The rows of the table under `heading`, as the page has them.
pub(crate) fn rows(groups: &[Value], heading: &str) -> Vec<String> {
    let rows = match heading {
        "Spans" => spans(groups),
        "Span attributes" => span_attributes(groups),
        "Span events" => span_events(groups),
        "Metrics" => metrics(groups),
        _ => log_events(groups),
    };
    let row = |cells: Vec<String>| {
        let cells: String =
            cells.iter().map(|cell| if cell.is_empty() { " |".to_owned() } else { format!(" {cell} |") }).collect();
        format!("|{cells}")
    };
    rows.into_iter().map(row).collect()
}

fn code(text: &str) -> String {
    format!("`{text}`")
}

fn spans(groups: &[Value]) -> Vec<Vec<String>> {
    let row = |span: &Value| {
        let about = &span["annotations"];
        let kind = text(&span["span_kind"]).to_uppercase();
        [
            code(text(&about["name"])),
            kind,
            text(&about["service"]).to_owned(),
            text(&about["parent"]).to_owned(),
            text(&span["brief"]).to_owned(),
        ]
        .into()
    };
    of_type(groups, "span").map(row).collect()
}

fn span_attributes(groups: &[Value]) -> Vec<Vec<String>> {
    let places = || of_type(groups, "attribute_group").filter(|group| group["annotations"]["place"].is_string());
    let types = types(groups);
    let briefs = groups.iter().flat_map(|group| list(&group["attributes"]));
    let briefs = briefs.filter_map(|attribute| Some((name(attribute), attribute["brief"].as_str()?)));
    // The first that is given, in the order of the files.
    let briefs: BTreeMap<_, _> = briefs.collect::<Vec<_>>().into_iter().rev().collect();
    let mut seen = BTreeSet::new();
    let names = places().flat_map(|place| list(&place["attributes"])).map(name).filter(|name| seen.insert(*name));
    let row = |attribute: &str| {
        let has = |place: &&Value| list(&place["attributes"]).any(|other| name(other) == attribute);
        let on: Vec<_> = places().filter(has).map(|place| text(&place["annotations"]["place"])).collect();
        let brief = briefs.get(attribute).copied().unwrap_or_default();
        [code(attribute), types[attribute].clone(), on.join(", "), brief.to_owned()].into()
    };
    names.map(row).collect()
}

fn span_events(groups: &[Value]) -> Vec<Vec<String>> {
    let types = types(groups);
    let row = |event: &Value| {
        let attributes = list(&event["attributes"])
            .map(|attribute| format!("{} ({})", code(name(attribute)), types[name(attribute)]));
        let attributes = attributes.collect::<Vec<_>>().join(", ");
        let attributes = if attributes.is_empty() { "none".to_owned() } else { attributes };
        [
            code(text(&event["name"])),
            text(&event["annotations"]["on"]).to_owned(),
            attributes,
            text(&event["brief"]).to_owned(),
        ]
        .into()
    };
    of_type(groups, "event").filter(|event| event["annotations"]["on"].is_string()).map(row).collect()
}

fn metrics(groups: &[Value]) -> Vec<Vec<String>> {
    let row = |metric: &Value| {
        let labels: Vec<_> = list(&metric["attributes"]).map(name).collect();
        [
            code(text(&metric["metric_name"])),
            text(&metric["instrument"]).to_owned(),
            labels.join(", "),
            text(&metric["annotations"]["service"]).to_owned(),
            text(&metric["brief"]).to_owned(),
        ]
        .into()
    };
    of_type(groups, "metric").map(row).collect()
}

fn log_events(groups: &[Value]) -> Vec<Vec<String>> {
    let types = types(groups);
    let mut rows = Vec::new();
    for event in of_type(groups, "event").filter(|event| event["annotations"]["rare"] != true) {
        let field = |attribute: &Value| {
            let name = name(attribute);
            let note = match (attribute["requirement_level"]["conditionally_required"].as_str(), types[name].as_str()) {
                (Some(when), _) => format!(" ({when})"),
                (None, kind) if kind.ends_with(" array") => " (array)".to_owned(),
                (None, "double") if name == "duration" => " (s)".to_owned(),
                _ => String::new(),
            };
            format!("{name}{note}")
        };
        let mut fields = list(&event["attributes"]).map(field).collect::<Vec<_>>().join(", ");
        if let Some(note) = event["annotations"]["note"].as_str() {
            fields += &format!("; {note}");
        }
        for line in list(&event["annotations"]["lines"]) {
            rows.push(
                [
                    code(text(&line["message"])),
                    code(text(&event["name"])),
                    text(&line["level"]).to_owned(),
                    text(&line["service"]).to_owned(),
                    fields.clone(),
                ]
                .into(),
            );
        }
    }
    rows
}
