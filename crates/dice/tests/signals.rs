//! Compares the registry in `signals/` with SIGNALS.md, which is made from it, with the code, and with what the real system emits.
//!
//! After a change of the registry `UPDATE_SIGNALS=1 cargo test -p dice --test signals` writes the tables of SIGNALS.md.
//! OpenTelemetry's `weaver` reads the registry too; no test runs it.
#![allow(clippy::unwrap_used)] // a panic is how a test reports

#[path = "common/mod.rs"]
mod common;
#[path = "signals/page.rs"]
mod page;
#[path = "signals/registry.rs"]
mod registry;
#[path = "signals/traffic.rs"]
mod traffic;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tempo_client::Span;

use page::{differences, quoted, services, table};
use traffic::Seen;

#[test]
fn page_and_emitted_signals_are_the_same() {
    let seen = traffic::make();
    let differences = [
        spans(&seen),
        attributes(&seen),
        events(&seen),
        metrics(&seen),
        log_events(&seen),
        event_names(&seen),
        outside_the_registry(&seen),
    ]
    .concat()
    .join("\n");
    assert!(differences.is_empty(), "SIGNALS.md and the system differ:\n{differences}");
}

#[test]
fn tables_of_the_page_are_those_of_the_registry() {
    let path = std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../SIGNALS.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let groups = registry::groups();
    let mut made = page.clone();
    for heading in ["Spans", "Span attributes", "Span events", "Metrics", "Log events"] {
        made = page::with_table(&made, heading, &registry::rows(&groups, heading));
    }
    #[allow(clippy::disallowed_methods)] // a setting of this test
    if std::env::var("UPDATE_SIGNALS").is_ok() {
        std::fs::write(&path, &made).unwrap();
    }
    let differs = made.lines().zip(page.lines()).find(|(made, page)| made != page);
    assert!(made == page, "UPDATE_SIGNALS=1 writes the page anew; first difference (registry, page): {differs:#?}");
}

#[test]
fn standard_names_are_those_of_the_semantic_conventions() {
    use opentelemetry_semantic_conventions::{resource, trace};
    let conventions = [
        trace::HTTP_REQUEST_METHOD,
        trace::HTTP_REQUEST_METHOD_ORIGINAL,
        trace::HTTP_ROUTE,
        trace::HTTP_RESPONSE_STATUS_CODE,
        trace::URL_PATH,
        trace::URL_QUERY,
        trace::URL_SCHEME,
        trace::URL_FULL,
        trace::SERVER_ADDRESS,
        trace::SERVER_PORT,
        trace::CLIENT_ADDRESS,
        trace::NETWORK_PEER_ADDRESS,
        trace::NETWORK_PEER_PORT,
        trace::NETWORK_PROTOCOL_VERSION,
        trace::USER_AGENT_ORIGINAL,
        trace::ERROR_TYPE,
        resource::SERVICE_NAME,
        resource::SERVICE_VERSION,
        resource::SERVICE_INSTANCE_ID,
        resource::TELEMETRY_SDK_NAME,
        resource::TELEMETRY_SDK_LANGUAGE,
        resource::TELEMETRY_SDK_VERSION,
        // Behind a feature of the crate, as experimental names are.
        "container.name",
        "user.id",
    ];
    let conventions = conventions.into_iter().map(str::to_owned).collect();
    assert_eq!(registry::standard(&registry::groups()), conventions);
}

/// Rare events too, which no test makes.
#[test]
fn event_names_of_the_code_are_in_the_registry() {
    let mut code = String::new();
    for package in ["telemetry", "service", "faults", "die-service", "dice-roller", "frontend"] {
        let mut folders =
            vec![std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(package).join("src")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                match entry.is_dir() {
                    true => folders.push(entry),
                    false => code += std::fs::read_to_string(&entry).unwrap().split("#[cfg(test)]").next().unwrap(),
                }
            }
        }
    }
    let names = code.match_indices("name: \"").map(|(at, found)| &code[at + found.len()..]);
    let names = names.filter_map(|rest| rest.split('"').next()).filter(|name| name.contains('.'));
    let in_code: BTreeSet<String> = names.map(str::to_owned).collect();
    assert!(in_code.len() > 20, "the names were not found: {in_code:?}");
    let registered = registry::event_names(&registry::groups());
    assert_eq!(in_code.difference(&registered).collect::<Vec<_>>(), Vec::<&String>::new(), "not in the registry");
    let unused: Vec<_> = registered.iter().filter(|name| !code.contains(&format!("\"{name}\""))).collect();
    assert!(unused.is_empty(), "in the registry, not in the code: {unused:?}");
}

