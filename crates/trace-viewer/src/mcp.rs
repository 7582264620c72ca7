//! The Model Context Protocol at `/mcp` (streamable HTTP): what the pages say of traces, for programs that work with
//! language models.
//!
//! The protocol is that of the crate `rmcp`. There are no sessions: each request stands alone, so that clients cannot
//! pile them up. `origin` refuses foreign names in `Host`, as for the pages; a request of any page is refused.

mod answer;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::HOST;
use axum::http::request::Parts;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use rmcp::handler::server::common::Extension;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ServerHandler, tool, tool_handler, tool_router};
use schemars::JsonSchema;
use serde::Deserialize;
use trace_analysis::{Comparison, Group, duration};

use crate::analysis::{report, tree};
use crate::by_start::{NewestFirst, Services};
use crate::compare_view::{Compared, SLOWER};
use crate::ids::TraceId;
use crate::query::{QueryError, QueryPool};
use crate::span::StoredSpan;
use crate::store::Store;
use crate::trace::Trace;
use crate::traceql::{Deadline, Query, TimedOut, TraceContext};

use answer::{Answer, data, sentence};

/// The longest request; those of clients have some hundred bytes.
const MAX_BODY: usize = 64 << 10;

/// A request is answered or given up within this time. The deadline of queries comes first.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// Traces that one call lists or finds spans in.
const MOST_TRACES: usize = 50;

/// Spans named of one trace.
const SPANS_OF_EACH: usize = 5;

/// The route.
pub(crate) fn routes(store: Arc<Store>, pool: QueryPool) -> Router {
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .with_sse_keep_alive(None)
        .with_max_request_body_bytes(MAX_BODY)
        // The names that the pages have are checked for all routes; no page may call this one.
        .disable_allowed_hosts()
        .enforce_origin_validation();
    let tools = Tools { store, pool };
    let service =
        StreamableHttpService::new(move || Ok(tools.clone()), Arc::new(NeverSessionManager::default()), config);
    Router::new().route_service("/mcp", service).layer(from_fn(in_time))
}

async fn in_time(request: Request, next: Next) -> Response {
    let late = (StatusCode::REQUEST_TIMEOUT, "the request took too long");
    tokio::time::timeout(TIME_LIMIT, next.run(request)).await.unwrap_or_else(|_| late.into_response())
}

/// The tools.
#[derive(Clone)]
struct Tools {
    store: Arc<Store>,
    pool: QueryPool,
}

#[derive(Deserialize, JsonSchema)]
struct Recent {
    /// Part of a service's name, in upper or lower case.
    #[serde(default)]
    service: Option<String>,
    /// Only traces with a failed span.
    #[serde(default)]
    errors_only: bool,
    /// How many at most, from 1 to 50; 10 if it is left out.
    #[serde(default)]
    count: Option<usize>,
}

#[derive(Deserialize, JsonSchema)]
struct Explain {
    /// The trace's id: up to 32 hex digits.
    trace_id: String,
}

#[derive(Deserialize, JsonSchema)]
struct Compare {
    /// A trace id; or `<trace id>-<span id>` for a span and all below it.
    a: String,
    /// The same for the other one.
    b: String,
}

#[derive(Deserialize, JsonSchema)]
struct Find {
    /// A query in TraceQL, for example `{ resource.service.name = "dice-roller" && status = error && duration > 100ms }`.
    query: String,
}

#[tool_router]
impl Tools {
    /// The newest traces: name, service, duration, spans, errors, and a link with the id of each.
    #[tool(annotations(read_only_hint = true))]
    async fn recent_traces(
        &self,
        Parameters(wanted): Parameters<Recent>,
        Extension(request): Extension<Parts>,
    ) -> Result<String, String> {
        let (store, base) = (self.store.clone(), base(&request));
        self.run(move |deadline| {
            let mut answer = Answer::new(&base);
            let part = wanted.service.unwrap_or_default().to_lowercase();
            let mut left = wanted.count.unwrap_or(10).clamp(1, MOST_TRACES);
            for trace in NewestFirst::new(&store, u64::MAX, Services::default()) {
                deadline.check_now()?;
                let errors = trace.spans.values().filter(|span| span.failed()).count();
                if (errors == 0 && wanted.errors_only) || !has_service(&trace, &part, deadline)? {
                    continue;
                }
                answer.line(&summary(&base, &trace, errors));
                left -= 1;
                if left == 0 {
                    break;
                }
            }
            Ok(answer.finish())
        })
        .await
    }

