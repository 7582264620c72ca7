//! Each statement holds for a trace, and fails for one that differs in this.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use trace_check::{Details, Kind, Link, Span, SpanId, Trace, Type};

const MS: u64 = 1_000_000;

fn span(id: u64, parent: u64, name: &str, start: u64, end: u64) -> (Span, Details) {
    let (name, service) = (name.into(), "shop".into());
    let span =
        Span { parent: SpanId::new(parent), name, service, start: start * MS, end: end * MS, ..Span::new(SpanId(id)) };
    (span, Details { trace_id: "0af7651916cd43dd8448eb211c80319c".to_owned(), ..Details::default() })
}

/// An order that packs two items one after another, and delivers them while it writes the bill.
fn order() -> Trace {
    let pairs = |pairs: &[(&str, Value)]| -> BTreeMap<_, _> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect()
    };
    let (root, mut of_root) = span(1, 0, "order", 0, 100);
    of_root.events = vec!["packed".to_owned(); 2];
    let (pack_0, mut of_pack_0) = span(2, 1, "pack_0", 10, 30);
    of_pack_0.attributes =
        pairs(&[("index", json!(0)), ("price", json!(1.5)), ("names", json!(["a"])), ("glass", json!(true))]);
    let (pack_1, mut of_pack_1) = span(3, 1, "pack_1", 30, 50);
    of_pack_1.attributes =
        pairs(&[("index", json!(1)), ("price", json!(2.5)), ("names", json!([])), ("glass", json!(true))]);
    let (deliver, mut of_deliver) = span(4, 1, "deliver", 60, 90);
    of_deliver.links = [2, 3].map(|n| Link { trace_id: of_deliver.trace_id.clone(), span: SpanId(n) }).to_vec();
    let deliver = Span { kind: Kind::Client, failed: true, message: "nobody is at home".into(), ..deliver };
    let bill = span(5, 1, "bill", 65, 80);
    let line = |id: &str| json!({"message": "packed", "trace_id": of_root.trace_id, "span_id": id});
    let lines = vec![line("0000000000000002"), line("0000000000000003"), json!(5), json!({"message": 1})];
    Trace::new([
        (root, of_root),
        (pack_0, of_pack_0),
        (pack_1, of_pack_1),
        (deliver, of_deliver),
        bill,
        span(6, 5, "print", 70, 75),
    ])
    .with_lines(lines)
}

/// Each statement, with arguments for which it holds, and with others for which it does not.
macro_rules! statements {
    ($($statement:ident: $trace:ident, $holds:expr, $fails:expr;)*) => {
        $(#[test]
        fn $statement() {
            fn holds($trace: &Trace) {
                $holds;
            }
            fn fails($trace: &Trace) {
                $fails;
            }
            assert_eq!(order().check(holds), Ok(()));
            let report = order().check(fails).expect_err("it does not hold");
            assert_eq!(report.statements(), [stringify!($statement)], "{report}");
        })*
    };
}

