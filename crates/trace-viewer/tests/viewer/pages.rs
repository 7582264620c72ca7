//! The pages, and the JSON that they draw.

use serde_json::{Value, json};

use crate::support::{Viewer, new_trace, post_json, span, with};

/// A click with three concurrent rolls, of which the second is the slowest and the third failed.
fn send_click(viewer: &Viewer) -> String {
    let trace = new_trace();
    let id = trace.as_str();
    viewer.send(
        "frontend",
        &[
            with(span(id, 1, 0, "GET /roll-async", 0, 1000), json!({"kind": 2})),
            with(span(id, 2, 1, "GET", 2, 998), json!({"kind": 3})),
        ],
    );
    viewer.send("die-service", &[with(span(id, 5, 4, "GET /dice", 8, 12), json!({"kind": 2}))]);
    let failed = json!({"status": {"code": 2, "message": "Die 'risky' failed!"}});
    viewer.send(
        "dice-roller",
        &[
            with(span(id, 3, 2, "GET /roll-async", 4, 996), json!({"kind": 2})),
            with(span(id, 4, 3, "GET", 6, 14), json!({"kind": 3})),
            span(id, 6, 3, "async_roll_0", 16, 516),
            span(id, 7, 3, "async_roll_1", 16, 994),
            with(span(id, 8, 3, "async_roll_2", 16, 316), failed),
        ],
    );
    trace
}

#[test]
fn pages_and_assets_have_a_policy_against_foreign_content() {
    let viewer = Viewer::start(&[]);
    for (path, content_type) in [
        ("/", "text/html"),
        ("/trace/0af7651916cd43dd8448eb211c80319c", "text/html"),
        ("/assets/style.css", "text/css"),
        ("/assets/list.js", "text/javascript"),
        ("/assets/trace.js", "text/javascript"),
        ("/assets/waterfall.js", "text/javascript"),
        ("/assets/details.js", "text/javascript"),
        ("/assets/common.js", "text/javascript"),
        ("/assets/icon.svg", "image/svg+xml"),
    ] {
        let response = viewer.get(path);
        assert_eq!(response.status(), 200, "{path}");
        let header = |name: &str| response.headers()[name].to_str().expect("text").to_owned();
        assert!(header("content-type").starts_with(content_type), "{path}");
        assert!(header("content-security-policy").starts_with("default-src 'self'"));
        assert_eq!(header("x-content-type-options"), "nosniff");
        let text = response.text().expect("text");
        // Nothing inline that the policy would block, and nothing that turns text into markup.
        for forbidden in ["innerHTML", "insertAdjacentHTML", "style=\"", " onclick", "https://"] {
            assert!(!text.contains(forbidden), "{path} has {forbidden}");
        }
    }
    assert_eq!(viewer.get("/nowhere").status(), 404);
    assert_eq!(
        viewer.get("/api/traces/<").headers()["x-content-type-options"],
        "nosniff",
        "an error message quotes the request"
    );
}

#[test]
fn waterfall_has_figures_rows_and_critical_path() {
    let viewer = Viewer::start(&[]);
    let view = viewer.json(&format!("/view/traces/{}", send_click(&viewer)));
    assert_eq!((&view["known"], &view["complete"]), (&json!(true), &json!(true)));
    assert_eq!(
        view["verdict"],
        "3 rolls took 0.98 s; one after the other they would have taken 1.8 s: 1.8 times faster. \
         async_roll_1 decided the end. 1 of them failed."
    );
    assert_eq!(view["siblings"]["peak"], 3);
    assert_eq!(view["siblings"]["sum"], 1_778_000_000u64);
    assert_eq!(view["siblings"]["wall"], 978_000_000u64);

    let rows = view["rows"].as_array().expect("rows");
    let shape: Vec<(u64, &str, &str)> = rows
        .iter()
        .map(|row| {
            (
                row["depth"].as_u64().expect("a depth"),
                row["name"].as_str().expect("a name"),
                row["kind"].as_str().expect("a kind"),
            )
        })
        .collect();
    let expected = [
        (0, "GET /roll-async", "server"),
        (1, "GET", "client"),
        (2, "GET /roll-async", "server"),
        (3, "GET", "client"),
        (4, "GET /dice", "server"),
        (3, "async_roll_2", "internal"),
        (3, "async_roll_0", "internal"),
        (3, "async_roll_1", "internal"),
    ];
    assert_eq!(shape, expected);
    let critical: Vec<&str> =
        rows.iter().filter(|row| !row["critical"].is_null()).filter_map(|row| row["name"].as_str()).collect();
    assert_eq!(critical, ["GET /roll-async", "GET", "GET /roll-async", "GET", "GET /dice", "async_roll_1"]);
    assert_eq!(rows[7]["critical"], json!([[16_000_000u64, 994_000_000u64]]));
    assert_eq!(rows.iter().filter(|row| row["failed"] == true).count(), 1);
}

