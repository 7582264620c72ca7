//! "Roll both ways" for a browser without script: one page with both pictures.

use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, Uri};
use axum::routing::get as route;
use opentelemetry_sdk::trace::SpanData;
use telemetry::testing::attribute;

use crate::common::{NOWHERE, System, eventually, get, get_text, serve, start_alone};
use crate::limits::refused_unless_later;
use crate::page::element;

/// One row of a picture: where its bar begins and how wide it is, in percent of the axis, and what was rolled.
#[derive(Debug)]
struct Bar {
    left: f64,
    width: f64,
    face: String,
    failed: bool,
}

/// The rows below the element of that id.
fn bars(page: &str, id: &str) -> Vec<Bar> {
    let (_, picture) = page.split_once(&format!(r#"id="{id}""#)).unwrap();
    let rows = picture.split_once("</ol>").unwrap().0.split(r#"<li class="bar"#).skip(1);
    let between =
        |row: &str, from: &str, to: &str| row.split_once(from).unwrap().1.split_once(to).unwrap().0.to_owned();
    rows.map(|row| Bar {
        left: between(row, r#"<rect x=""#, "%").parse().unwrap(),
        width: between(row, r#" width=""#, "%").parse().unwrap(),
        face: between(row, r#"<span class="face">"#, "<"),
        failed: row.starts_with(" failed"),
    })
    .collect()
}

#[tokio::test]
async fn page_without_script_draws_the_same_rolls_both_ways_on_one_axis() {
    let System { frontend, upstreams } = System::start(&[], &["--roll-delay-max-ms=60"]).await;
    let (status, page) = get_text(&frontend, "/?die=extreme&times=12&both=on&concurrency=").await;
    assert_eq!((status, element(&page, "both-caption")), (200, "extreme, rolled 12 times, both ways"));
    let (at_once, sequential) = (bars(&page, "at-once"), bars(&page, "sequential"));
    let faces = |bars: &[Bar]| bars.iter().map(|bar| bar.face.clone()).collect::<Vec<_>>();
    assert_eq!((at_once.len(), faces(&at_once)), (12, faces(&sequential)));
    for bars in [&at_once, &sequential] {
        assert!(
            bars.iter().all(|bar| bar.failed == (bar.face == "failed") && bar.left + bar.width <= 100.6),
            "{bars:?}"
        );
    }
    // Each begins where the one before it ended; at once all begin before the first one has ended. A bar has a width of
    // at least half a percent.
    for pair in sequential.windows(2) {
        assert!(pair[1].left >= pair[0].left + pair[0].width - 0.6, "{sequential:?}");
    }
    assert!(at_once.iter().all(|bar| bar.left < sequential[11].left / 4.0), "{at_once:?}");
    let gain = element(&page, "gain");
    assert!(gain.starts_with("The same 12 rolls: one after the other ") && gain.ends_with(" times faster."), "{gain}");
    assert!(page.contains(r#"<div id="rolled" hidden>"#));
    assert!(!page.contains(" style="));

    let batches = |spans: Vec<SpanData>| -> Vec<(String, String)> {
        let rolled = spans.iter().filter(|span| span.name == "GET /roll-async");
        let id = |span: &SpanData| format!("{}-{}", span.span_context.trace_id(), span.span_context.span_id());
        rolled.map(|span| (attribute(span, "url.query"), id(span))).collect()
    };
    let mut batches = eventually("two batches", || Some(batches(upstreams.spans())).filter(|all| all.len() == 2)).await;
    batches.sort_by_key(|(query, _)| query.len());
    let (queries, spans): (Vec<String>, Vec<String>) = batches.into_iter().unzip();
    let link = format!(r#"<a id="compare" href="http://127.0.0.1:3200/compare/{}/{}">"#, spans[1], spans[0]);
    assert!(page.contains(&link), "first one after the other: {link}");
    let same = queries[0].strip_suffix("&details=true").unwrap();
    let (_, seed) = same.rsplit_once("&seed=").unwrap();
    assert_eq!(same, format!("die=extreme&times=12&strategy=best-effort&seed={seed}"));
    assert!(seed.parse::<u64>().unwrap() < 1 << 53);
    assert_eq!(queries[1], format!("die=extreme&times=12&strategy=best-effort&concurrency=1&seed={seed}&details=true"));
}

#[tokio::test]
async fn both_ways_cost_the_rolls_of_both() {
    let System { frontend, upstreams: _running } =
        System::start(&["--rate-limit-per-second=10"], &["--roll-delay-max-ms=0"]).await;
    let (status, page) = get_text(&frontend, "/?die=fair&times=6&both=on").await;
    assert_eq!(status, 429);
    assert!(element(&page, "error").starts_with("This request counts as 12 rolls"), "{page}");
    assert!(page.contains(r#"<section id="both-ways" aria-label="Both ways" hidden>"#));
    refused_unless_later(&frontend, "/?die=fair&times=5&both=on", Duration::from_secs(1)).await;
}

#[tokio::test]
async fn error_of_both_ways_is_said_once_with_its_status() {
    let System { frontend, upstreams: _running } = System::quick().await;
    for (query, status, text) in [
        ("die=fair&times=0&both=on", 422, "Parameter &#39;times&#39; is &#39;0&#39;"),
        ("die=fair&both=on", 422, "Parameter &#39;times&#39; is missing; allowed: a whole number from 1 to 20"),
        ("die=fair&times=3&both=perhaps", 422, "allowed: on, off"),
        ("die=nope&times=3&both=on", 404, "Die &#39;nope&#39; not found"),
        ("die=broken&times=3&both=on", 500, "Async roll batch failed: rolls 0, 1, 2 of 3 failed"),
    ] {
        let (given, page) = get_text(&frontend, &format!("/?{query}")).await;
        assert_eq!(given, status, "{query}");
        assert!(element(&page, "error").contains(text) && page.matches(text).count() == 1, "{query}: {page}");
        assert!(bars(&page, "at-once").is_empty() && page.contains(r#"aria-label="Both ways" hidden"#));
    }
    let alone = start_alone(NOWHERE, NOWHERE, &[]).await;
    let response = get(&alone, "/?die=fair&times=3&both=on").await;
    assert_eq!((response.status().as_u16(), &response.headers()["retry-after"]), (503, &"1".parse().unwrap()));
    assert!(element(&response.text().await.unwrap(), "error").starts_with("dice-roller cannot be reached"));
}

#[tokio::test]
async fn page_shows_the_way_that_could_be_rolled_and_why_the_other_could_not() {
    let batch = r#"{"total":3,"rolls":[3],"count":1,"details":[{"index":0,"start":0,"seconds":0.5,"finished":1}]}"#;
    let no_details = r#"{"total":3,"rolls":[3],"count":1}"#;
    for (answer, expected) in [
        ((503, r#"{"title":"x","status":503,"detail":"<b>too much</b>"}"#), "&#60;b&#62;too much&#60;/b&#62;"),
        ((200, no_details), "dice-roller did not send the times of the rolls"),
    ] {
        let roll = move |uri: Uri| {
            let (status, body) = if uri.query().unwrap().contains("concurrency=1") { answer } else { (200, batch) };
            std::future::ready((StatusCode::from_u16(status).unwrap(), body))
        };
        let roller = serve(Router::new().route("/roll-async", route(roll))).await;
        let service = start_alone(&roller, NOWHERE, &[]).await;
        let (status, page) = get_text(&service, "/?die=fair&times=1&both=on").await;
        assert_eq!(status, answer.0, "{page}");
        assert_eq!((bars(&page, "at-once").len(), bars(&page, "sequential").len()), (1, 0));
        let (_, sequential) = page.split_once(r#"id="sequential""#).unwrap();
        assert!(sequential.contains(&format!(r#"<p class="problem" role="alert">{expected}</p>"#)), "{sequential}");
        assert!(element(&page, "gain").starts_with("Only one of the two ways could be rolled"));
    }
}

#[tokio::test]
async fn comparison_and_glossary_are_linked_where_the_viewer_is() {
    let service = start_alone(NOWHERE, NOWHERE, &[]).await;
    let page = get_text(&service, "/").await.1;
    assert!(page.contains(r#" data-compare-url="http://127.0.0.1:3200/compare/""#));
    assert!(page.contains(r#"<a href="http://127.0.0.1:3200/glossary">"#));
    let template = "http://localhost:3000/explore?panes={trace_id}";
    let grafana = start_alone(NOWHERE, NOWHERE, &["--trace-url-template", template]).await;
    let page = get_text(&grafana, "/").await.1;
    assert!(!page.contains("data-compare-url") && !page.contains("/glossary"));
}