    /// What happened in a trace: a sentence, the critical path (what decided the duration), groups of calls that ran
    /// together or one after the other, and what failed first.
    #[tool(annotations(read_only_hint = true))]
    async fn explain_trace(
        &self,
        Parameters(Explain { trace_id }): Parameters<Explain>,
        Extension(request): Extension<Parts>,
    ) -> Result<String, String> {
        let id = TraceId::from_hex(trace_id.trim())?;
        let store = self.store.clone();
        // The trace is not held while this waits for its turn.
        let explained = self.pool.run_alone(move |_| Ok(store.get(id).map(|trace| explain(&base(&request), &trace))));
        reasoned(explained.await)?.ok_or_else(|| "no trace with this id is in memory".to_owned())
    }

    /// What differs between two traces, or two spans with all below them: a sentence, and what became slower, faster,
    /// or is in one of them only.
    #[tool(annotations(read_only_hint = true))]
    async fn compare_traces(
        &self,
        Parameters(Compare { a, b }): Parameters<Compare>,
        Extension(request): Extension<Parts>,
    ) -> Result<String, String> {
        let store = self.store.clone();
        let compared = self.pool.run_alone(move |_| {
            let [first, second] = [a.trim(), b.trim()].map(|text| Compared::find(&store, text));
            let link = format!("{}compare/{}/{}", base(&request), a.trim(), b.trim());
            Ok(first.zip(second).map(|(first, second)| compare(&link, &first, &second)))
        });
        reasoned(compared.await)?.ok_or_else(|| "one of the two, or both, are not in memory".to_owned())
    }

    /// Spans that a TraceQL query selects, the newest traces first: name, service, duration, status, and a link to each.
    #[tool(annotations(read_only_hint = true))]
    async fn find_spans(
        &self,
        Parameters(Find { query }): Parameters<Find>,
        Extension(request): Extension<Parts>,
    ) -> Result<String, String> {
        let query = Query::parse(&query).map_err(|error| format!("the query is not valid: {error}"))?;
        let (store, base) = (self.store.clone(), base(&request));
        self.run(move |deadline| {
            let (mut answer, mut traces, mut spans) = (Answer::new(&base), 0, 0);
            for trace in NewestFirst::new(&store, u64::MAX, Services::default()) {
                deadline.check_now()?;
                let context = TraceContext::new(&trace, deadline);
                let Some(found) = query.run(&context)? else { continue };
                found.spans.iter().take(SPANS_OF_EACH).for_each(|span| answer.line(&found_span(&base, &trace, span)));
                (traces, spans) = (traces + 1, spans + found.spans.len());
                if traces == MOST_TRACES {
                    break;
                }
            }
            let many = if traces == MOST_TRACES { " (there may be more)" } else { "" };
            Ok(format!("{spans} spans in {traces} traces{many}.\n{}", answer.finish()))
        })
        .await
    }
}

#[tool_handler(
    name = "trace-viewer",
    instructions = "Recent traces of programs that send OpenTelemetry spans to this viewer. Links lead to pages that draw them."
)]
impl ServerHandler for Tools {}

impl Tools {
    async fn run<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Deadline) -> Result<T, QueryError> + Send + 'static,
    ) -> Result<T, String> {
        reasoned(self.pool.run(query).await)
    }
}

/// The reason of an error alone, which is what a tool returns.
fn reasoned<T>(result: Result<T, QueryError>) -> Result<T, String> {
    result.map_err(|error| match error {
        QueryError::Invalid(reason) => reason,
        QueryError::Overloaded(reason) => reason.to_owned(),
    })
}