/// What arrives and is not in the registry, or with another type: resources, spans, their events, log records, metrics.
fn outside_the_registry(seen: &Seen) -> Vec<String> {
    let types = registry::types(&registry::groups());
    let of_spans = seen.spans.iter().chain(&seen.spans_of_generator).flat_map(|span| {
        let own = span.attributes.iter().map(|(name, value)| (name.clone(), kind_of(value)));
        let events = span.events.iter().flat_map(|event| &event.attributes);
        own.chain(events.map(|(name, value)| (name.clone(), kind_of(value))))
    });
    let arrived: BTreeSet<_> = of_spans.chain(seen.record_attributes.iter().cloned()).collect();
    assert!(arrived.iter().any(|(name, _)| name == "service.instance.id"), "no resource: {arrived:?}");
    assert!(arrived.iter().any(|(name, _)| name == "user.id"), "nothing of the generator: {arrived:?}");
    let unknown = arrived.iter().filter(|(name, kind)| types.get(name) != Some(kind));
    unknown.map(|(name, kind)| format!("arrived as {kind}, in the registry {:?}: {name}", types.get(name))).collect()
}

/// The name as the page has it: one for all rolls, and `GET` for every method.
fn name(span: &Span) -> String {
    if span.name.starts_with("async_roll_") {
        return "async_roll_<i>".to_owned();
    }
    span.name.replace("HTTP", "GET")
}

/// Name, kind, service and parent.
fn spans(seen: &Seen) -> Vec<String> {
    let mut on_page = BTreeSet::new();
    for row in table("Spans") {
        for service in services(&row[2]) {
            for name in quoted(&row[0]) {
                let parents = quoted(&row[3]).chain(row[3].contains("none").then_some("none"));
                let parents = parents.chain(row[3].contains("the caller's").then_some("the caller's"));
                on_page.extend(parents.map(|parent| [name, &row[1], service, parent].map(str::to_owned)));
            }
        }
    }
    let by_id: BTreeMap<_, _> = seen.spans.iter().map(|span| (span.id.as_str(), span)).collect();
    let emitted = seen.spans.iter().map(|span| {
        let parent = match (by_id.get(span.parent_id.as_str()), span.kind.as_str()) {
            (None, _) => "none".to_owned(),
            (Some(_), "SERVER") => "the caller's".to_owned(),
            (Some(parent), _) => name(parent),
        };
        [name(span), span.kind.clone(), span.service.clone(), parent]
    });
    // Whether a server span has a parent is up to the client, so parents are compared of the others.
    let emitted: BTreeSet<_> = emitted.collect();
    let inner = |set: &BTreeSet<[String; 4]>| set.iter().filter(|span| span[1] != "SERVER").cloned().collect();
    let names = |set: &BTreeSet<[String; 4]>| -> BTreeSet<_> {
        set.iter().map(|[name, kind, service, _]| [name.clone(), kind.clone(), service.clone()]).collect()
    };
    [differences(&inner(&on_page), &inner(&emitted)), differences(&names(&on_page), &names(&emitted))].concat()
}

/// Name and type of each attribute, and the spans that it is on.
fn attributes(seen: &Seen) -> Vec<String> {
    let rows = table("Span attributes");
    let mut faults = Vec::new();
    let on_page = rows.iter().map(|row| (quoted(&row[0]).collect::<String>(), row[1].clone())).collect();
    let pairs = |span: &Span| span.attributes.clone().into_iter().map(|(name, value)| (name, kind_of(&value)));
    let emitted = seen.spans.iter().flat_map(pairs).collect();
    faults.extend(differences(&on_page, &emitted));

    for row in &rows {
        let attribute: String = quoted(&row[0]).collect();
        let carriers: Vec<_> = seen.spans.iter().filter(|span| span.attributes.contains_key(&attribute)).collect();
        for place in row[2].split(", ") {
            if !carriers.iter().any(|span| is_on(place, span)) {
                faults.push(format!("on the page, not emitted: {attribute} on {place}"));
            }
        }
        let missing = carriers.iter().find(|span| !row[2].split(", ").any(|place| is_on(place, span)));
        faults.extend(missing.map(|span| format!("emitted, not on the page: {attribute} on {span:?}")));
    }
    faults
}

/// Whether `span` is one that a place of the column "on" means: `SERVER`, "frontend's SERVER of a roll", a name in
/// backticks, with or without "of" a service.
fn is_on(place: &str, span: &Span) -> bool {
    let service = ["frontend", "dice-roller", "die-service"].into_iter().find(|service| place.contains(service));
    let kind = ["SERVER", "CLIENT"].into_iter().find(|kind| place.contains(kind));
    service.is_none_or(|service| service == span.service)
        && kind.is_none_or(|kind| kind == span.kind)
        && quoted(place).next().is_none_or(|quoted| quoted == name(span))
        && (!place.ends_with("of a roll") || span.name.starts_with("GET /roll"))
}

fn kind_of(value: &Value) -> String {
    let kind = match value {
        Value::Bool(_) => "bool",
        Value::String(_) => "string",
        Value::Number(number) if number.is_f64() => "double",
        Value::Number(_) => "int",
        Value::Array(values) => return format!("{} array", values.first().map(kind_of).unwrap_or_default()),
        _ => "nothing known",
    };
    kind.to_owned()
}

