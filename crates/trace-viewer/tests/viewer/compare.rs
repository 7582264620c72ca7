//! The JSON that the comparison page draws.

use serde_json::{Value, json};

use crate::support::{Viewer, new_trace, span, with};

/// Three rolls, each from and to so many milliseconds after the root's start.
fn send_batch(viewer: &Viewer, rolls: [(u64, u64); 3], end: u64) -> String {
    let trace = new_trace();
    let mut spans = vec![with(span(&trace, 1, 0, "GET /roll-async", 0, end), json!({"kind": 2}))];
    for (number, (from, to)) in (2..).zip(rolls) {
        spans.push(span(&trace, number, 1, &format!("async_roll_{}", number - 2), from, to));
    }
    viewer.send("dice-roller", &spans);
    trace
}

#[test]
fn comparison_has_sentence_both_traces_and_a_row_for_each_pair() {
    let viewer = Viewer::start(&[]);
    let one_by_one = send_batch(&viewer, [(0, 100), (100, 400), (400, 600)], 600);
    let at_once = send_batch(&viewer, [(1, 101), (2, 302), (3, 203)], 303);
    viewer.send("dice-roller", &[span(&at_once, 9, 1, "extra", 302, 303)]);
    let view = viewer.json(&format!("/view/compare/{one_by_one}/{at_once}"));
    assert_eq!(view["known"], json!([true, true]));
    assert_eq!(
        view["sentence"],
        "The same 3 rolls: one after the other 0.60 s, at once 0.30 s, 2.0 times faster. \
         What decided the end: async_roll_1. Only B has extra of dice-roller."
    );
    assert_eq!((&view["same_structure"], &view["cut"]), (&json!(false), &json!(0)));
    assert_eq!((&view["a"]["id"], &view["b"]["id"]), (&json!(one_by_one), &json!(at_once)));
    assert_eq!((&view["a"]["duration"], &view["b"]["duration"]), (&json!(600_000_000), &json!(303_000_000)));
    let rows = view["rows"].as_array().expect("rows");
    let changes: Vec<_> = rows.iter().map(|row| (row["depth"].as_u64(), row["change"].as_str())).collect();
    let expected = [(0, "faster"), (1, "same"), (1, "same"), (1, "same"), (1, "only_b")];
    assert_eq!(changes, expected.map(|(depth, change)| (Some(depth), Some(change))));
    let roll = &rows[2];
    assert_eq!((&roll["name"], &roll["kind"]), (&json!("async_roll_1"), &json!("internal")));
    let side = |start: f64, critical: Value| {
        json!({
            "id": "0000000000000003", "start": start, "duration": 300_000_000, "failed": false, "cancelled": false,
            "critical": critical,
        })
    };
    assert_eq!(roll["a"], side(100e6, json!([[100_000_000, 400_000_000]])));
    assert_eq!(roll["b"], side(2e6, json!([[2_000_000, 302_000_000]])));
    assert_eq!((&rows[4]["a"], rows[4]["b"]["start"].as_f64()), (&Value::Null, Some(302e6)));

    let back = viewer.json(&format!("/view/compare/{at_once}/{one_by_one}"));
    assert_eq!((&back["rows"][0]["change"], &back["rows"][4]["change"]), (&json!("slower"), &json!("only_a")));
}

#[test]
fn two_spans_of_one_trace_are_compared_with_all_below_them() {
    let viewer = Viewer::start(&[]);
    let trace = new_trace();
    let batch = |top: u64, from: u64, rolls: [(u64, u64); 3], to: u64| {
        let rolls = (0..).zip(rolls);
        let roll =
            |(n, (from, to)): (u64, (u64, u64))| span(&trace, top + 1 + n, top, &format!("async_roll_{n}"), from, to);
        let mut spans = vec![with(span(&trace, top, 1, "GET /roll-async", from, to), json!({"kind": 2}))];
        spans.extend(rolls.map(roll));
        spans
    };
    viewer.send("frontend", &[span(&trace, 1, 0, "GET /", 0, 1000)]);
    viewer.send("dice-roller", &batch(10, 10, [(10, 110), (10, 310), (10, 210)], 310));
    viewer.send("dice-roller", &batch(20, 20, [(20, 120), (120, 420), (420, 620)], 620));
    let view = viewer.json(&format!("/view/compare/{trace}-{:016x}/{trace}-{:016x}", 20, 10));
    assert_eq!(
        view["sentence"],
        "The same 3 rolls: one after the other 0.60 s, at once 0.30 s, 2.0 times faster. \
         What decided the end: async_roll_1."
    );
    assert_eq!((&view["rows"].as_array().map(Vec::len), &view["same_structure"]), (&Some(4), &json!(true)));
    assert_eq!((&view["a"]["id"], &view["a"]["span"]), (&json!(trace), &json!(format!("{:016x}", 20))));
    let unknown = viewer.json(&format!("/view/compare/{trace}-{:016x}/{trace}", 99));
    assert_eq!(unknown, json!({"known": [false, true]}));

    // Spans that are each other's parents.
    let circle = new_trace();
    viewer.send("x", &[span(&circle, 1, 2, "a", 0, 5), span(&circle, 2, 1, "b", 1, 4)]);
    let view = viewer.json(&format!("/view/compare/{circle}-{:016x}/{circle}-{:016x}", 1, 1));
    assert_eq!(view["rows"].as_array().map(Vec::len), Some(2));
}

#[test]
fn comparison_says_which_trace_is_not_known() {
    let viewer = Viewer::start(&[]);
    let known = send_batch(&viewer, [(0, 1), (0, 1), (0, 1)], 1);
    let unknown = new_trace();
    assert_eq!(viewer.json(&format!("/view/compare/{known}/{unknown}")), json!({"known": [true, false]}));
    assert_eq!(viewer.json(&format!("/view/compare/no-id/{known}")), json!({"known": [false, true]}));
}