statements! {
    state: t, t.state("state", true, "3 requests", "3"), t.state("state", false, "3 requests", "2");
    count: t, t.span("pack_*").count(2).count(1..), t.span("pack_*").count(..2);
    exactly_once: t, t.span("bill").service("shop").exactly_once(), t.span("pack_*").exactly_once();
    absent: t, t.span("bill").service("other").absent(), t.span("bill").absent();
    parent: t, t.span("pack_*").parent("order"), t.span("*").parent("*");
    root: t, t.span("order").root(), t.span("bill").root();
    each_has: t, t.span("order").each_has("pack_*", 2), t.span("*").each_has("pack_*", 2);
    all_overlap: t, { t.span("order").children("*l*").all_overlap(); t.span("bill").all_overlap() }, t.span("pack_*").all_overlap();
    peak_concurrency: t, t.span("order").children("*").peak_concurrency(2), t.span("pack_*").peak_concurrency(2..);
    one_after_another: t, t.span("pack_*").one_after_another(), t.span("order").children("*").one_after_another();
    waves: t, t.span("pack_*").waves(2), t.span("order").descendants("*").waves(1);
    after: t, t.span("deliver").after(&t.span("pack_*")), t.span("pack_*").after(&t.span("pack_0"));
    begin_in_sequence_of: t, t.span("pack_*").begin_in_sequence_of("index"), t.span("order").begin_in_sequence_of("index");
    takes: t, t.span("order").takes(1.5.., &t.span("pack_*").sum()), t.span("bill").takes(..0.5, &t.span("deliver").longest());
    attribute: t, t.span("pack_0").attribute("index", 0).attribute("price", 1.5), t.span("pack_0").attribute("index", "0");
    attribute_type: t,
        t.span("pack_*").attribute_type("index", Type::Integer).attribute_type("names", Type::List).attribute_type("glass", Type::Boolean),
        t.span("pack_*").attribute_type("price", Type::Integer);
    without_attribute: t, t.span("order").without_attribute("index"), t.span("*").without_attribute("index");
    distinct: t, t.span("pack_*").distinct("index"), t.span("pack_*").distinct("glass");
    failed: t, t.span("*").kind(Kind::Client).failed(), t.span("*").failed();
    failed_with: t, t.span("deliver").failed_with("nobody*"), t.span("deliver").failed_with("somebody*");
    not_failed: t, t.span("pack_*").not_failed(), t.span("*").not_failed();
    events: t, t.span("order").events("packed", 2), t.span("*").events("packed", 2);
    linked_to: t, t.span("deliver").linked_to(&t.span("pack_*")), t.span("deliver").linked_to(&t.span("*"));
    logged: t, t.span("pack_*").logged("packed", 1), t.span("*").logged("packed", 1);
    spans: t, t.whole().spans(6), t.whole().spans(7..);
    no_errors: t, t.span("bill").not_failed(), t.whole().no_errors();
    errors_reach_root: t, t.whole().errors_are_explained(), t.whole().errors_reach_root();
}

/// The statements about the whole, and about parents, that do not hold.
fn of_whole(spans: &[(Span, Details)]) -> Vec<&'static str> {
    let report = Trace::new(spans.to_vec()).check(|trace| {
        trace.span("*").begins_inside_parent().ends_inside_parent();
        trace.whole().no_open_spans().one_root().errors_are_explained().errors_reach_root().no_errors();
    });
    report.err().map(|report| report.statements()).unwrap_or_default()
}

#[test]
fn healthy_trace_has_all_that_is_stated_of_a_whole() {
    assert_eq!(of_whole(&[span(1, 0, "a", 0, 9), span(2, 1, "b", 0, 9)]), [""; 0]);
}

#[test]
fn span_without_end_is_open_and_so_is_a_missing_parent_unless_it_is_remote() {
    let open = (span(2, 1, "b", 5, 5).0, Details { open: true, ..span(2, 1, "b", 5, 5).1 });
    assert_eq!(of_whole(&[span(1, 0, "a", 0, 9), open]), ["no_open_spans"]);
    let orphan = span(2, 7, "b", 5, 6);
    assert_eq!(of_whole(&[span(1, 0, "a", 0, 9), orphan.clone()]), ["no_open_spans", "one_root"]);
    assert_eq!(of_whole(&[(orphan.0, Details { remote_parent: true, ..orphan.1 })]), [""; 0]);
    assert_eq!(of_whole(&[span(1, 2, "a", 0, 9), span(2, 1, "b", 0, 9)]), [""; 0], "their own ancestors");
}

#[test]
fn second_trace_id_is_a_second_trace() {
    let other = (span(2, 1, "b", 5, 6).0, Details::default());
    assert_eq!(of_whole(&[span(1, 0, "a", 0, 9), other]), ["one_root"]);
}

#[test]
fn child_outside_its_parents_time_is_found_at_either_end() {
    let with = |start, end| of_whole(&[span(1, 0, "a", 10, 20), span(2, 1, "b", start, end)]);
    assert_eq!(with(9, 15), ["begins_inside_parent"]);
    assert_eq!(with(15, 21), ["ends_inside_parent"]);
    assert_eq!(with(21, 22), ["begins_inside_parent", "ends_inside_parent"]);
}