/// Name of each span event, and name and type of its attributes: `` `name` (type) `` on the page.
fn events(seen: &Seen) -> Vec<String> {
    let mut on_page = BTreeSet::new();
    for row in table("Span events") {
        let event: String = quoted(&row[0]).collect();
        on_page.insert((event.clone(), String::new()));
        for part in row[2].split('`').collect::<Vec<_>>()[1..].chunks(2) {
            let [attribute, after] = part else { continue };
            let kind = after.split(['(', ')']).nth(1).unwrap_or_default();
            on_page.insert((event.clone(), format!("{attribute} {kind}")));
        }
    }
    let mut emitted = BTreeSet::new();
    for event in seen.spans.iter().flat_map(|span| &span.events) {
        emitted.insert((event.name.clone(), String::new()));
        let attributes = event.attributes.iter();
        emitted.extend(attributes.map(|(name, value)| (event.name.clone(), format!("{name} {}", kind_of(value)))));
    }
    differences(&on_page, &emitted)
}

/// Service, name, type and labels of each metric.
fn metrics(seen: &Seen) -> Vec<String> {
    let sorted =
        |labels: Vec<&str>| labels.into_iter().collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(" ");
    let mut on_page = BTreeSet::new();
    for row in table("Metrics") {
        let labels = sorted(row[2].split(", ").filter(|label| !label.is_empty()).collect());
        for service in services(&row[3]) {
            let name: String = quoted(&row[0]).collect();
            on_page.insert([service.to_owned(), name, row[1].clone(), labels.clone()]);
        }
    }
    let mut emitted = BTreeSet::new();
    for (service, text) in &seen.metrics {
        let mut about = [String::new(), String::new()];
        for line in text.lines() {
            if let Some(about_next) = line.strip_prefix("# TYPE ") {
                about = [0, 1].map(|word| about_next.split(' ').nth(word).unwrap().to_owned());
            } else if !line.starts_with('#') {
                let labels = line.split(['{', '}']).nth(1).unwrap_or_default();
                let labels = labels.split(',').filter_map(|label| Some(label.split_once('=')?.0));
                let labels = sorted(labels.filter(|label| *label != "le").collect());
                let [name, kind] = about.clone();
                emitted.insert([(*service).to_owned(), name, kind, labels]);
            }
        }
    }
    differences(&on_page, &emitted)
}

/// What every line has, beside the fields of its event.
const OF_EVERY_LINE: [&str; 7] = ["timestamp", "level", "message", "logger", "service", "trace_id", "span_id"];

/// The name and the message of each event, as its log record has them.
fn event_names(seen: &Seen) -> Vec<String> {
    let on_page = table("Log events").iter().map(|row| [0, 1].map(|cell| quoted(&row[cell]).collect())).collect();
    let emitted = seen.records.iter().map(|(name, message)| [message.clone(), name.clone()]).collect();
    differences(&on_page, &emitted)
}

/// Message, level, service and fields of each log event.
fn log_events(seen: &Seen) -> Vec<String> {
    let own = |line: &&Value| !line["logger"].as_str().unwrap().starts_with("opentelemetry");
    let lines: Vec<_> = seen.lines.iter().filter(own).collect();
    let text = |line: &Value, field: &str| line[field].as_str().unwrap().to_owned();
    let mut faults = Vec::new();
    let (mut on_page, mut emitted) = (BTreeSet::new(), BTreeSet::new());

    for row in table("Log events") {
        let message: String = quoted(&row[0]).collect();
        let of_event: Vec<_> = lines.iter().filter(|line| line["message"] == message).collect();
        for level in row[2].split(", ") {
            on_page.insert((message.clone(), level.to_owned()));
        }
        // "all" may, the others do: die-service for one has no way to fail a request.
        for service in services(&row[3]).into_iter().filter(|_| row[3] != "all") {
            if !of_event.iter().any(|line| line["service"] == service) {
                faults.push(format!("on the page, not emitted: '{message}' by {service}"));
            }
        }
        let fields = row[4].split([':', ';']).next().unwrap_or_default().split(", ").filter(|field| !field.is_empty());
        let fields: BTreeMap<_, _> = fields.map(|field| field.split_once(' ').unwrap_or((field, ""))).collect();
        let named = fields.keys().copied().collect();
        for line in &of_event {
            if !services(&row[3]).contains(&line["service"].as_str().unwrap()) {
                faults.push(format!("emitted, not on the page: {line}"));
            }
            let has = line.as_object().unwrap().keys().map(String::as_str);
            let has = has.filter(|field| !OF_EVERY_LINE.contains(field));
            // "(where …)": on some of these lines, but not on none.
            let elsewhere = |field: &&str| of_event.iter().any(|line| line.get(*field).is_some());
            let sometimes = fields.iter().filter(|(_, note)| note.starts_with("(where")).map(|(field, _)| *field);
            let has = has.chain(sometimes.filter(elsewhere)).collect();
            faults.extend(differences(&named, &has).iter().map(|fault| format!("{fault} in '{message}'")));
            for (field, note) in &fields {
                if *note == "(array)" && !line[*field].is_array() || *note == "(s)" && !line[*field].is_number() {
                    faults.push(format!("'{field}' is not {note}: {line}"));
                }
            }
        }
    }
    emitted.extend(lines.iter().map(|line| (text(line, "message"), text(line, "level"))));
    faults.extend(differences(&on_page, &emitted));
    faults.dedup();
    faults
}
