//! One request: its root span, the call below it, its log lines, and what came of it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use reqwest::Url;
use serde::Deserialize;
use service::{Deadline, ProblemBody, get_request};
use telemetry::{Client, attributes};
use tokio::time::Instant;
use tracing::{Instrument, Span};

use super::plan::Request;
use super::stop::Stop;

/// What all requests of a run share.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) client: Client,
    pub(crate) frontend: Url,
    pub(crate) timeout: Duration,
    pub(crate) stop: Stop,
}

/// What came of a request.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) request: Arc<Request>,
    /// None while spans are switched off.
    pub(crate) trace_id: Option<String>,
    pub(crate) response: Response,
    /// From the planned start to the response.
    pub(crate) latency: Duration,
    /// How much later than planned the request began.
    pub(crate) late: Duration,
}

/// The response, as far as there was one.
#[derive(Debug)]
pub(crate) enum Response {
    /// The faces.
    Rolled(Vec<i64>),
    /// An HTTP status from 400 on, and its `detail`.
    Refused { status: StatusCode, detail: String },
    /// `timeout`, `connection_error`, `stopped` (by Ctrl-C) …
    Missing { kind: &'static str, error: String },
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Rolled {
    Single { roll: i64 },
    Batch { rolls: Vec<i64> },
}

impl Caller {
    /// Makes `request`, which was planned to begin at `planned`.
    pub(crate) async fn make(&self, request: Request, planned: Instant) -> Outcome {
        let (request, late) = (Arc::new(request), planned.elapsed());
        let span = root_span(&request);
        async {
            let (user, die_type, request_number) = (request.user, &*request.die, request.number);
            match request.times {
                Some(times) => {
                    tracing::info!(die_type, times, request_number, "User {user} making async roll: {times} dice");
                }
                None => tracing::info!(die_type, request_number, "User {user} making sync roll"),
            }
            let response = self.stop.over.run_until_cancelled(self.send(&request)).await;
            let response = response.unwrap_or_else(|| Response::missing("stopped", "the run was stopped"));
            let latency = planned.elapsed();
            record(&request, &response, latency);
            Outcome { trace_id: attributes::trace_id(), request: request.clone(), response, latency, late }
        }
        .instrument(span)
        .await
    }

    async fn send(&self, request: &Request) -> Response {
        let url = self.frontend.join(if request.times.is_some() { "roll-async" } else { "roll" });
        let mut url = match url {
            Ok(url) => url,
            Err(error) => return Response::missing("invalid_url", error),
        };
        let times = request.times.map(|times| ("times", times.to_string()));
        url.query_pairs_mut().append_pair("die", &request.die).extend_pairs(times);
        match self.client.send(get_request(url, self.timeout, Deadline::default())).await {
            Ok(response) => parse(&response),
            Err(error) => Response::missing(error.kind(), error),
        }
    }
}

impl Response {
    fn missing(kind: &'static str, error: impl std::fmt::Display) -> Self {
        Response::Missing { kind, error: error.to_string() }
    }
}

fn parse(response: &http::Response<Bytes>) -> Response {
    let body = response.body();
    if !response.status().is_success() {
        let detail = serde_json::from_slice(body).map_or_else(|_| String::new(), |problem: ProblemBody| problem.detail);
        return Response::Refused { status: response.status(), detail };
    }
    match serde_json::from_slice(body) {
        Ok(Rolled::Single { roll }) => Response::Rolled(vec![roll]),
        Ok(Rolled::Batch { rolls }) => Response::Rolled(rolls),
        Err(error) => Response::missing("malformed_response", error),
    }
}

fn root_span(request: &Request) -> Span {
    let batch = request.times.is_some();
    tracing::info_span!(
        parent: None,
        "simulated_user",
        otel.name = if batch { "simulated_user_async_request" } else { "simulated_user_sync_request" },
        otel.kind = "internal",
        user.id = request.user.to_string(),
        request.number = i64::from(request.number),
        die.type = request.die,
        async.enabled = batch,
        async.batch_size = request.times.map(i64::from),
    )
}

/// The outcome, on the span and as a log line. What did not bring the roll that the user wanted is a failure.
fn record(request: &Request, response: &Response, latency: Duration) {
    let (user, duration) = (request.user, latency.as_secs_f64());
    match response {
        Response::Rolled(rolls) => {
            let total = rolls.iter().fold(0_i64, |sum, roll| sum.saturating_add(*roll));
            attributes::set("request.status", "success");
            if request.times.is_some() {
                attributes::set("async.total_result", total);
                tracing::info!(total, ?rolls, duration, "User {user} async roll result: {total}");
            } else {
                attributes::set("roll.value", total);
                tracing::info!(roll_value = total, duration, "User {user} sync roll result: {total}");
            }
        }
        Response::Refused { status, detail } => {
            attributes::set("request.status", "error");
            attributes::set_error(detail.clone());
            tracing::warn!(status = status.as_u16(), error = detail, duration, "User {user} request refused");
        }
        Response::Missing { kind, error } => {
            attributes::set("request.status", *kind);
            attributes::set_error(error.clone());
            tracing::error!(kind, error, duration, "User {user} request without response");
        }
    }
}
