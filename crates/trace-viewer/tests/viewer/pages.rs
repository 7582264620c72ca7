//! The pages, and the JSON that they draw.

use serde_json::{Value, json};

use crate::support::{Viewer, client, new_trace, post_json, span, with};

/// A click with three concurrent rolls, of which the second is the slowest and the third failed.
pub(crate) fn send_click(viewer: &Viewer) -> String {
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
        ("/compare/0af7651916cd43dd8448eb211c80319c/1", "text/html"),
        ("/map", "text/html"),
        ("/glossary", "text/html"),
        ("/trace/0af7651916cd43dd8448eb211c80319c/map", "text/html"),
        ("/assets/style.css", "text/css"),
        ("/assets/filters.js", "text/javascript"),
        ("/assets/open.js", "text/javascript"),
        ("/assets/rows.js", "text/javascript"),
        ("/assets/axis.js", "text/javascript"),
        ("/assets/compare.js", "text/javascript"),
        ("/assets/map.js", "text/javascript"),
        ("/assets/find.js", "text/javascript"),
        ("/assets/layers.js", "text/javascript"),
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
        assert!(header("content-security-policy").starts_with("default-src 'none'; script-src 'self'"));
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
         async_roll_1 of dice-roller took 98 % of the 1.0 s. \
         One failure was handled: async_roll_2 of dice-roller: Die 'risky' failed."
    );
    assert_eq!(view["critical_path"][0]["name"], "async_roll_1");
    assert_eq!((&view["groups"][0]["name"], &view["groups"][0]["count"]), (&json!("async_roll_*"), &json!(3)));
    assert_eq!(view["errors"][0]["span_id"], "0000000000000008");
    assert_eq!(view["flags"], json!({"arriving": false, "missing_parents": 0, "early_children": 0}));
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
    assert_eq!((&view["arriving"], &view["orphans"]), (&json!(true), &json!(1)));
    assert_eq!((&view["rows"][0]["orphan"], &view["rows"][0]["critical"]), (&json!(true), &Value::Null));
    assert_eq!(view["verdict"], "This trace is still arriving: one span is here, others are missing.");
    assert_eq!(view["critical_path"], json!([]));
    viewer.send("frontend", &[span(&trace, 1, 0, "GET /roll", 0, 5)]);
    let view = viewer.json(&path);
    assert_eq!((&view["complete"], &view["arriving"]), (&json!(true), &json!(false)));
    assert_eq!(view["rows"][1]["critical"], json!([[1_000_000, 4_000_000]]));
    assert!(viewer.json("/view/traces/xyz")["reason"].as_str().is_some_and(|reason| reason.contains("hex")));
}

#[test]
fn page_gets_only_what_changed_since_its_revision() {
    let viewer = Viewer::start(&[]);
    let trace = send_click(&viewer);
    let seen = viewer.json(&format!("/view/traces/{trace}"))["revision"].clone();
    assert_eq!(viewer.json(&format!("/view/traces/{trace}?since={seen}")).get("rows"), None);
    let list = viewer.json(&format!("/view/traces?since={seen}"));
    assert_eq!(list.get("traces"), None);
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
    assert_eq!(cancelled("finished call"), Value::Null);
    assert_eq!(cancelled("call without a cancelled span beside it"), Value::Null);
}

#[test]
fn row_says_where_a_call_goes_and_when_a_clock_disagrees() {
    let viewer = Viewer::start(&[]);
    let trace = new_trace();
    let id = trace.as_str();
    let system = json!([{"key": "db.system.name", "value": {"stringValue": "redis"}}]);
    viewer.send(
        "frontend",
        &[
            with(span(id, 1, 0, "GET /", 0, 100), json!({"kind": 2})),
            with(span(id, 2, 1, "GET", 10, 20), json!({"kind": 3})),
            with(span(id, 3, 1, "SET", 30, 40), json!({"kind": 3, "attributes": system})),
            with(span(id, 4, 1, "GET", 50, 60), json!({"kind": 3})),
        ],
    );
    viewer.send("die-service", &[with(span(id, 5, 2, "GET /dice", 7, 18), json!({"kind": 2}))]);
    let view = viewer.json(&format!("/view/traces/{id}"));
    let column = |key: &str| view["rows"].as_array().unwrap().iter().map(|row| row[key].clone()).collect::<Vec<_>>();
    assert_eq!(column("to"), [Value::Null, json!("die-service"), Value::Null, json!("redis"), Value::Null]);
    assert_eq!(column("before"), [Value::Null, Value::Null, json!(3_000_000), Value::Null, Value::Null]);
    let details = viewer.json(&format!("/view/traces/{id}/spans/0000000000000002"));
    assert_eq!(details["callee"], 11_000_000, "the rest of the call's time is network and handling");
}

#[test]
fn previous_trace_is_the_latest_earlier_one_with_the_same_root() {
    let viewer = Viewer::start(&[]);
    let previous = |trace: &str| viewer.json(&format!("/view/traces/{trace}"))["previous"].clone();
    let [first, other, second, third] = std::array::from_fn(|_| new_trace());
    // The third arrives before the second.
    for (trace, name, at) in [(&first, "roll", 0), (&third, "roll", 300), (&other, "list", 200), (&second, "roll", 100)]
    {
        viewer.send("frontend", &[span(trace, 1, 0, name, at, at + 10)]);
    }
    assert_eq!(previous(&third), second);
    assert_eq!(previous(&second), first);
    assert_eq!((previous(&first), previous(&other)), (Value::Null, Value::Null));
}

