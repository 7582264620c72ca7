//! A trace, as Tempo's query API answers (`GET /api/traces/{id}`): of Tempo itself, or of the viewer.

use anyhow::Context as _;
use reqwest::{Client, StatusCode, Url};
use serde::Deserialize;

/// The name of a service, and of one of its spans.
pub(crate) type Name = (String, String);

/// One span of a trace.
#[derive(Debug, Clone)]
pub(crate) struct Span {
    /// As the backend writes it.
    pub(crate) id: String,
    /// Empty for a root.
    pub(crate) parent_id: String,
    pub(crate) name: Name,
    /// Nanoseconds since 1970.
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// Whether its status is Error.
    pub(crate) failed: bool,
}

impl Span {
    /// How long it took, in seconds.
    pub(crate) fn seconds(&self) -> f64 {
        self.end.saturating_sub(self.start) as f64 / 1e9
    }
}

/// All spans of the trace that the backend at `base` holds; none for a trace that it does not know.
///
/// # Errors
/// When it does not answer, or not as Tempo does.
pub(crate) async fn trace(client: &Client, base: &Url, trace_id: &str) -> anyhow::Result<Vec<Span>> {
    let url = base.join(&format!("api/traces/{trace_id}"))?;
    let unanswered = || format!("no trace backend answers at {base} (TEMPO_URL)");
    let answer = client.get(url).header("accept", "application/json").send().await;
    let answer = answer.map_err(reqwest::Error::without_url).with_context(unanswered)?;
    if answer.status() == StatusCode::NOT_FOUND {
        return Ok(Vec::new());
    }
    let answer = answer.error_for_status()?;
    let trace: Trace = answer.json().await.with_context(|| format!("{base} does not answer as Tempo does"))?;
    Ok(trace.spans())
}

#[derive(Deserialize)]
struct Trace {
    #[serde(default)]
    batches: Vec<ResourceSpans>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResourceSpans {
    #[serde(default)]
    resource: Resource,
    #[serde(default)]
    scope_spans: Vec<ScopeSpans>,
}

#[derive(Deserialize, Default)]
struct Resource {
    #[serde(default)]
    attributes: Vec<Attribute>,
}

#[derive(Deserialize)]
struct Attribute {
    key: String,
    #[serde(default)]
    value: Value,
}

/// Only texts matter here: the service's name.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Value {
    string_value: Option<String>,
}

#[derive(Deserialize)]
struct ScopeSpans {
    #[serde(default)]
    spans: Vec<SpanJson>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SpanJson {
    span_id: String,
    #[serde(default)]
    parent_span_id: String,
    name: String,
    /// 64-bit numbers are texts in protobuf's JSON.
    start_time_unix_nano: String,
    end_time_unix_nano: String,
    #[serde(default)]
    status: Status,
}

#[derive(Deserialize, Default)]
struct Status {
    #[serde(default)]
    code: String,
}

impl Trace {
    fn spans(self) -> Vec<Span> {
        let mut spans = Vec::new();
        for ResourceSpans { resource, scope_spans } in self.batches {
            let name = resource.attributes.into_iter().find(|attribute| attribute.key == "service.name");
            let service = name.and_then(|attribute| attribute.value.string_value).unwrap_or_default();
            for span in scope_spans.into_iter().flat_map(|scope| scope.spans) {
                spans.push(Span {
                    id: span.span_id,
                    parent_id: span.parent_span_id,
                    name: (service.clone(), span.name),
                    start: span.start_time_unix_nano.parse().unwrap_or_default(),
                    end: span.end_time_unix_nano.parse().unwrap_or_default(),
                    failed: span.status.code == "STATUS_CODE_ERROR",
                });
            }
        }
        spans
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_read_as_tempo_writes_it() {
        let json = r#"{"batches":[{"resource":{"attributes":[{"key":"n","value":{"intValue":"5"}},
            {"key":"service.name","value":{"stringValue":"x"}}]},"scopeSpans":[{"scope":{},"spans":[
            {"traceId":"CvdlGRbNQ92ESOshHIAxnA==","spanId":"MTIzNDU2Nzg=","name":"a","kind":"SPAN_KIND_SERVER",
             "startTimeUnixNano":"1795443997978138472","endTimeUnixNano":"1795443998978138472"},
            {"spanId":"MTIzNDU2Nzk=","parentSpanId":"MTIzNDU2Nzg=","name":"b","startTimeUnixNano":"0",
             "endTimeUnixNano":"1","status":{"code":"STATUS_CODE_ERROR","message":"no"}}]}]}]}"#;
        let spans = serde_json::from_str::<Trace>(json).unwrap().spans();
        assert_eq!(spans[0].name, ("x".to_owned(), "a".to_owned()));
        assert_eq!((spans[0].seconds(), spans[0].failed, &*spans[0].parent_id), (1.0, false, ""));
        assert_eq!((&spans[1].parent_id, spans[1].failed), (&spans[0].id, true));
        assert!(serde_json::from_str::<Trace>(r#"{}"#).unwrap().spans().is_empty());
    }
}
