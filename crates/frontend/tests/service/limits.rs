//! `RATE_LIMIT_PER_SECOND`: one client cannot starve the others.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use serde_json::Value;
use test_support::service::TestService;

use crate::common::{System, get_text};

/// Sends a request from `address`, which on Linux may be any of 127.0.0.0/8.
async fn get_from(service: &TestService, address: [u8; 4], path: &str) -> reqwest::Response {
    let client = reqwest::Client::builder().local_address(IpAddr::from(address)).build().unwrap();
    client.get(format!("{}{path}", service.url)).send().await.unwrap()
}

#[tokio::test]
async fn beyond_the_limit_is_429_for_that_client_alone() {
    let System { frontend, upstreams: _running } =
        System::start(&["--rate-limit-per-second=2"], &["--roll-delay-max-ms=0"]).await;
    let mut refused = None;
    for _ in 0..20 {
        let response = get_from(&frontend, [127, 0, 0, 1], "/roll?die=fair").await;
        if response.status() == 429 {
            refused = Some(response);
            break;
        }
    }
    let refused = refused.expect("twenty in a row are more than two a second");
    assert_eq!(
        (&refused.headers()["retry-after"], &refused.headers()["content-type"]),
        (&"1".parse().unwrap(), &"application/problem+json".parse().unwrap())
    );
    let body: Value = refused.json().await.unwrap();
    assert_eq!(body["detail"], "Too many requests from this address; allowed: 2 rolls a second");
    assert_eq!(frontend.lines_with("Request refused").unwrap()[0]["level"], "WARNING");

    assert_eq!(get_from(&frontend, [127, 0, 0, 2], "/roll?die=fair").await.status(), 200, "another client");
    let began = Instant::now();
    while get_from(&frontend, [127, 0, 0, 1], "/roll?die=fair").await.status() == 429 {
        assert!(began.elapsed() < Duration::from_secs(5), "it never comes back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn page_beyond_the_limit_says_so_and_makes_no_request() {
    let System { frontend, upstreams: _running } =
        System::start(&["--rate-limit-per-second=1"], &["--roll-delay-max-ms=0"]).await;
    let mut pages = vec![get_text(&frontend, "/?die=fair").await];
    while pages.last().unwrap().0 == 200 {
        assert!(pages.len() < 20);
        pages.push(get_text(&frontend, "/?die=fair").await);
    }
    let (status, page) = pages.pop().unwrap();
    assert_eq!(status, 429);
    assert!(page.contains("Too many requests from this address") && page.contains(r#"<option value="fair" selected>"#));
    let refused = frontend.lines_with("Request refused").unwrap().remove(0);
    let trace: Vec<_> = frontend
        .spans()
        .into_iter()
        .filter(|span| refused["trace_id"] == span.span_context.trace_id().to_string())
        .collect();
    assert_eq!(trace.iter().map(|span| &*span.name).collect::<Vec<_>>(), ["GET /"]);
}

#[tokio::test]
async fn operation_is_not_limited_and_without_a_limit_nothing_is() {
    let System { frontend, upstreams: _running } =
        System::start(&["--rate-limit-per-second=1"], &["--roll-delay-max-ms=0"]).await;
    for _ in 0..10 {
        assert_eq!(get_text(&frontend, "/metrics").await.0, 200);
        assert_eq!(get_text(&frontend, "/health").await.0, 200);
    }
    drop(frontend);
    let System { frontend, upstreams: _running } = System::quick().await;
    for _ in 0..50 {
        assert_eq!(get_text(&frontend, "/roll?die=fair").await.0, 200);
    }
}

/// Repeats a request that is allowed once within `refill`, until it is refused; returns that response. On a busy machine the
/// next one may come later, and is rightly allowed.
pub(crate) async fn refused_unless_later(frontend: &TestService, target: &str, refill: Duration) -> String {
    let mut sent = Instant::now();
    assert_eq!(get_text(frontend, target).await.0, 200);
    for _ in 0..20 {
        let before = std::mem::replace(&mut sent, Instant::now());
        let (status, text) = get_text(frontend, target).await;
        if status == 429 {
            return text;
        }
        assert!(before.elapsed() > refill, "too early: {status} {text}");
    }
    panic!("no two requests within {refill:?}");
}

#[tokio::test]
async fn batch_counts_as_all_its_rolls_also_in_the_page() {
    for batch in ["/roll-async?die=fair&times=19", "/?die=fair&async=on&times=19"] {
        let System { frontend, upstreams: _running } =
            System::start(&["--rate-limit-per-second=20"], &["--roll-delay-max-ms=0"]).await;
        // One is left of 20 a second, so 18 more are needed.
        let text = refused_unless_later(&frontend, batch, Duration::from_millis(900)).await;
        assert!(text.contains("allowed: 20 rolls a second"), "{text}");
    }
}

#[tokio::test]
async fn batch_of_more_rolls_than_the_limit_is_429_that_says_how_many_and_costs_nothing() {
    let System { frontend, upstreams: _running } =
        System::start(&["--rate-limit-per-second=5"], &["--roll-delay-max-ms=0"]).await;
    for _ in 0..5 {
        let response = get_from(&frontend, [127, 0, 0, 1], "/roll-async?die=fair&times=6").await;
        assert_eq!((response.status().as_u16(), response.headers().get("retry-after")), (429, None));
        let body: Value = response.json().await.unwrap();
        let detail =
            "This request counts as 6 rolls; allowed from one address: 5 a second, so at most 5 in one request";
        assert_eq!(body["detail"], detail);
    }
    assert_eq!(get_text(&frontend, "/roll-async?die=fair&times=5").await.0, 200);
}