/// Whether a service of the trace has `part` in its name; there may be 100,000 names, or one of megabytes.
fn has_service(trace: &Trace, part: &str, deadline: &Deadline) -> Result<bool, TimedOut> {
    for origin in &trace.origins {
        let service = &origin.resource.service;
        deadline.check_bytes(service.len())?;
        if service.to_lowercase().contains(part) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The address of the pages, under the name that the client uses.
fn base(request: &Parts) -> String {
    let host = request.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("127.0.0.1:3200");
    format!("http://{host}/")
}

fn summary(base: &str, trace: &Trace, errors: usize) -> String {
    let root = trace.root().map_or_else(
        || "first span missing".to_owned(),
        |root| format!("{} of {}", data(root.name()), data(root.service())),
    );
    let failed = if errors > 0 { format!(", {errors} failed") } else { String::new() };
    format!("{root}: {}, {} spans{failed}, {base}trace/{}", duration(trace.duration()), trace.spans.len(), trace.id)
}

fn found_span(base: &str, trace: &Trace, span: &StoredSpan) -> String {
    let (name, service) = (data(span.name()), data(span.service()));
    let failed = if span.failed() { format!(", failed{}", said(span.status_message())) } else { String::new() };
    let took = duration(span.end() - span.start());
    format!("{name} of {service}: {took}{failed}, {base}trace/{}#{}", trace.id, span.id)
}

fn explain(base: &str, trace: &Trace) -> String {
    let tree = tree(trace);
    let report = report(trace, &tree);
    let mut answer = Answer::new(&format!("{base}trace/{}", trace.id));
    answer.line(&sentence(&report.sentence));
    for error in report.errors.iter().take(5) {
        let (name, service, message) = (data(&error.name), data(&error.service), said(&error.message));
        answer.line(&format!("Failed: {name} of {service}{message}, span {}", error.span_id));
    }
    for share in report.critical_path.iter().take(8) {
        let (name, service) = (data(&share.name), data(&share.service));
        let (percent, took) = (share.share * 100.0, duration(share.nanoseconds));
        answer.line(&format!("Critical path: {percent:.0} %, {took}: {name} of {service}"));
    }
    report.groups.iter().take(5).for_each(|group| answer.line(&told_group(group)));
    answer.finish()
}

/// The message of a status, if it has one.
fn said(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {}", data(message)) }
}

fn told_group(group: &Group) -> String {
    let (name, service, parent) = (data(&group.name), data(&group.service), data(&group.parent_name));
    let (wall, sum, peak) = (duration(group.wall), duration(group.sum), group.peak_concurrency);
    let count = group.count;
    format!("Group: {count} × {name} of {service} below {parent}: at most {peak} at once, {wall}; added up {sum}")
}

fn compare(link: &str, a: &Compared, b: &Compared) -> String {
    let reports = (report(&a.trace, &a.tree), report(&b.trace, &b.tree));
    let difference = Comparison::of_reports((&a.tree, reports.0), (&b.tree, reports.1), SLOWER);
    let mut answer = Answer::new(link);
    answer.line(&sentence(&difference.sentence));
    answer.line(&format!("A took {}, B took {}.", duration(a.tree.duration()), duration(b.tree.duration())));
    for (what, changed) in [("Slower", &difference.slower), ("Faster", &difference.faster)] {
        for span in changed.iter().take(5) {
            let (name, service) = (data(&span.name), data(&span.service));
            let (a, b) = (duration(span.a), duration(span.b));
            answer.line(&format!("{what}: {name} of {service}, A {a}, B {b}"));
        }
    }
    for (which, only) in [("A", &difference.only_in_a), ("B", &difference.only_in_b)] {
        for span in only.iter().take(5) {
            answer.line(&format!(
                "Only in {which}: {} of {}, {} spans",
                data(&span.name),
                data(&span.service),
                span.spans
            ));
        }
    }
    answer.finish()
}