#[test]
fn downloaded_trace_is_otlp_json_that_a_receiver_takes() {
    let viewer = Viewer::start(&[]);
    let trace = send_click(&viewer);
    let response = viewer.get(&format!("/view/traces/{trace}/otlp.json"));
    let disposition = response.headers()["content-disposition"].to_str().unwrap().to_owned();
    assert_eq!(disposition, format!("attachment; filename=\"trace-{trace}.json\""));
    let file: Value = response.json().unwrap();
    assert_eq!(file["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["traceId"], trace);
    let other = Viewer::start(&[]);
    assert_eq!(post_json(&format!("{}/v1/traces", other.otlp), &file).status(), 200);
    let rows = |viewer: &Viewer| viewer.json(&format!("/view/traces/{trace}"))["rows"].clone();
    assert_eq!(rows(&other), rows(&viewer));
    assert_eq!(file.get("resourceLogs"), None, "there are none");
    assert_eq!(viewer.get("/view/traces/abc/otlp.json").status(), 404);
}

#[test]
fn downloaded_trace_has_its_log_lines_and_is_opened_with_them() {
    let (viewer, other) = (Viewer::start(&[]), Viewer::start(&[]));
    let trace = send_click(&viewer);
    let line = |span: u64, text: &str| {
        let value = json!({"key": "n", "value": {"intValue": "9007199254740993"}});
        json!({"traceId": trace, "spanId": format!("{span:016x}"), "timeUnixNano": "5", "severityNumber": 17,
            "body": {"stringValue": text}, "attributes": [value], "eventName": "roll.failed"})
    };
    let lines = [line(6, "one"), line(5, "two"), line(6, "three"), line(99, "of a span that is not there")];
    let message = json!({"resourceLogs": [{"scopeLogs": [{"logRecords": lines}]}]});
    assert_eq!(post_json(&format!("{}/v1/logs", viewer.otlp), &message).status(), 200);
    let text = viewer.get(&format!("/view/traces/{trace}/otlp.json")).text().unwrap();
    let file: Value = serde_json::from_str(&text).unwrap();
    let resources = file["resourceLogs"].as_array().unwrap();
    let service = |from: &Value| from["resource"]["attributes"][0]["value"]["stringValue"].clone();
    assert!(resources.iter().any(|from| service(from) == "die-service"), "the resource of its span: {resources:?}");
    assert_eq!(resources.len(), 3, "dice-roller, die-service, and one that is not known");
    for path in ["/view/open", "/view/open/logs"] {
        let response = post_json(&format!("{}{path}", other.pages), &file);
        assert_eq!((response.status().as_u16(), response.text().unwrap().as_str()), (200, r#"{"partialSuccess":{}}"#));
    }
    for span in [5, 6] {
        let logs = |viewer: &Viewer| viewer.json(&format!("/view/traces/{trace}/spans/{span:016x}"))["logs"].clone();
        assert_eq!((logs(&other), logs(&viewer)[0]["level"].clone()), (logs(&viewer), json!("ERROR")));
        assert_eq!(logs(&viewer)[0]["event"], "roll.failed");
    }
    assert_eq!(other.json(&format!("/view/traces/{trace}/find?text=ROLL.failed"))["count"], 2);
}

#[test]
fn file_is_opened_only_for_the_viewers_own_pages() {
    let (viewer, other) = (Viewer::start(&[]), Viewer::start(&[]));
    let trace = send_click(&other);
    let file = other.get(&format!("/view/traces/{trace}/otlp.json")).text().unwrap();
    let open = |origin: Option<&str>, content_type: &str, body: &str| {
        let request = client().post(format!("{}/view/open", viewer.pages)).header("content-type", content_type);
        let request = origin.into_iter().fold(request, |request, origin| request.header("origin", origin));
        let response = request.body(body.to_owned()).send().unwrap();
        (response.status().as_u16(), response.text().unwrap())
    };
    let json = "application/json";
    for foreign in ["http://evil.example", "null", "http://localhost:1", &other.pages] {
        assert_eq!(open(Some(foreign), json, &file).0, 403, "{foreign}");
        let logs = client().post(format!("{}/view/open/logs", viewer.pages)).header("origin", foreign.to_owned());
        assert_eq!(logs.header("content-type", json).body("{}").send().unwrap().status(), 403, "{foreign}");
    }
    // What a form of a foreign page could send.
    assert_eq!(open(None, "text/plain", &file).0, 415);
    assert_eq!(open(Some(&viewer.pages), json, "{").0, 400);
    assert_eq!(viewer.json("/view/traces")["ids"], json!([]));
    assert_eq!(open(Some(&viewer.pages), json, &file), (200, r#"{"partialSuccess":{}}"#.to_owned()));
    assert_eq!(viewer.json("/view/traces")["ids"], json!([trace]));
    assert_eq!(viewer.get("/view/open").status(), 405);
}
