//! Tempo's API, compared with recorded responses of Tempo 3.

use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::trace::v1::TracesData;
use prost::Message;
use reqwest::blocking::Response;
use serde_json::{Value, json};

use crate::support::{Viewer, client, new_trace, now, post_json, traces};

/// A Tempo, or the viewer instead.
struct Tempo {
    url: String,
    otlp: String,
    viewer: Option<Viewer>,
}

/// The span that was sent to Tempo when the responses were recorded.
struct Sent {
    trace: String,
    service: String,
    start: u64,
}

impl Tempo {
    // The lint is for settings of programs, which belong into config.rs.
    #[allow(clippy::disallowed_methods)]
    fn new() -> Self {
        match (std::env::var("TEMPO_URL"), std::env::var("TEMPO_OTLP_URL")) {
            (Ok(url), Ok(otlp)) => Self { url, otlp, viewer: None },
            _ => {
                let viewer = Viewer::start(&[]);
                Self { url: viewer.pages.clone(), otlp: viewer.otlp.clone(), viewer: Some(viewer) }
            }
        }
    }

    /// The id in a search result: a Tempo leaves out leading zeros by default, the viewer never does.
    fn shown<'a>(&self, trace: &'a str) -> &'a str {
        if self.viewer.is_some() { trace } else { trace.trim_start_matches('0') }
    }

    fn get(&self, path: &str) -> Response {
        client().get(format!("{}{path}", self.url)).send().expect("a response")
    }

    fn text(&self, path: &str) -> (u16, String) {
        let response = self.get(path);
        (response.status().as_u16(), response.text().expect("text"))
    }

    fn json(&self, path: &str) -> Value {
        let (status, body) = self.text(path);
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).expect("JSON")
    }

    /// Repeats the request until the response is as wanted: a real Tempo's search leaves out the newest 30 s.
    fn eventually(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + Duration::from_secs(90);
        loop {
            let response = self.json(path);
            if wanted(&response) {
                return response;
            }
            // The viewer has no delay.
            assert!(self.viewer.is_none() && Instant::now() < deadline, "{path}: {response}");
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    fn send(&self) -> Sent {
        let sent = Sent { trace: new_trace(), service: format!("x-{}", new_trace()), start: now() - 1_000_000_000 };
        let body = traces(
            &sent.service,
            &[json!({
                "traceId": sent.trace, "spanId": "3132333435363738", "name": "a", "kind": 2,
                "startTimeUnixNano": sent.start.to_string(),
                "endTimeUnixNano": (sent.start + 1_000_000_000).to_string(),
                "attributes": [
                    {"key": "n", "value": {"intValue": "5"}},
                    {"key": "l", "value": {"arrayValue": {"values": [{"intValue": "1"}]}}},
                ],
            })],
        );
        let response = post_json(&format!("{}/v1/traces", self.otlp), &body);
        assert_eq!(response.status(), 200);
        assert_eq!(response.json::<Value>().ok(), Some(json!({"partialSuccess": {}})));
        sent
    }
}

fn base64(hex: &str) -> String {
    use base64::Engine;
    let bytes: Vec<u8> =
        (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).expect("hex")).collect();
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// The one span must be in `list` with its resource, as recorded.
fn assert_resource_spans(list: &Value, sent: &Sent) {
    let resource = json!({"attributes": [{"key": "service.name", "value": {"stringValue": sent.service}}]});
    assert_eq!(list[0]["resource"], resource);
    assert_eq!(list[0]["scopeSpans"][0]["scope"], json!({}));
    let span = &list[0]["scopeSpans"][0]["spans"][0];
    let expected = json!({
        "traceId": base64(&sent.trace),
        "spanId": "MTIzNDU2Nzg=",
        "name": "a",
        "kind": "SPAN_KIND_SERVER",
        "startTimeUnixNano": sent.start.to_string(),
        "endTimeUnixNano": (sent.start + 1_000_000_000).to_string(),
        "attributes": [
            {"key": "n", "value": {"intValue": "5"}},
            {"key": "l", "value": {"arrayValue": {"values": [{"intValue": "1"}]}}},
        ],
    });
    for (field, value) in expected.as_object().expect("an object") {
        assert_eq!(&span[field], value, "{field}");
    }
    assert_eq!(span.get("parentSpanId"), None, "fields that hold their default are left out");
}

#[test]
fn trace_by_id_is_json_in_both_versions() {
    let tempo = Tempo::new();
    let sent = tempo.send();
    let v1 = tempo.json(&format!("/api/traces/{}", sent.trace));
    assert_resource_spans(&v1["batches"], &sent);
    let v2 = tempo.json(&format!("/api/v2/traces/{}", sent.trace));
    assert_resource_spans(&v2["trace"]["resourceSpans"], &sent);
    let without_zeros = sent.trace.trim_start_matches('0').to_uppercase();
    let short = tempo.json(&format!("/api/traces/{without_zeros}"));
    assert_resource_spans(&short["batches"], &sent);
}

#[test]
fn trace_by_id_is_protobuf_if_accepted() {
    #[derive(Clone, PartialEq, Message)]
    struct ByIdResponse {
        #[prost(message, optional, tag = "1")]
        trace: Option<TracesData>,
    }

    let tempo = Tempo::new();
    let sent = tempo.send();
    let request = |version: &str| {
        let url = format!("{}/api{version}/traces/{}", tempo.url, sent.trace);
        let response = client().get(url).header("accept", "application/protobuf").send().expect("a response");
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "application/protobuf");
        response.bytes().expect("a body")
    };
    let v1 = TracesData::decode(request("")).expect("tempopb.Trace");
    let v2 = ByIdResponse::decode(request("/v2")).expect("tempopb.TraceByIDResponse").trace.expect("a trace");
    for trace in [v1, v2] {
        let span = &trace.resource_spans[0].scope_spans[0].spans[0];
        assert_eq!((span.name.as_str(), span.span_id.as_slice()), ("a", b"12345678".as_slice()));
        assert_eq!(span.end_time_unix_nano, sent.start + 1_000_000_000);
        assert_eq!(span.attributes.len(), 2);
    }
}

