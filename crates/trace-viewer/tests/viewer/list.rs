//! The list of recent traces, and its filters.

use serde_json::{Value, json};

use crate::support::{Viewer, client, new_trace, post_json, span, with};

/// `home` 2 ms, `roll` 50 ms, `batch` 500 ms with a failed span of another service.
fn viewer_with_three() -> (Viewer, [String; 3]) {
    let viewer = Viewer::start(&[]);
    let [home, roll, batch] = std::array::from_fn(|_| new_trace());
    viewer.send("frontend", &[span(&home, 1, 0, "GET /", 0, 2)]);
    viewer.send("frontend", &[span(&roll, 1, 0, "GET /roll", 100, 150)]);
    viewer.send("frontend", &[span(&batch, 1, 0, "GET /roll-async", 200, 700)]);
    let failed = json!({"status": {"code": 2}});
    viewer.send("dice-roller", &[with(span(&batch, 2, 1, "async_roll_0", 210, 690), failed)]);
    (viewer, [home, roll, batch])
}

#[test]
fn filters_keep_traces_by_service_name_error_and_duration() {
    let (viewer, [home, roll, batch]) = viewer_with_three();
    let ids = |query: &str| viewer.json(&format!("/view/traces?{query}"))["ids"].clone();
    assert_eq!(ids(""), json!([batch, roll, home]), "the newest first");
    assert_eq!(ids("service=&name=&min=&errors=&hide="), json!([batch, roll, home]), "empty ones do not filter");
    assert_eq!(ids("service=DICE"), json!([batch]));
    assert_eq!(ids("name=/roll"), json!([batch, roll]));
    assert_eq!(ids("name=async_ROLL"), json!([batch]), "of any span");
    assert_eq!(ids("errors=1"), json!([batch]));
    assert_eq!(ids("min=50ms"), json!([batch, roll]));
    assert_eq!(ids("hide=1"), json!([batch, roll]));
    assert_eq!(ids("min=50ms&service=frontend&name=GET+/roll&errors=1"), json!([batch]));
    let start = viewer.json("/view/traces")["traces"][1]["start"].clone();
    assert_eq!(ids(&format!("after={start}")), json!([batch]), "only what started later");
}

#[test]
fn filters_narrow_the_query_and_not_only_what_it_found_last() {
    let (viewer, [home, _, batch]) = viewer_with_three();
    for n in 0..120 {
        viewer.send("crowd", &[span(&new_trace(), 1, 0, "GET /", 1000 + n, 1001 + n)]);
    }
    let ids = |parameters: &[(&str, &str)]| {
        let request = client().get(format!("{}/view/traces", viewer.pages)).query(parameters);
        request.send().expect("a response").json::<Value>().expect("JSON")["ids"].clone()
    };
    assert_eq!(ids(&[("q", r#"{ name = "GET /" }"#)]).as_array().map(Vec::len), Some(100), "the newest ones");
    assert_eq!(ids(&[("q", r#"{ name = "GET /" }"#), ("service", "front")]), json!([home]));
    assert_eq!(ids(&[("q", "{ kind = internal } | count() > 1"), ("errors", "1"), ("min", "400ms")]), json!([batch]));
    assert_eq!(ids(&[("q", r#"({ name = "GET /" }) && { status = error }"#)]), json!([]));
}

#[test]
fn list_is_sent_again_only_after_a_change() {
    let (viewer, [.., batch]) = viewer_with_three();
    let revision = viewer.json("/view/traces")["revision"].clone();
    let unchanged = viewer.json(&format!("/view/traces?since={revision}"));
    assert_eq!((unchanged.get("ids"), &unchanged["kept"]["traces"]), (None, &json!(3)));
    viewer.send("frontend", &[span(&batch, 9, 1, "late", 0, 1)]);
    let changed = viewer.json(&format!("/view/traces?since={revision}"));
    assert_eq!(changed["ids"].as_array().map(Vec::len), Some(3));
    assert_eq!((&changed["traces"][0]["id"], changed["traces"].as_array().map(Vec::len)), (&json!(batch), Some(1)));
}

#[test]
fn filter_that_is_not_valid_is_named() {
    let viewer = Viewer::start(&[]);
    let invalid = viewer.json("/view/traces?min=5parsecs")["invalid"].clone();
    assert!(
        invalid.as_str().is_some_and(|reason| reason.contains("5parsecs") && reason.contains("100ms")),
        "{invalid}"
    );
    let invalid = |q: &str| viewer.json(&format!("/view/traces?q={q}"))["invalid"].clone();
    assert!(invalid("%7B+no+query").as_str().is_some_and(|reason| reason.starts_with("The query is not valid: ")));
    assert!(invalid("roll").as_str().is_some_and(|reason| reason.starts_with("“roll” is neither a trace id")));
}

#[test]
fn picture_of_a_long_trace_shows_the_whole_of_it() {
    let viewer = Viewer::start(&[]);
    let trace = new_trace();
    let mut spans: Vec<Value> = (2..1002).map(|n| span(&trace, n, 1, "step", n, n + 1)).collect();
    spans.push(span(&trace, 1, 0, "all", 0, 1003));
    spans[500] = with(spans[500].clone(), json!({"status": {"code": 2}}));
    viewer.send("x", &spans);
    let summary = viewer.json("/view/traces")["traces"][0].clone();
    let bars = summary["bars"].as_array().expect("bars");
    assert!(bars.len() <= 40, "{}", bars.len());
    let last = bars.iter().filter_map(|bar| bar[0].as_u64()).max();
    assert!(last > Some(970_000_000), "{last:?}");
    assert_eq!(bars.iter().filter(|bar| bar[3] == true).count(), 1, "the failed one");
}

/// One trace of `count` services: each has one span under the root.
pub(crate) fn send_services(viewer: &Viewer, count: u64) -> String {
    let trace = new_trace();
    let from = |n: u64| {
        let name = json!([{"key": "service.name", "value": {"stringValue": format!("service-{n}")}}]);
        let spans = [span(&trace, n, u64::from(n > 1), "step", 0, 5)];
        json!({"resource": {"attributes": name}, "scopeSpans": [{"spans": spans}]})
    };
    for first in (1..=count).step_by(5_000) {
        let message = json!({"resourceSpans": (first..first + 5_000).map(from).collect::<Value>()});
        assert_eq!(post_json(&format!("{}/v1/traces", viewer.otlp), &message).status(), 200);
    }
    trace
}

#[test]
fn trace_of_20_000_services_is_listed_with_how_many_more() {
    let viewer = Viewer::start(&[]);
    send_services(&viewer, 20_000);
    let response = viewer.get("/view/traces").text().expect("text");
    assert!(response.len() < 5_000, "{}", response.len());
    let summary = serde_json::from_str::<Value>(&response).expect("JSON")["traces"][0].clone();
    assert_eq!(summary["services"].as_array().map(Vec::len), Some(8));
    assert_eq!((&summary["more_services"], &summary["spans"]), (&json!(19_992), &json!(20_000)));
}
