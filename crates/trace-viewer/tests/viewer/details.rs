//! The details of one span, as JSON.

use serde_json::{Value, json};

use crate::support::{Viewer, new_trace, post_json, span, with};

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
fn details_of_a_huge_span_are_its_beginning_and_how_much_more_there_is() {
    let viewer = Viewer::start(&[]);
    let trace = new_trace();
    let text = |key: String, length: usize| json!({"key": key, "value": {"stringValue": "é".repeat(length)}});
    let mut attributes: Vec<Value> = (0..250).map(|i| text(format!("key {i}"), 10)).collect();
    attributes[0] = text("long".to_owned(), 200_000);
    let link = json!({"traceId": trace, "spanId": "00000000000000ff"});
    let huge = json!({"events": vec![json!({}); 300_000], "links": vec![link; 500], "attributes": attributes});
    viewer.send("x", &[with(span(&trace, 1, 0, "huge", 0, 5), huge)]);
    let details = viewer.json(&format!("/view/traces/{trace}/spans/1"));
    let listed = |what: &str| details[what].as_array().map(Vec::len);
    assert_eq!((listed("events"), listed("links")), (Some(100), Some(100)));
    assert_eq!(details["more"], json!({"events": 299_900, "links": 400, "logs": 0}));
    assert_eq!(details["links"][0], json!({"trace": trace, "span": "00000000000000ff", "attributes": {}}));
    assert_eq!(details["attributes"]["…"], "150 more attributes");
    let long = details["attributes"]["long"].as_str().unwrap();
    assert!(long.ends_with("é … and 390000 more bytes"), "{}", &long[long.len() - 50..]);
    assert!(details.to_string().len() < 100_000);
}

#[test]
fn found_spans_are_limited_and_all_of_them_counted() {
    let viewer = Viewer::start(&[]);
    let trace = new_trace();
    let long = format!("{}Needle{}", "before ".repeat(1000), " after".repeat(1000));
    let hidden = json!({"attributes": [{"key": "text", "value": {"stringValue": long}}]});
    let mut spans: Vec<Value> = (1..=2_500).map(|n| span(&trace, n, 0, "hay", n, n + 1)).collect();
    spans.push(with(span(&trace, 9_999, 0, "other", 0, 1), hidden));
    viewer.send("x", &spans);
    let find = |text: &str| viewer.json(&format!("/view/traces/{trace}/find?text={text}"));
    let many = find("HAY");
    assert_eq!((many["spans"].as_array().map(Vec::len), &many["count"]), (Some(2_000), &json!(2_500)));
    let one = find("needle");
    assert_eq!((&one["count"], &one["spans"][0]["id"]), (&json!(1), &json!(format!("{:016x}", 9_999))));
    let place = one["spans"][0]["in"].as_str().expect("text");
    assert!(place.contains("Needle") && place.chars().count() < 110, "{place}");
    assert_eq!(viewer.json(&format!("/view/traces/{}/find?text=x", new_trace()))["count"], 0);
    assert_eq!(viewer.get("/view/traces/xyz/find?text=x").status(), 400);
}