#[test]
fn trace_is_incomplete_until_its_root_span_arrives() {
    let viewer = Viewer::start(&[]);
    let trace = new_trace();
    let path = format!("/view/traces/{trace}");
    assert_eq!(viewer.json(&path), json!({"known": false}));
    viewer.send("dice-roller", &[span(&trace, 2, 1, "GET /roll", 1, 4)]);
    let view = viewer.json(&path);
    assert_eq!((&view["complete"], &view["has_root"], &view["settled"]), (&json!(false), &json!(false), &json!(false)));
    viewer.send("frontend", &[span(&trace, 1, 0, "GET /roll", 0, 5)]);
    assert_eq!(viewer.json(&path)["complete"], true);
    assert!(viewer.json("/view/traces/xyz")["reason"].as_str().is_some_and(|reason| reason.contains("hex")));
}

#[test]
fn page_gets_only_what_changed_since_its_revision() {
    let viewer = Viewer::start(&[]);
    let trace = send_click(&viewer);
    let seen = viewer.json(&format!("/view/traces/{trace}"))["revision"].clone();
    assert_eq!(viewer.json(&format!("/view/traces/{trace}?since={seen}")).get("rows"), None);
    let list = viewer.json(&format!("/view/traces?since={seen}"));
    assert_eq!(list["traces"], json!([]));
    let newer = send_click(&viewer);
    let list = viewer.json(&format!("/view/traces?since={seen}"));
    assert_eq!(list["traces"].as_array().map(Vec::len), Some(1));
    let summary = &list["traces"][0];
    assert_eq!(summary["id"], newer);
    assert_eq!(summary["root"], json!({"name": "GET /roll-async", "service": "frontend"}));
    assert_eq!(summary["services"], json!(["frontend", "dice-roller", "die-service"]), "in the order of the call");
    assert_eq!((&summary["spans"], &summary["errors"]), (&json!(8), &json!(1)));
}

#[test]
fn details_have_attributes_events_and_log_lines_of_the_span() {
    let viewer = Viewer::start(&[]);
    let trace = new_trace();
    let attribute = |key: &str, value: Value| json!({"key": key, "value": value});
    let roll = span(&trace, 1, 0, "async_roll_3", 0, 5);
    let started: u64 = roll["startTimeUnixNano"].as_str().and_then(|nanos| nanos.parse().ok()).expect("a time");
    let after = |millis: u64| (started + millis * 1_000_000).to_string();
    let index = attribute("index", json!({"intValue": "3"}));
    let event = json!({"timeUnixNano": after(4), "name": "roll completed", "attributes": [index]});
    viewer.send(
        "dice-roller",
        &[with(
            roll,
            json!({
                "attributes": [
                    attribute("die.type", json!({"stringValue": "<b>fair</b>"})),
                    attribute("die.faces", json!({"arrayValue": {"values": [{"intValue": "1"}, {"intValue": "6"}]}})),
                    attribute("huge", json!({"intValue": "9223372036854775807"})),
                ],
                "events": [event],
                "status": {"code": 2, "message": "Die 'risky' failed!"},
            }),
        )],
    );
    let line = |span: &str, text: &str, millis: u64| {
        json!({
            "traceId": trace, "spanId": span, "timeUnixNano": after(millis), "severityNumber": 17,
            "body": {"stringValue": text}, "attributes": [attribute("roll_index", json!({"intValue": "3"}))],
        })
    };
    let logs = [
        line("0000000000000001", "second", 3),
        line("0000000000000001", "first", 2),
        line("0000000000000002", "of another span", 1),
    ];
    let message = json!({"resourceLogs": [{"scopeLogs": [{"logRecords": logs}]}]});
    let response = post_json(&format!("{}/v1/logs", viewer.otlp), &message);
    assert_eq!((response.status().as_u16(), response.json().ok()), (200, Some(json!({"partialSuccess": {}}))));

    let details = viewer.json(&format!("/view/traces/{trace}/spans/0000000000000001"));
    assert_eq!(
        details["attributes"],
        json!({"die.type": "<b>fair</b>", "die.faces": [1, 6], "huge": "9223372036854775807"})
    );
    assert_eq!((&details["status"], &details["message"]), (&json!("error"), &json!("Die 'risky' failed!")));
    assert_eq!(details["events"][0]["name"], "roll completed");
    assert_eq!(details["events"][0]["attributes"], json!({"index": 3}));
    let logs = details["logs"].as_array().expect("log lines");
    let lines: Vec<_> = logs.iter().map(|line| (line["level"].as_str(), line["message"].as_str())).collect();
    assert_eq!(lines, [(Some("ERROR"), Some("first")), (Some("ERROR"), Some("second"))]);
    assert_eq!(logs[0]["attributes"], json!({"roll_index": 3}));
    assert_eq!(logs[0]["at"].as_f64(), Some(2e6));
    let row = viewer.json(&format!("/view/traces/{trace}"))["rows"][0].clone();
    assert_eq!(row["marks"], json!([2_000_000, 3_000_000, 4_000_000]), "marked on the bar");
    assert_eq!(viewer.json(&format!("/view/traces/{trace}/spans/00000000000000ff")), Value::Null);
}