#[test]
fn error_without_description_type_and_exception_is_not_explained() {
    let (of, details) = span(1, 0, "a", 0, 9);
    let failed = Span { failed: true, ..of };
    assert_eq!(of_whole(&[(failed.clone(), details.clone())]), ["errors_are_explained", "no_errors"]);
    let typed = Details { attributes: [("error.type".to_owned(), json!("timeout"))].into(), ..details.clone() };
    let exception = Details { events: vec!["exception".to_owned()], ..details };
    assert_eq!(of_whole(&[(failed.clone(), typed)]), ["no_errors"]);
    assert_eq!(of_whole(&[(failed, exception)]), ["no_errors"]);
}

#[test]
fn statements_about_spans_that_are_not_there_fail_once() {
    let report = order().check(|trace| {
        trace.span("nothing").parent("order").all_overlap().children("*").failed();
    });
    assert_eq!(report.unwrap_err().statements(), ["parent"]);
    let report = order().check(|trace| {
        trace
            .span("bill")
            .after(&trace.span("nothing"))
            .takes(.., &trace.span("nothing").sum())
            .linked_to(&trace.span("nothing"));
    });
    assert_eq!(report.unwrap_err().statements(), ["after", "takes", "linked_to"]);
}

#[test]
#[should_panic(expected = r#"span("order").service("shop").children("pack_*").all_overlap()"#)]
fn statement_outside_of_check_panics_with_its_code() {
    order().span("order").service("shop").children("pack_*").count(2).all_overlap();
}

#[test]
fn file_of_otlp_json_is_read_with_links_types_and_open_spans() {
    let attribute = |key: &str, value: Value| json!({ "key": key, "value": value });
    let id = "0af7651916cd43dd8448eb211c80319c";
    let spans = json!([
        { "traceId": id, "spanId": "0000000000000001", "name": "a", "kind": 2, "startTimeUnixNano": "1", "endTimeUnixNano": "9",
          "attributes": [attribute("n", json!({ "intValue": "5" })), attribute("t", json!({ "stringValue": "5" }))] },
        { "traceId": id, "spanId": "0000000000000002", "parentSpanId": "0000000000000001", "name": "b", "startTimeUnixNano": "2",
          "links": [{ "traceId": id, "spanId": "0000000000000001" }], "status": { "code": 2, "message": "no" } },
    ]);
    let resource = json!({ "attributes": [attribute("service.name", json!({ "stringValue": "shop" }))] });
    let body = json!({ "resourceSpans": [{ "resource": resource, "scopeSpans": [{ "spans": spans }] }] });
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("trace-check.json");
    std::fs::write(&path, body.to_string()).unwrap();
    let trace = Trace::from_file(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    trace.span("a").service("shop").kind(Kind::Server).attribute("n", 5).attribute("t", "5").exactly_once();
    trace.span("b").parent("a").linked_to(&trace.span("a")).failed_with("no");
    trace.whole().one_root();
    let report = trace
        .check(|trace| {
            trace.whole().no_open_spans();
        })
        .unwrap_err();
    assert!(report.to_string().contains("b: has no end"), "{report}");
    assert!(Trace::from_file(&path).is_err());
}

#[test]
fn bars_of_a_lost_parent_have_the_spans_that_could_be_it() {
    let found = |name: &str| {
        let report = order().check(|t| _ = t.span("print").parent(name)).unwrap_err();
        let bars = report.failures[0].bars.lines().map(|line| line.split('│').next().unwrap().trim_end().to_owned());
        bars.collect::<Vec<_>>()
    };
    assert_eq!(found("deliver"), ["  deliver", "  bill", ">   print"]);
    assert_eq!(found("unknown"), ["  bill", ">   print"]);
    // A trace may have many of that name.
    assert_eq!(found("p*_?").len(), 2);
}
