//! The requests of Grafana with the viewer as its Tempo data source: addresses, headers, and that it can decode what it
//! gets.
//!
//! Grafana 13 has the plugin `grafana/grafana-tempo-datasource` (13.1.5: `pkg/tempo/*.go`, `src/language_provider.ts`);
//! Grafana 12 sends the same and `/api/status/buildinfo`. It decodes strictly (`jsonpb.Unmarshal` into
//! `tempopb.SearchResponse`): a field that Tempo does not have is an error. So the types here deny them too.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::trace::v1::TracesData;
use prost::Message;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::support::{Viewer, client, new_trace, now, span, with};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct SearchResponse {
    #[serde(default)]
    traces: Vec<TraceMetadata>,
    #[serde(rename = "metrics")]
    _metrics: Metrics,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Metrics {
    #[serde(default, rename = "inspectedTraces")]
    _inspected_traces: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct TraceMetadata {
    #[serde(rename = "traceID")]
    trace_id: String,
    root_service_name: String,
    #[serde(default)]
    root_trace_name: String,
    start_time_unix_nano: String,
    #[serde(default)]
    duration_ms: u32,
    span_set: SpanSet,
    span_sets: Vec<SpanSet>,
    service_stats: BTreeMap<String, Stats>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct SpanSet {
    #[serde(default)]
    spans: Vec<Span>,
    matched: u32,
    #[serde(default, rename = "attributes")]
    _attributes: Vec<Attribute>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Span {
    #[serde(rename = "spanID")]
    span_id: String,
    #[serde(default)]
    name: String,
    start_time_unix_nano: String,
    duration_nanos: String,
    #[serde(default)]
    attributes: Vec<Attribute>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Stats {
    span_count: u32,
    #[serde(default)]
    error_count: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Attribute {
    key: String,
    value: Value,
}

/// What Go's `url.Values.Encode` makes: `+` for a space, like `query` of reqwest.
fn get(viewer: &Viewer, path: &str, accept: &str, parameters: &[(&str, &str)]) -> (u16, Vec<u8>) {
    let request = client().get(format!("{}{path}", viewer.pages)).header("accept", accept).query(parameters);
    let response = request.header("user-agent", "Grafana/13.2.3").send().expect("a response");
    (response.status().as_u16(), response.bytes().expect("a body").to_vec())
}

fn json_of(viewer: &Viewer, path: &str, parameters: &[(&str, &str)]) -> Value {
    let (status, body) = get(viewer, path, "application/json", parameters);
    assert_eq!(status, 200, "{path} {parameters:?}");
    serde_json::from_slice(&body).expect("JSON")
}

/// A roll that failed, through two services; one attribute has a name with a space.
fn viewer_with_roll() -> (Viewer, String) {
    let (viewer, trace) = (Viewer::start(&[]), new_trace());
    let text = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
    let failed = json!({"kind": 2, "status": {"code": 2}, "attributes": [
        text("http.route", "/roll"), text("a b", "spaced"),
        {"key": "die.faces", "value": {"arrayValue": {"values": [{"intValue": "1"}]}}},
    ]});
    viewer.send("frontend", &[with(span(&trace, 1, 0, "GET /roll", 0, 40), json!({"kind": 2}))]);
    viewer.send("dice-roller", &[with(span(&trace, 2, 1, "GET /roll", 5, 30), failed)]);
    (viewer, trace)
}

/// One hour until in a minute, as Grafana's time range.
fn range() -> [String; 2] {
    let seconds = now() / 1_000_000_000;
    [seconds - 3_540, seconds + 60].map(|seconds| seconds.to_string())
}

#[test]
fn data_source_is_checked_and_its_version_known() {
    let (viewer, _) = viewer_with_roll();
    assert_eq!(get(&viewer, "/api/echo", "*/*", &[]), (200, b"echo".to_vec()));
    let version = json_of(&viewer, "/api/status/buildinfo", &[])["version"].clone();
    assert!(version.as_str().is_some_and(|version| version.starts_with("3.")), "{version}");
}

#[test]
fn trace_by_id_is_decoded_with_and_without_a_time_range() {
    #[derive(Clone, PartialEq, Message)]
    struct TraceByIdResponse {
        #[prost(message, optional, tag = "1")]
        trace: Option<TracesData>,
    }
    let (viewer, trace) = viewer_with_roll();
    let [start, end] = range();
    for range in [vec![], vec![("start", start.as_str()), ("end", end.as_str())]] {
        let v2 = format!("/api/v2/traces/{trace}");
        let (status, body) = get(&viewer, &v2, "application/protobuf", &range);
        let decoded = TraceByIdResponse::decode(&*body).expect("tempopb.TraceByIDResponse").trace.expect("a trace");
        assert_eq!((status, decoded.resource_spans.len()), (200, 2));
        // Grafana falls back to it where version 2 is not found.
        let (status, body) = get(&viewer, &format!("/api/traces/{trace}"), "application/protobuf", &range);
        assert_eq!((status, TracesData::decode(&*body).expect("tempopb.Trace")), (200, decoded));
    }
    // Grafana reads `Trace.ResourceSpans` without looking whether there is a trace.
    let (status, body) = get(&viewer, &format!("/api/v2/traces/{}", new_trace()), "application/protobuf", &[]);
    let unknown = TraceByIdResponse::decode(&*body).expect("tempopb.TraceByIDResponse").trace;
    assert_eq!((status, unknown), (200, Some(TracesData::default())));
    let (status, reason) = get(&viewer, "/api/v2/traces/not-an-id", "application/protobuf", &[]);
    assert!(status == 400 && String::from_utf8_lossy(&reason).contains("hex"), "{status}");
}

#[test]
fn searches_of_the_editor_and_of_the_builder_are_decoded() {
    let (viewer, trace) = viewer_with_roll();
    let [start, end] = range();
    for (query, spans) in [
        ("{}", 2),
        (r#"{resource.service.name="dice-roller"}"#, 1),
        (
            r#"{resource.service.name=~"dice-roller|frontend" && name="GET /roll" && duration>1ms && traceDuration<1m}"#,
            2,
        ),
        (r#"{(resource.service.name="frontend" || resource.service.name="dice-roller") && kind=server}"#, 2),
        (r#"{status=error && .http.route="/roll"}"#, 1),
        (r#"{span.http.route!="/list" && span."a b"="spaced"}"#, 1),
        ("{nestedSetParent<0}", 1),
        ("{rootServiceName=\"frontend\"} | count() > 1", 2),
        (
            "{ status = error } | select(span.http.route, span.die.faces, resource.service.name) with (most_recent=true)",
            1,
        ),
    ] {
        let parameters =
            [("end", end.as_str()), ("limit", "20"), ("q", query), ("spss", "3"), ("start", start.as_str())];
        let (status, body) = get(&viewer, "/api/search", "application/json", &parameters);
        let text = String::from_utf8_lossy(&body);
        assert_eq!(status, 200, "{query}: {text}");
        let mut response: SearchResponse =
            serde_json::from_slice(&body).unwrap_or_else(|error| panic!("{query}: {error}: {text}"));
        let found = response.traces.pop().unwrap_or_else(|| panic!("{query}: {text}"));
        assert_eq!((&found.trace_id, found.root_service_name.as_str()), (&trace, "frontend"), "{query}");
        assert_eq!((found.root_trace_name.as_str(), found.duration_ms), ("GET /roll", 40));
        assert!(found.start_time_unix_nano.parse::<i64>().is_ok());
        assert_eq!(
            (found.span_set.matched, found.span_sets.len(), found.span_set.spans.len()),
            (spans, 1, spans as usize)
        );
        let stats = &found.service_stats["dice-roller"];
        assert_eq!((stats.span_count, stats.error_count), (1, 1));
        for span in &found.span_set.spans {
            assert_eq!((span.span_id.len(), span.name.is_empty()), (16, !query.contains("name=\"GET")), "{query}");
            assert!(span.start_time_unix_nano.parse::<i64>().is_ok() && span.duration_nanos.parse::<u64>().is_ok());
            let attributes = span.attributes.iter();
            assert!(attributes.into_iter().all(|pair| !pair.key.is_empty() && pair.value.is_object()), "{query}");
        }
    }
    let limited = [("limit", "20"), ("q", "{ status = error }"), ("start", "1"), ("end", "2")];
    let (_, body) = get(&viewer, "/api/search", "application/json", &limited);
    assert!(serde_json::from_slice::<SearchResponse>(&body).expect("a response").traces.is_empty());
}

#[test]
fn names_and_values_are_offered_while_a_query_is_typed() {
    let (viewer, _) = viewer_with_roll();
    let [start, end] = range();
    let limits = [("limit", "5000"), ("start", start.as_str()), ("end", end.as_str())];
    let scopes = json_of(&viewer, "/api/v2/search/tags", &limits)["scopes"].clone();
    let tags =
        |name: &str| scopes.as_array().unwrap().iter().find(|scope| scope["name"] == name).unwrap()["tags"].clone();
    assert_eq!(tags("resource"), json!(["service.name"]));
    assert_eq!(tags("span"), json!(["a b", "die.faces", "http.route"]));
    assert!(tags("intrinsic").as_array().unwrap().contains(&json!("rootServiceName")));
    for scope in ["resource", "span", "event", "link", "instrumentation", "intrinsic"] {
        json_of(&viewer, "/api/v2/search/tags", &[("scope", scope), ("limit", "5000")]);
    }
    for (tag, query, expected) in [
        ("resource.service.name", "{}", vec!["dice-roller", "frontend"]),
        ("resource.service.name", "{status=error}", vec!["dice-roller"]),
        // As it is while somebody types.
        ("resource.service.name", "{span.http.route=}", vec!["dice-roller", "frontend"]),
        ("name", "{resource.service.name=\"frontend\"}", vec!["GET /roll"]),
        ("rootServiceName", "{}", vec!["frontend"]),
        ("status", "{}", vec!["error", "ok", "unset"]),
        ("span.http.route", "{}", vec!["/roll"]),
        ("span.\"a b\"", "{}", vec!["spaced"]),
        ("span.undefined", "{}", vec![]),
    ] {
        // Grafana 13 sends the tag in the path, encoded once, and once more as a parameter.
        let path = format!("/api/v2/search/tag/{}/values", tag.replace('"', "%22").replace(' ', "%20"));
        let response = json_of(&viewer, &path, &[&limits[..], &[("q", query), ("tag", tag)]].concat());
        let mut values: Vec<&str> =
            response["tagValues"].as_array().unwrap().iter().map(|value| value["value"].as_str().unwrap()).collect();
        values.sort_unstable();
        assert_eq!(values, expected, "{tag} {query}");
        assert!(response["tagValues"].as_array().unwrap().iter().all(|value| value["type"].is_string()));
    }
    // Where version 2 fails, Grafana 12 asks for version 1.
    assert!(json_of(&viewer, "/api/search/tags", &[])["tagNames"].as_array().unwrap().contains(&json!("http.route")));
    assert_eq!(
        json_of(&viewer, "/api/search/tag/service.name/values", &[])["tagValues"],
        json!(["dice-roller", "frontend"])
    );
}

#[test]
fn metrics_and_structural_queries_get_400_with_a_reason() {
    let (viewer, _) = viewer_with_roll();
    let [start, end] = range();
    for (path, query, reason) in [
        ("/api/metrics/query_range", "{} | rate()", "metrics are not supported"),
        ("/api/metrics/query", "{} | quantile_over_time(duration, .9)", "metrics are not supported"),
        ("/api/search", "{} | rate()", "rate"),
        ("/api/search", "{ status = error } >> {}", ">>"),
        ("/api/search", "{} | by(resource.service.name)", "by"),
    ] {
        let parameters =
            [("end", end.as_str()), ("q", query), ("start", start.as_str()), ("step", "15s"), ("exemplars", "100")];
        let (status, body) = get(&viewer, path, "application/json", &parameters);
        let text = String::from_utf8_lossy(&body);
        assert!(status == 400 && text.contains(reason), "{path} {query}: {status} {text}");
    }
}