#[test]
fn unknown_trace_is_404_in_version_1_and_empty_in_version_2() {
    let tempo = Tempo::new();
    let unknown = new_trace();
    assert_eq!(tempo.text(&format!("/api/traces/{unknown}")), (404, String::new()));
    let v2 = tempo.json(&format!("/api/v2/traces/{unknown}"));
    assert_eq!((&v2["trace"], v2["metrics"].is_object()), (&json!({}), true));
}

#[test]
fn invalid_id_gets_400_with_a_reason() {
    let tempo = Tempo::new();
    let reason = "trace IDs can only contain hex characters: invalid character 'z' at position 1";
    for path in ["/api/traces/zzz", "/api/v2/traces/zzz"] {
        let (status, text) = tempo.text(path);
        assert_eq!((status, text.trim()), (400, reason), "{path}");
    }
}

#[test]
fn search_by_tags_finds_the_trace() {
    let tempo = Tempo::new();
    let sent = tempo.send();
    let path = format!("/api/search?tags=service.name%3D{}&limit=3", sent.service);
    let found =
        tempo.eventually(&path, |response| response["traces"].as_array().is_some_and(|traces| !traces.is_empty()));
    let expected = json!({
        "traceID": tempo.shown(&sent.trace),
        "rootServiceName": sent.service,
        "rootTraceName": "a",
        "startTimeUnixNano": sent.start.to_string(),
        "durationMs": 1000,
    });
    for (field, value) in expected.as_object().expect("an object") {
        assert_eq!(&found["traces"][0][field], value, "{field}");
    }
    assert!(found["metrics"].is_object());
}