#[test]
fn span_that_ends_before_it_starts_has_duration_zero() {
    let viewer = Viewer::start(&[]);
    let trace = new_trace();
    viewer.send("x", &[span(&trace, 1, 0, "a", 9, 5), span(&trace, 2, 1, "b", 3, 4)]);
    let view = viewer.json(&format!("/view/traces/{trace}"));
    let lengths: Vec<_> = view["rows"].as_array().expect("rows").iter().map(|row| row["duration"].as_u64()).collect();
    assert_eq!(lengths, [Some(0), Some(1_000_000)]);
    assert_eq!(viewer.json("/api/search")["traces"][0]["durationMs"], 6);
}

#[test]
fn log_lines_that_arrive_before_their_span_are_kept() {
    let viewer = Viewer::start(&[]);
    let trace = new_trace();
    let line = json!({"traceId": trace, "spanId": "0000000000000001", "body": {"stringValue": "early"}});
    let message = json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [line]}]}]});
    assert_eq!(post_json(&format!("{}/v1/logs", viewer.otlp), &message).status(), 200);
    assert_eq!(viewer.get(&format!("/api/traces/{trace}")).status(), 404, "log lines alone are no trace");
    assert_eq!(viewer.json("/view/traces")["traces"], json!([]));
    viewer.send("x", &[span(&trace, 1, 0, "a", 0, 5)]);
    assert_eq!(viewer.json(&format!("/view/traces/{trace}/spans/0000000000000001"))["logs"][0]["message"], "early");
}

#[test]
fn call_whose_caller_went_away_is_drawn_as_cancelled() {
    let viewer = Viewer::start(&[]);
    let trace = new_trace();
    let id = trace.as_str();
    let text = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
    let call = |more: Value| {
        let mut attributes = vec![text("http.request.method", "GET")];
        attributes.extend(more.as_array().unwrap().clone());
        json!({"kind": 3, "attributes": attributes})
    };
    let gone = json!({"kind": 2, "attributes": [text("error.type", "cancelled")]});
    let status = json!([{"key": "http.response.status_code", "value": {"intValue": "200"}}]);
    viewer.send(
        "frontend",
        &[
            with(span(id, 1, 0, "GET /roll-async", 0, 1000), gone.clone()),
            with(span(id, 2, 1, "finished call", 2, 100), call(status)),
            with(span(id, 3, 1, "call given up", 200, 998), call(json!([]))),
        ],
    );
    viewer.send("dice-roller", &[with(span(id, 4, 3, "GET /roll-async", 210, 997), gone)]);
    viewer.send("other", &[with(span(id, 5, 0, "call without a cancelled span beside it", 0, 1), call(json!([])))]);
    let view = viewer.json(&format!("/view/traces/{id}"));
    let rows = view["rows"].as_array().unwrap();
    let cancelled = |name: &str| rows.iter().find(|row| row["name"] == name).unwrap()["cancelled"].clone();
    assert_eq!(cancelled("call given up"), true);
    assert_eq!(cancelled("GET /roll-async"), true);
    assert_eq!(cancelled("finished call"), false);
    assert_eq!(cancelled("call without a cancelled span beside it"), false);
}
