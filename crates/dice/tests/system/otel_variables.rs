//! The table "OpenTelemetry variables" of SIGNALS.md, compared with what a real service does with each.

use std::collections::BTreeSet;
use std::net::TcpListener;

use test_support::Process;

use crate::common::backend::One;
use crate::common::{System, dice};
use crate::page::{differences, quoted, table};

/// What a row says of one variable.
struct Row {
    name: String,
    value: String,
    effect: String,
    not_valid: Option<String>,
}

fn rows() -> Vec<Row> {
    let row = |cells: &Vec<String>| {
        let row = |name: &str| Row {
            name: name.to_owned(),
            value: quoted(&cells[1]).next().unwrap().to_owned(),
            effect: cells[2].clone(),
            not_valid: quoted(&cells[3]).next().map(str::to_owned),
        };
        quoted(&cells[0]).map(row).collect::<Vec<_>>()
    };
    table("OpenTelemetry variables").iter().flat_map(row).collect()
}

fn service(port: &str, name: &str, value: &str) -> Process {
    dice(&["die-service"], &[("PORT", port), (name, value)])
}

/// The lines that warn of a setting, once it has started.
fn warnings(service: &Process) -> Vec<String> {
    service.wait_for(|line| line.contains("Die Service API starting up"));
    let warnings = service.json_lines_of("Setting has no effect");
    warnings.iter().map(|line| line["setting"].as_str().unwrap().to_owned()).collect()
}

/// It stops before it listens, with one line: the port is taken, and to listen would be another error.
fn stops(port: &str, name: &str, value: &str) {
    let stopped = service(port, name, value).finish();
    assert_eq!(stopped.status.code(), Some(2), "{name}={value}: {}", stopped.stderr);
    assert_eq!(stopped.stdout, "", "{name}={value}");
    let [line] = stopped.stderr.lines().collect::<Vec<_>>()[..] else { panic!("not one line: {}", stopped.stderr) };
    assert!(line.starts_with(&format!("error: {name}")), "{line}");
    assert!(line.contains(&format!("'{value}' is not valid: ")) && line.contains("allowed: "), "{line}");
}

#[test]
fn each_variable_does_what_the_table_says() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().port().to_string();
    let rows = rows();
    assert!(rows.len() >= 80, "only {} variables", rows.len());
    for Row { name, value, effect, not_valid } in rows {
        match effect.as_str() {
            "works" => assert_eq!(warnings(&service("0", &name, &value)), [] as [&str; 0], "{name}={value}"),
            "warns" => assert_eq!(warnings(&service("0", &name, &value)), [name.as_str()]),
            "stops" => assert_eq!(not_valid.as_ref(), Some(&value)),
            other => panic!("{name}: {other}?"),
        }
        if let Some(not_valid) = not_valid {
            stops(&taken, &name, &not_valid);
        }
        // An empty one counts as unset.
        assert_eq!(warnings(&service("0", &name, "")), [] as [&str; 0], "{name}=");
    }
}

#[test]
fn table_has_the_variables_of_the_code() {
    let of = |effects: &[&str]| -> BTreeSet<String> {
        rows().into_iter().filter(|row| effects.contains(&&*row.effect)).map(|row| row.name).collect()
    };
    let help = dice(&["die-service", "--help"], &[]).finish().stdout;
    let works = help.split("[env: ").skip(1).filter_map(|rest| rest.split(['=', ']']).next());
    let works = works.filter(|name| name.starts_with("OTEL_")).map(str::to_owned).collect();
    assert_eq!(differences(&of(&["works"]), &works), [] as [&str; 0]);

    let source = include_str!("../../../telemetry/src/settings/others.rs");
    let others = source.split('"').skip(1).step_by(2);
    let is_name = |text: &&str| text.starts_with("OTEL_") && !text.contains(' ') && *text != "OTEL_";
    let others = others.filter(is_name).map(str::to_owned).collect();
    assert_eq!(differences(&of(&["warns", "stops"]), &others), [] as [&str; 0]);
}

#[test]
fn slip_in_a_name_warns_and_other_unknown_names_do_not() {
    let slip = service("0", "OTEL_TRACE_EXPORTER", "none");
    assert_eq!(warnings(&slip), ["OTEL_TRACE_EXPORTER"]);
    assert!(slip.text().contains("is OTEL_TRACES_EXPORTER meant?"), "{}", slip.text());
    for name in ["OTEL_COLLECTOR_SERVICE_HOST", "OTEL_PYTHON_LOG_CORRELATION"] {
        assert_eq!(warnings(&service("0", name, "x")), [] as [&str; 0], "{name}");
    }
}

#[test]
fn batch_beyond_its_queue_stops_and_smaller_queue_is_enough() {
    for (processor, signal) in [("BSP", "spans"), ("BLRP", "log records")] {
        let (queue, batch) =
            (format!("OTEL_{processor}_MAX_QUEUE_SIZE"), format!("OTEL_{processor}_MAX_EXPORT_BATCH_SIZE"));
        let stopped = dice(&["die-service"], &[("PORT", "0"), (&queue, "100"), (&batch, "101")]).finish();
        assert_eq!(
            stopped.stderr,
            format!("error: {batch}: '101' is not valid: allowed: at most the queue, {queue}, which is 100\n"),
            "{signal}"
        );
        // The usual batch is larger than this queue too, but nobody asked for it.
        assert_eq!(warnings(&service("0", &queue, "100")), [] as [&str; 0]);
    }
}

#[test]
fn count_limits_hold_for_spans_and_their_events() {
    let limits = [
        ("OTEL_ATTRIBUTE_COUNT_LIMIT", "4"),
        ("OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", "1"),
        ("OTEL_SPAN_EVENT_COUNT_LIMIT", "2"),
        ("ROLL_DELAY_MAX_MS", "0"),
    ];
    for processor in ["batch", "direct"] {
        let mut system = System::start(&[&limits[..], &[("SPAN_PROCESSOR", processor)]].concat());
        let id = system.get("/roll-async?die=fair&times=5").trace_id();
        system.stop();
        let trace = system.trace(&id, 10);
        for span in &trace.spans {
            assert!(span.attributes.len() <= 4, "{processor}: {span:?}");
        }
        // Without the limits it has a dozen attributes, and five events of three attributes.
        let batch = trace.one("GET /roll-async", "SERVER", "dice-roller");
        assert_eq!((batch.attributes.len(), batch.events.len()), (4, 2), "{processor}: {batch:?}");
        assert!(batch.events.iter().all(|event| event.attributes.len() == 1), "{processor}: {batch:?}");
    }
}
