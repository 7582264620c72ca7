//! Search: tags, queries, limits, errors.

use serde_json::{Value, json};

use crate::support::{Viewer, new_trace, now, post_json, span, traces, with};

fn attributes(pairs: Value) -> Value {
    let pair = |(key, value): (&String, &Value)| json!({"key": key, "value": value});
    json!({"attributes": pairs.as_object().expect("an object").iter().map(pair).collect::<Value>()})
}

/// Three traces: `short` 50 ms, `long` 500 ms with a failed call, `orphan` 5 ms without its root span.
fn viewer_with_three() -> Viewer {
    let viewer = Viewer::start(&[]);
    let (short, long, orphan) = (new_trace(), new_trace(), new_trace());
    let noted = |key: &str, value: Value| json!([{"key": key, "value": value}]);
    let start: u64 = span(&short, 1, 0, "short", 0, 50)["startTimeUnixNano"]
        .as_str()
        .and_then(|at| at.parse().ok())
        .expect("a time");
    let more = json!({
        "events": [
            {"timeUnixNano": (start + 1_000_000).to_string(), "name": "start"},
            {"timeUnixNano": (start + 20_000_000).to_string(), "name": "retry", "attributes": noted("attempt", json!({"intValue": "2"}))},
        ],
        "links": [{"traceId": &long, "spanId": "00000000000000ab", "attributes": noted("why", json!({"stringValue": "batch"}))}],
    });
    let mut message = traces("frontend", &[with(span(&short, 1, 0, "short", 0, 50), more)]);
    message["resourceSpans"][0]["scopeSpans"][0]["scope"] = json!({"name": "rolls", "version": "1.2"});
    assert_eq!(post_json(&format!("{}/v1/traces", viewer.otlp), &message).status(), 200);
    viewer.send("frontend", &[span(&long, 1, 0, "long", 1000, 1500)]);
    let call = json!({"kind": 3, "status": {"code": 2, "message": "Die 'risky' failed!"}});
    let call = with(span(&long, 2, 1, "call", 1100, 1400), call);
    let noted = json!({
        "die.type": {"stringValue": "risky one"}, "times": {"intValue": "5"}, "die.error_rate": {"doubleValue": 0.1},
        "die.error": {"boolValue": true}, "die.faces": {"arrayValue": {"values": [{"intValue": "2"}, {"intValue": "7"}]}},
    });
    viewer.send("dice-roller", &[with(call, attributes(noted))]);
    viewer.send("die-service", &[span(&orphan, 3, 2, "orphan", 2000, 2005)]);
    viewer
}

impl Viewer {
    /// The names of the root spans that are found, newest first; `-` where it is missing.
    fn search(&self, parameters: &[(&str, &str)]) -> Vec<String> {
        let found: Value = self.response(parameters).json().expect("JSON");
        let name = |trace: &Value| trace["rootTraceName"].as_str().unwrap_or("-").to_owned();
        found["traces"].as_array().expect("traces").iter().map(name).collect()
    }

    fn response(&self, parameters: &[(&str, &str)]) -> reqwest::blocking::Response {
        let url = format!("{}/api/search", self.pages);
        crate::support::client().get(url).query(parameters).send().expect("a response")
    }
}

#[test]
fn search_without_conditions_lists_the_newest_first() {
    let viewer = viewer_with_three();
    assert_eq!(viewer.search(&[]), ["-", "long", "short"]);
    assert_eq!(viewer.search(&[("limit", "2")]), ["-", "long"]);
    let orphan = viewer.json("/api/search?limit=1")["traces"][0].clone();
    assert_eq!(orphan["rootServiceName"], "<root span not yet received>");
}