#[test]
fn search_by_query_finds_the_trace_and_its_span() {
    let tempo = Tempo::new();
    let sent = tempo.send();
    let query = format!("/api/search?q=%7B%20resource.service.name%20%3D%20%22{}%22%20%7D&limit=3", sent.service);
    let found =
        tempo.eventually(&query, |response| response["traces"].as_array().is_some_and(|traces| !traces.is_empty()));
    let trace = &found["traces"][0];
    assert_eq!(trace["traceID"], tempo.shown(&sent.trace));
    assert_eq!(trace["durationMs"], 1000);
    assert_eq!(trace["spanSet"]["matched"], 1);
    let span = &trace["spanSet"]["spans"][0];
    assert_eq!(span["spanID"], "3132333435363738");
    assert_eq!(span["startTimeUnixNano"], sent.start.to_string());
    assert_eq!(span["durationNanos"], "1000000000");
    let service = json!({"key": "service.name", "value": {"stringValue": sent.service}});
    assert!(span["attributes"].as_array().is_some_and(|all| all.contains(&service)), "{span}");
    assert_eq!(trace["spanSets"][0]["matched"], 1);
    assert_eq!(trace["serviceStats"], json!({&sent.service: {"spanCount": 1}}));
}

#[test]
fn invalid_query_gets_400_with_a_reason() {
    let (status, text) = Tempo::new().text("/api/search?q=garbage");
    assert_eq!(status, 400);
    assert!(text.starts_with("invalid TraceQL query: "), "{text}");
}

#[test]
fn tag_names_and_values_are_listed() {
    let tempo = Tempo::new();
    let sent = tempo.send();
    let has = |list: &Value, wanted: &Value| list.as_array().is_some_and(|list| list.contains(wanted));
    let scope = |response: &Value, name: &str| {
        let scopes = response["scopes"].as_array().cloned().unwrap_or_default();
        scopes.into_iter().find(|scope| scope["name"] == name).map(|scope| scope["tags"].clone()).unwrap_or_default()
    };
    let names = tempo.eventually("/api/search/tags", |response| has(&response["tagNames"], &json!("n")));
    assert!(has(&names["tagNames"], &json!("l")) && has(&names["tagNames"], &json!("service.name")), "{names}");
    tempo.eventually("/api/search/tag/service.name/values", |response| {
        has(&response["tagValues"], &json!(sent.service))
    });
    let scopes = tempo.eventually("/api/v2/search/tags", |response| has(&scope(response, "span"), &json!("n")));
    assert!(has(&scope(&scopes, "intrinsic"), &json!("duration")), "{scopes}");
    assert!(has(&scope(&scopes, "resource"), &json!("service.name")), "{scopes}");
    tempo.eventually("/api/v2/search/tag/resource.service.name/values", |response| {
        has(&response["tagValues"], &json!({"type": "string", "value": sent.service}))
    });
}

#[test]
fn echo_and_ready_get_200() {
    let tempo = Tempo::new();
    for (path, expected) in [("/api/echo", "echo"), ("/ready", "ready")] {
        let (status, text) = tempo.text(path);
        assert_eq!((status, text.trim()), (200, expected));
    }
}

#[test]
fn invalid_otlp_request_gets_400_415_or_405() {
    let tempo = Tempo::new();
    let url = format!("{}/v1/traces", tempo.otlp);
    let malformed = crate::support::post(&url, "application/json", b"{".to_vec());
    assert_eq!(malformed.status(), 400);
    let status: Value = malformed.json().expect("JSON");
    assert_eq!(status["code"], 3);
    assert!(status["message"].as_str().is_some_and(|message| !message.is_empty()));

    let other = crate::support::post(&url, "text/plain", b"hello".to_vec());
    assert_eq!(other.status(), 415);
    let supported = other.text().expect("text");
    assert!(supported.contains("application/json") && supported.contains("application/x-protobuf"), "{supported}");

    assert_eq!(client().get(&url).send().expect("a response").status(), 405);
}
