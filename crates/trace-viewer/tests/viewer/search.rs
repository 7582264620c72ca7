//! Search: tags, queries, limits, errors.

use serde_json::{Value, json};

use crate::support::{Viewer, new_trace, now, span, with};

fn attributes(pairs: Value) -> Value {
    let pair = |(key, value): (&String, &Value)| json!({"key": key, "value": value});
    json!({"attributes": pairs.as_object().expect("an object").iter().map(pair).collect::<Value>()})
}

/// Three traces: `short` 50 ms, `long` 500 ms with a failed call, `orphan` 5 ms without its root span.
fn viewer_with_three() -> Viewer {
    let viewer = Viewer::start(&[]);
    let (short, long, orphan) = (new_trace(), new_trace(), new_trace());
    viewer.send("frontend", &[span(&short, 1, 0, "short", 0, 50)]);
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
    assert_eq!(viewer.search(&[("start", &seconds(-60)), ("end", &seconds(60))]).len(), 3);
    assert_eq!(viewer.search(&[("start", &seconds(60)), ("end", &seconds(120))]).len(), 0);
    assert_eq!(viewer.search(&[("start", &seconds(-120)), ("end", &seconds(-60))]).len(), 0);
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
    assert_eq!(span["attributes"], json!([{"key": "times", "value": {"intValue": "5"}}]));
    let expected = json!({"frontend": {"spanCount": 1}, "dice-roller": {"spanCount": 1, "errorCount": 1}});
    assert_eq!(trace["serviceStats"], expected);

    let trace = found(&[("q", r#"{ rootName = "long" }"#), ("spss", "1")]);
    assert_eq!(trace["spanSet"]["matched"], 2);
    assert_eq!(trace["spanSet"]["spans"].as_array().map(Vec::len), Some(1));
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
        (
            "q",
            "{ name =~ \"x\" }",
            "invalid TraceQL query: expected one of = != > >= < <= at character 8, found `=~ \"x\" }`",
        ),
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
    assert_eq!(values("status"), json!([{"type": "keyword", "value": "error"}, {"type": "keyword", "value": "unset"}]));
    assert_eq!(values("rootName"), json!([{"type": "string", "value": "long"}, {"type": "string", "value": "short"}]));
    assert_eq!(values("span.nowhere"), json!([]));
    assert_eq!(viewer.json("/api/search/tag/times/values")["tagValues"], json!(["5"]));
    let only = viewer.json("/api/v2/search/tags?scope=resource")["scopes"].clone();
    assert_eq!(only, json!([{"name": "resource", "tags": ["service.name"]}]));
}
