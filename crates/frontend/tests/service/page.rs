//! The page: the form, the result for a browser without script, and what it loads.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get as route;
use frontend::{AppState, app};
use opentelemetry::trace::{SpanKind, Status};
use serde_json::json;
use telemetry::testing::attribute;
use test_support::service::TestService;
use tokio::net::TcpListener;

use crate::common::{NOWHERE, Spans, System, child, config, eventually, get, get_text, serve, start_alone};

/// The text of the element with that id, with its markup.
pub(crate) fn element<'a>(page: &'a str, id: &str) -> &'a str {
    let from = page.find(&format!(r#"id="{id}""#)).unwrap_or_else(|| panic!("no #{id} in {page}"));
    let (_, content) = page[from..].split_once('>').unwrap();
    content.split_once("</").unwrap().0
}

#[tokio::test]
async fn the_form_offers_the_dice_of_die_service_and_is_traced() {
    let system = System::quick().await;
    let frontend = &system.frontend;
    let response = get(frontend, "/").await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/html; charset=utf-8");
    let policy = response.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert_eq!(
        policy,
        "default-src 'self'; object-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    );
    let page = response.text().await.unwrap();
    for part in [
        r#"<select id="die" name="die">"#,
        r#"<option value="fair">fair</option>"#,
        r#"<option value="extreme">extreme</option>"#,
        r#"<input type="checkbox" id="async" name="async""#,
        r#"<label for="async">Use Async Rolling</label>"#,
        r#"<label for="times">Number of rolls</label>"#,
        r#"<input type="number" id="times" name="times" min="1" max="20""#,
        r#"<button id="roll">Roll</button>"#,
        r#"<div id="error" role="alert"></div>"#,
        r#"aria-live="polite""#,
    ] {
        assert!(page.contains(part), "{part} is not in {page}");
    }
    assert!(!page.contains(r#"id="notice""#));

    let server = child(&system, None, "GET /").await;
    let call = child(&system, Some(&server), "GET").await;
    child(&system, Some(&call), "GET /dice").await;
    assert_eq!(system.spans().len(), 3);
    let fetched = &frontend.lines_with("Die list fetched from die service").unwrap()[0];
    assert_eq!(fetched["span_id"], server.span_context.span_id().to_string());
    assert_eq!(fetched["identifiers"], json!(["fair", "extreme", "broken"]));
    assert_eq!(frontend.metric(r#"frontend_requests_total{die_type="broken",status="received"}"#), Some(0.0));
}

#[tokio::test]
async fn without_script_the_page_holds_the_result() {
    let System { frontend, upstreams: _running } = System::quick().await;
    let (status, page) = get_text(&frontend, "/?die=fair&async=on&times=3&strategy=best-effort&concurrency=").await;
    assert_eq!(status, 200, "{page}");
    let rolls: Vec<i64> = element(&page, "rolls").split(", ").map(|roll| roll.parse().unwrap()).collect();
    assert_eq!(rolls.len(), 3);
    assert_eq!(element(&page, "total"), rolls.iter().sum::<i64>().to_string());
    assert_eq!(element(&page, "caption"), "fair, rolled 3 times");
    for roll in rolls {
        assert!(page.contains(&format!(r#"<svg class="die" data-value="{roll}""#)), "{page}");
    }
    let server = child(&frontend, None, "GET /").await;
    let trace_id = server.span_context.trace_id().to_string();
    assert_eq!(element(&page, "trace-id"), trace_id);
    assert!(page.contains(&format!(r#"href="http://127.0.0.1:3200/trace/{trace_id}""#)));
    // What was chosen is still chosen.
    assert!(page.contains(r#"aria-describedby="async-hint" checked>"#) && page.contains("<details open>"));

    let (status, page) = get_text(&frontend, "/?die=fair&times=9").await;
    assert_eq!((status, element(&page, "caption")), (200, "fair, rolled once"));
    let (status, page) = get_text(&frontend, "/?die=extreme&async=on&times=20&strategy=best-effort").await;
    let failed = page.matches(r#"<code>async_roll_"#).count();
    assert_eq!((status, element(&page, "caption")), (200, &*format!("extreme, rolled 20 times, {failed} failed")));
    assert_eq!(page.matches(r#"<svg class="die failed""#).count(), failed + 1, "each, and the script's template");
}

#[tokio::test]
async fn without_script_an_error_is_text_in_the_page_with_the_status_of_the_roll() {
    let System { frontend, upstreams: _running } = System::quick().await;
    for (query, status, text) in [
        ("die=fair&async=on&times=0", 422, "Parameter &#39;times&#39; is &#39;0&#39;"),
        ("die=fair&async=on", 422, "Parameter &#39;times&#39; is missing"),
        ("die=", 422, "Parameter &#39;die&#39; is empty"),
        ("die=fair&async=perhaps", 422, "allowed: on, off"),
        ("die=fair&async=on&times=3&concurrency=4", 422, "Parameter &#39;concurrency&#39; is &#39;4&#39;"),
        ("die=nope", 404, "Die &#39;nope&#39; not found; there are: fair, extreme, broken"),
        ("die=broken", 500, "Die &#39;broken&#39; failed!"),
    ] {
        let (given, page) = get_text(&frontend, &format!("/?{query}")).await;
        assert_eq!(given, status, "{query}");
        assert!(element(&page, "error").contains(text), "{query}: {page}");
        assert!(page.contains(r#"<div id="rolled" hidden>"#) && !element(&page, "trace-id").is_empty());
    }
    let of_page = |line: &serde_json::Value| line["http.route"] == "/";
    let mut failed = frontend.lines_with("Request failed").unwrap();
    failed.retain(of_page);
    assert_eq!(
        (failed.len(), &failed[0]["http.response.status_code"], &failed[0]["level"]),
        (1, &json!(500), &json!("ERROR"))
    );
    assert_eq!(frontend.lines_with("Request refused").unwrap().iter().filter(|line| of_page(line)).count(), 6);
    let is_failed = |span: &opentelemetry_sdk::trace::SpanData| {
        span.name == "GET /" && span.span_kind == SpanKind::Server && matches!(span.status, Status::Error { .. })
    };
    eventually("seven pages", || {
        (frontend.spans().iter().filter(|span| span.name == "GET /").count() == 7).then_some(())
    })
    .await;
    let failed: Vec<_> = frontend.spans().into_iter().filter(is_failed).collect();
    assert_eq!((failed.len(), attribute(&failed[0], "error.type")), (1, "500".into()));
}

#[tokio::test]
async fn a_page_about_an_unreachable_roller_is_503_with_retry_after() {
    let service = start_alone(NOWHERE, NOWHERE, &[]).await;
    let response = get(&service, "/?die=fair").await;
    assert_eq!((response.status().as_u16(), &response.headers()["retry-after"]), (503, &"1".parse().unwrap()));
    assert_eq!(response.headers()["content-type"], "text/html; charset=utf-8");
    assert!(element(&response.text().await.unwrap(), "error").starts_with("dice-roller cannot be reached"));
}

#[tokio::test]
async fn nothing_that_a_client_sends_becomes_markup() {
    let System { frontend, upstreams: _running } = System::quick().await;
    for die in
        ["%3Cscript%3Ealert(1)%3C/script%3E", "%22%3E%3Cimg%20src=x%20onerror=alert(1)%3E", "'%20autofocus%20x='"]
    {
        let (status, page) = get_text(&frontend, &format!("/?die={die}")).await;
        assert_eq!(status, 404);
        for markup in ["<script>", "<img", "' autofocus"] {
            assert!(!page.contains(markup), "{markup} in {page}");
        }
    }
}

#[tokio::test]
async fn the_names_of_dice_do_not_become_markup_either() {
    let dice = r#"{"identifiers":["<b>bold</b>","\"quoted\""]}"#;
    let die_service = serve(Router::new().route("/dice", route(async move || dice))).await;
    let service = start_alone(NOWHERE, &die_service, &[]).await;
    let (_, page) = get_text(&service, "/").await;
    assert!(!page.contains("<b>"), "{page}");
    for escaped in ["&#60;b&#62;bold&#60;/b&#62;", "&#34;quoted&#34;"] {
        assert!(page.contains(&format!(r#"<option value="{escaped}">{escaped}</option>"#)), "{page}");
    }
}

#[tokio::test]
async fn the_page_needs_nothing_inline() {
    let System { frontend, upstreams: _running } = System::quick().await;
    let (_, page) = get_text(&frontend, "/?die=broken").await;
    assert!(!page.contains("<style") && !page.contains(" style="), "{page}");
    assert!(!page.split_whitespace().any(|word| word.starts_with("on") && word.contains('=')), "{page}");
    assert_eq!(page.matches("<script").count(), page.matches("<script type=\"module\" src=\"/assets/").count());
}

#[tokio::test]
async fn when_die_service_goes_the_last_list_stays_with_a_notice() {
    let answer = Arc::new(std::sync::Mutex::new((200, r#"{"identifiers":["fair"]}"#)));
    let current = answer.clone();
    let dice = move || {
        let (status, body) = *current.lock().unwrap();
        std::future::ready((StatusCode::from_u16(status).unwrap(), body))
    };
    let die_service = serve(Router::new().route("/dice", route(dice))).await;
    let service = start_alone(NOWHERE, &die_service, &[]).await;
    let page = async || get_text(&service, "/").await.1;

    assert!(!page().await.contains(r#"id="notice""#));
    for failing in [(500, ""), (200, "nonsense"), (200, r#"{"identifiers":[]}"#), (404, r#"{"identifiers":["x"]}"#)] {
        *answer.lock().unwrap() = failing;
        let page = page().await;
        assert!(element(&page, "notice").contains("may be out of date"), "{failing:?}: {page}");
        assert!(page.contains(r#"<option value="fair">"#));
    }
    assert_eq!(service.lines_with("Die list not available").unwrap().len(), 4);
    *answer.lock().unwrap() = (200, r#"{"identifiers":["fair","new"]}"#);
    let page = page().await;
    assert!(!page.contains(r#"id="notice""#) && page.contains(r#"<option value="new">"#));
}

#[tokio::test]
async fn page_shows_the_last_list_at_once_while_the_breaker_of_die_service_is_open() {
    let (calls, failing) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicBool::new(false)));
    let (counted, fails) = (calls.clone(), failing.clone());
    let dice = async move || {
        counted.fetch_add(1, Ordering::Relaxed);
        let status = if fails.load(Ordering::Relaxed) { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK };
        (status, r#"{"identifiers":["fair"]}"#)
    };
    let die_service = serve(Router::new().route("/dice", route(dice))).await;
    let flags = ["--breaker-failures=2", "--breaker-open-ms=300"];
    let service = start_alone(NOWHERE, &die_service, &flags).await;
    let page = async || get_text(&service, "/").await.1;
    let state = || service.metric(r#"circuit_breaker_state{target="die-service"}"#);

    assert!(!page().await.contains(r#"id="notice""#));
    failing.store(true, Ordering::Relaxed);
    for _ in 0..3 {
        let page = page().await;
        assert!(page.contains(r#"id="notice""#) && page.contains(r#"<option value="fair">"#), "{page}");
    }
    assert_eq!((state(), calls.load(Ordering::Relaxed)), (Some(2.0), 3), "the third failing page made no request");
    assert_eq!(service.metric(r#"circuit_breaker_state{target="dice-roller"}"#), Some(0.0));
    let lines = service.lines_with("Die list not available").unwrap();
    assert_eq!(lines[2]["error"], "the circuit breaker is open");

    failing.store(false, Ordering::Relaxed);
    let began = Instant::now();
    while page().await.contains(r#"id="notice""#) {
        assert!(began.elapsed() < Duration::from_secs(5), "it stays open");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(state(), Some(0.0));
}

#[tokio::test]
async fn a_page_comes_although_die_service_hangs() {
    let hanging = Router::new().route("/dice", route(async || std::future::pending::<()>().await));
    let service = start_alone(NOWHERE, &serve(hanging).await, &[]).await;
    let (status, page) = get_text(&service, "/").await;
    assert_eq!(status, 200);
    assert!(element(&page, "notice").contains("no die is known"), "{page}");
    assert!(
        page.contains(r#"<select id="die" name="die" disabled>"#) && page.contains(r#"<button id="roll" disabled>"#)
    );
    let server = child(&service, None, "GET /").await;
    assert_eq!(attribute(&child(&service, Some(&server), "GET").await, "error.type"), "timeout");
    assert_eq!(service.metric(r#"circuit_breaker_state{target="dice-roller"}"#), Some(0.0));
}

#[tokio::test]
async fn die_service_has_one_second() {
    let limit_as_name = |headers: HeaderMap| {
        let limit = headers["x-request-timeout-ms"].to_str().unwrap();
        std::future::ready(format!(r#"{{"identifiers":["{limit}"]}}"#))
    };
    let die_service = serve(Router::new().route("/dice", route(limit_as_name))).await;
    let service = start_alone(NOWHERE, &die_service, &[]).await;
    assert!(get_text(&service, "/").await.1.contains(r#"<option value="1000">"#));
}

#[tokio::test]
async fn it_does_not_matter_which_service_starts_first() {
    let reserved = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = reserved.local_addr().unwrap();
    drop(reserved);
    let config = config(NOWHERE, &format!("http://{address}"), &[]);
    let service = TestService::start("frontend", &[], async |service| {
        let state = AppState::new(&config, service)?;
        #[allow(clippy::disallowed_methods)] // as `run` does it
        tokio::spawn(state.fetch_dice());
        Ok(app(state, service))
    })
    .await;
    eventually("a first try", || service.lines_with("Die list not available").unwrap().pop()).await;

    let listener = TcpListener::bind(address).await.unwrap();
    let dice = Router::new().route("/dice", route(async || r#"{"identifiers":["late"]}"#));
    #[allow(clippy::disallowed_methods)] // a stub has no spans
    tokio::spawn(async move { axum::serve(listener, dice).await });
    let zero = r#"frontend_requests_total{die_type="late",status="received"}"#;
    eventually("the list", || (service.metric(zero) == Some(0.0)).then_some(())).await;
}

#[tokio::test]
async fn assets_are_cached_for_good_and_leave_no_signal() {
    let System { frontend, upstreams: _running } = System::quick().await;
    let (_, page) = get_text(&frontend, "/").await;
    let assets: Vec<&str> = page.split('"').filter(|part| part.starts_with("/assets/")).collect();
    assert_eq!(assets.len(), 3);
    let before = (frontend.lines().unwrap().len(), frontend.metrics_text().matches("handler=").count());
    for path in assets.into_iter().chain(["/favicon.ico"]) {
        let response = get(&frontend, path).await;
        assert_eq!(response.status(), 200, "{path}");
        assert!(response.headers()["cache-control"].to_str().unwrap().contains("immutable"));
        let content_type = response.headers()["content-type"].to_str().unwrap().to_owned();
        assert!(
            ["text/css; charset=utf-8", "text/javascript; charset=utf-8", "image/svg+xml"].contains(&&*content_type)
        );
        assert!(!response.headers().contains_key("traceresponse"));
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(frontend.spans().len(), 2, "those of the page");
    assert_eq!((frontend.lines().unwrap().len(), frontend.metrics_text().matches("handler=").count()), before);
}