#[test]
fn tags_match_attributes_of_any_span_or_its_resource() {
    let viewer = viewer_with_three();
    let found = |tags: &str| viewer.search(&[("tags", tags)]);
    assert_eq!(found("service.name=frontend"), ["long", "short"]);
    assert_eq!(found("service.name=frontend name=call"), ["long"], "each on another span");
    assert_eq!(found(r#"die.type="risky one""#), ["long"]);
    assert_eq!(found("die.type=risky"), [""; 0]);
    assert_eq!(found("times=5 die.error=true status=error"), ["long"]);
    assert_eq!(found("error=true"), ["long"]);
    assert_eq!(found("error=false"), [""; 0]);
}

#[test]
fn durations_and_times_limit_the_result() {
    let viewer = viewer_with_three();
    assert_eq!(viewer.search(&[("minDuration", "50ms")]), ["long", "short"]);
    assert_eq!(viewer.search(&[("minDuration", "50ms"), ("maxDuration", "0.1s")]), ["short"]);
    let seconds = |after: i64| (now() as i64 / 1_000_000_000 + after).to_string();
    assert_eq!(viewer.search(&[("start", &seconds(-600)), ("end", &seconds(600))]).len(), 3);
    assert_eq!(viewer.search(&[("start", &seconds(600)), ("end", &seconds(1200))]).len(), 0);
    assert_eq!(viewer.search(&[("start", &seconds(-1200)), ("end", &seconds(-600))]).len(), 0);
}

#[test]
fn query_matches_only_where_one_span_meets_all_conditions() {
    let viewer = viewer_with_three();
    for (query, expected) in [
        (r#"{ resource.service.name = "frontend" }"#, vec!["long", "short"]),
        (r#"{ resource.service.name = "frontend" && name = "call" }"#, vec![]),
        (r#"{ resource.service.name = "dice-roller" && name = "call" && kind = client }"#, vec!["long"]),
        ("{ status = error }", vec!["long"]),
        ("{ status != error && kind = internal }", vec!["-", "long", "short"]),
        (r#"{ statusMessage = "Die 'risky' failed!" }"#, vec!["long"]),
        ("{ duration > 100ms }", vec!["long"]),
        ("{ duration >= 50ms && duration <= 50ms }", vec!["short"]),
        ("{ traceDuration < 10ms }", vec!["-"]),
        (r#"{ rootName = "short" }"#, vec!["short"]),
        (r#"{ rootServiceName = "frontend" && name = "call" }"#, vec!["long"]),
        ("{ .times = 5 }", vec!["long"]),
        ("{ span.times > 5 }", vec![]),
        ("{ span.die.error_rate >= 0.1 && span.die.error = true }", vec!["long"]),
        ("{ .die.faces = 7 }", vec!["long"]),
        (r#"{ .times = "5" }"#, vec![]),
        (r#"{ .times != "x" }"#, vec![]),
        (r#"{ .times < "x" }"#, vec![]),
        (r#"{ .die.type != "fair" }"#, vec!["long"]),
        (r#"{ span.service.name = "frontend" }"#, vec![]),
        (r#"{ .service.name = "frontend" && .service.name != "x" }"#, vec!["long", "short"]),
        (r#"{ .die.faces != 3 }"#, vec!["long"]),
        (r#"{ .die.faces != 7 }"#, vec![]),
        (r#"{ name =~ "lo.*|sh..t" }"#, vec!["long", "short"]),
        (r#"{ name =~ "on" }"#, vec![]),
        (r#"{ name !~ ".*o.*" }"#, vec!["long"]),
        (r#"{ .times = nil && kind = internal }"#, vec!["-", "long", "short"]),
        (r#"{ .times != nil }"#, vec!["long"]),
        (r#"{ !(.times = 5) }"#, vec!["-", "long", "short"]),
        (r#"{ name = "short" || name = "call" }"#, vec!["long", "short"]),
        (r#"{ name = "short" || name = "call" && kind = client }"#, vec!["long"]),
        (r#"{ name = "short" || (name = "call" && kind = client) }"#, vec!["long", "short"]),
        (r#"{ .times + 1 = 6 && -.times < -4 && .times * 2 ^ 2 = 20 }"#, vec!["long"]),
        (r#"{ 2 * .times > .die.error_rate }"#, vec!["long"]),
        (r#"{ span."die.type" = "risky one" }"#, vec!["long"]),
        (r#"{ span:name = "call" && span:status = error && trace:rootName = "long" }"#, vec!["long"]),
        (r#"{ event:name = "retry" && event.attempt = 2 }"#, vec!["short"]),
        (r#"{ event:timeSinceStart > 10ms && event:timeSinceStart < 30ms }"#, vec!["short"]),
        (r#"{ link:spanID = "ab" && link.why = "batch" }"#, vec!["short"]),
        (r#"{ instrumentation:name = "rolls" && instrumentation:version =~ "1[.].*" }"#, vec!["short"]),
        (r#"{ nestedSetParent < 0 }"#, vec!["long", "short"]),
        (r#"{ nestedSetParent = 1 && span:childCount = 0 }"#, vec!["long"]),
        (r#"{ name = "long" } && { name = "call" }"#, vec!["long"]),
        (r#"{ name = "short" } && { name = "call" }"#, vec![]),
        (r#"{ name = "short" } || { name = "call" }"#, vec!["long", "short"]),
        (r#"{} | count() > 1"#, vec!["long"]),
        (r#"{ kind = internal } | count() > 1"#, vec![]),
        (r#"{} | max(duration) >= 500ms | { name = "call" }"#, vec!["long"]),
        (r#"{} | min(duration) < 10ms"#, vec!["-"]),
        (r#"{} | sum(.times) = 5"#, vec!["long"]),
        (r#"{} | avg(duration) = 400ms"#, vec!["long"]),
        (r#"({ name = "long" } | count() = 1) && ({ kind = client } | count() = 1)"#, vec!["long"]),
        (
            r#"{ resource.service.name = "frontend" } | select(span.a, span.b) with (most_recent=true)"#,
            vec!["long", "short"],
        ),
        (r#"{ kind = client /* a call */ } // the end"#, vec!["long"]),
        ("{}", vec!["-", "long", "short"]),
    ] {
        assert_eq!(viewer.search(&[("q", query)]), expected, "{query}");
    }
}

#[test]
fn query_result_has_the_matching_spans_with_the_attributes_in_the_query() {
    let viewer = viewer_with_three();
    let found =
        |parameters: &[(&str, &str)]| viewer.response(parameters).json::<Value>().expect("JSON")["traces"][0].clone();
    let trace = found(&[("q", r#"{ name = "call" && .times = 5 && kind = client }"#)]);
    let span = &trace["spanSet"]["spans"][0];
    assert_eq!((&span["name"], &span["durationNanos"]), (&json!("call"), &json!("300000000")));
    let expected = json!([
        {"key": "times", "value": {"intValue": "5"}},
        {"key": "kind", "value": {"stringValue": "client"}},
    ]);
    assert_eq!(span["attributes"], expected);
    let expected = json!({"frontend": {"spanCount": 1}, "dice-roller": {"spanCount": 1, "errorCount": 1}});
    assert_eq!(trace["serviceStats"], expected);

    let trace = found(&[("q", r#"{ rootName = "long" }"#), ("spss", "1")]);
    assert_eq!(trace["spanSet"]["matched"], 2);
    assert_eq!(trace["spanSet"]["spans"].as_array().map(Vec::len), Some(1));

    let trace = found(&[("q", r#"{ name = "call" } | count() = 1 | select(status, span.die.type, .die.faces)"#)]);
    assert_eq!(trace["spanSet"]["attributes"], json!([{"key": "count()", "value": {"intValue": "1"}}]));
    let expected = json!([
        {"key": "status", "value": {"stringValue": "error"}},
        {"key": "die.type", "value": {"stringValue": "risky one"}},
        {"key": "die.faces", "value": {"arrayValue": {"values": [{"intValue": "2"}, {"intValue": "7"}]}}},
    ]);
    assert_eq!(trace["spanSet"]["spans"][0]["attributes"], expected);
}

#[test]
fn search_result_has_all_digits_of_the_id_and_no_field_that_is_zero() {
    let viewer = Viewer::start(&[]);
    let trace = new_trace();
    viewer.send("x", &[span(&trace, 1, 0, "instant", 0, 0)]);
    let found = viewer.json("/api/search?q=%7B%7D")["traces"][0].clone();
    assert_eq!((&found["traceID"], found.get("durationMs")), (&json!(trace), None));
    assert_eq!(found["spanSet"]["spans"][0]["durationNanos"], "0");
}

#[test]
fn invalid_parameter_gets_400_with_a_reason() {
    let viewer = Viewer::start(&[]);
    for (name, value, reason) in [
        ("limit", "0", "invalid limit: must be a number from 1 up"),
        ("limit", "x", "invalid limit: must be a number from 1 up"),
        ("spss", "-1", "invalid spss: must be a number from 0 up"),
        ("minDuration", "5", "invalid minDuration: '5' is not a duration such as 100ms or 1.5s"),
        ("start", "yesterday", "invalid start: 'yesterday' is not a number of seconds since 1970"),
        ("tags", "a", "invalid tags: expected key=value at character 1"),
        ("tags", "b=1 =2", "invalid tags: expected key=value at character 5"),
        ("tags", r#"b="1"#, "invalid tags: unterminated quoted value at character 1"),
        ("tags", "a=1 a=2", "invalid tags: tag a has been set twice"),
        ("q", "{ name > 5 }", "invalid TraceQL query: cannot compare a string with an integer (at character 12)"),
        ("spss", "101", "spans per span set exceeds 100. received 101"),
    ] {
        let response = viewer.response(&[(name, value)]);
        assert_eq!(
            (response.status().as_u16(), response.text().ok().as_deref()),
            (400, Some(reason)),
            "{name}={value}"
        );
    }
    let both = |a: (&str, &str), b: (&str, &str)| viewer.response(&[a, b]).text().expect("text");
    assert!(both(("tags", "a=b"), ("q", "{}")).contains("can't specify tags and q"));
    assert!(both(("minDuration", "2s"), ("maxDuration", "1s")).contains("must be greater than minDuration"));
    assert!(both(("start", "20"), ("end", "10")).contains("start must be before end. received start=20 end=10"));
    assert_eq!(viewer.response(&[("limit", ""), ("q", ""), ("tags", "")]).status(), 200, "empty ones count as absent");
    assert_eq!(viewer.get("/api/search/tags?scope=x").status(), 400);
    assert_eq!(viewer.get("/api/v2/search/tag/foo/values").status(), 400);
}

#[test]
fn tag_values_have_the_type_that_was_sent() {
    let viewer = viewer_with_three();
    let values = |name: &str| viewer.json(&format!("/api/v2/search/tag/{name}/values"))["tagValues"].clone();
    assert_eq!(values("span.times"), json!([{"type": "int", "value": "5"}]));
    assert_eq!(values(".die.error"), json!([{"type": "bool", "value": "true"}]));
    assert_eq!(values("span.die.error_rate"), json!([{"type": "float", "value": "0.1"}]));
    let keywords =
        |names: &[&str]| names.iter().map(|name| json!({"type": "keyword", "value": name})).collect::<Value>();
    assert_eq!(values("status"), keywords(&["ok", "error", "unset"]));
    assert_eq!(values("duration"), json!([]));
    assert_eq!(values("span.die.faces"), json!([{"type": "int", "value": "2"}, {"type": "int", "value": "7"}]));
    assert_eq!(values("rootName"), json!([{"type": "string", "value": "long"}, {"type": "string", "value": "short"}]));
    assert_eq!(values("span.nowhere"), json!([]));
    assert_eq!(viewer.json("/api/search/tag/times/values")["tagValues"], json!(["5"]));
    let only = |scope: &str| viewer.json(&format!("/api/v2/search/tags?scope={scope}"))["scopes"].clone();
    assert_eq!(only("resource"), json!([{"name": "resource", "tags": ["service.name"]}]));
    assert_eq!(only("event"), json!([{"name": "event", "tags": ["attempt"]}]));
    assert_eq!(only("link"), json!([{"name": "link", "tags": ["why"]}]));
}

#[test]
fn tag_values_are_those_of_the_spans_that_q_finds() {
    let viewer = viewer_with_three();
    let values = |name: &str, query: &str| {
        let url = format!("{}/api/v2/search/tag/{name}/values", viewer.pages);
        let response = crate::support::client().get(url).query(&[("q", query)]).send().expect("a response");
        let body: Value = response.json().expect("JSON");
        let values = body["tagValues"].as_array().expect("a list").iter();
        values.map(|value| value["value"].as_str().expect("text").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(values("name", "{}"), ["call", "long", "orphan", "short"]);
    assert_eq!(values("name", r#"{ resource.service.name = "frontend" }"#), ["long", "short"]);
    assert_eq!(values("resource.service.name", "{ status = error }"), ["dice-roller"]);
    assert_eq!(values("name", "{ status = ok }"), [""; 0]);
    assert_eq!(values("name", "{ status = "), ["call", "long", "orphan", "short"], "not finished yet");
}
