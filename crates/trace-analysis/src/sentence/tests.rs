//! What is said of traces with a known course.

use crate::span::{Kind, Span};
use crate::testing::{MS, any_trace, failed, named, of, span, with};
use crate::{Report, Tree};

fn say(spans: Vec<Span>) -> String {
    Report::of(&Tree::new(spans)).sentence
}

fn server(service: &str, name: &str, span: Span) -> Span {
    named(name, of(service, Kind::Server, span))
}

fn client(service: &str, span: Span) -> Span {
    named("GET", of(service, Kind::Client, span))
}

/// Ten rolls below span 1, at the same time.
fn batch() -> Vec<Span> {
    let mut spans = vec![server("dice-roller", "GET /roll-async", span(1, 0, 0, 961 * MS))];
    for (n, length) in (2..).zip([540, 300, 700, 500, 420, 610, 80, 960, 770, 520]) {
        let roll = named(&format!("async_roll_{}", n - 2), span(n, 1, 0, length * MS));
        spans.push(of("dice-roller", Kind::Internal, roll));
    }
    spans
}

const GAIN: &str = "10 rolls took 0.96 s; one after the other they would have taken 5.4 s: 5.6 times faster";
const SHARE: &str = "async_roll_7 of dice-roller took 100 % of the 0.96 s.";

#[test]
fn batch_says_its_gain_before_its_slowest_roll() {
    assert_eq!(say(batch()), format!("{GAIN}. {SHARE}"));
}

#[test]
fn failed_rolls_of_a_batch_are_the_cause_and_come_first() {
    let mut spans = batch();
    spans[3] = failed("Die 'risky' failed!", spans[3].clone());
    spans[4] = failed("Die 'risky' failed!", spans[4].clone());
    assert_eq!(
        say(spans.clone()),
        format!("{GAIN}. {SHARE} 2 of 10 rolls failed, which was handled: Die 'risky' failed.")
    );
    spans[0] = failed("Async roll batch failed: rolls 2, 3 of 10", spans[0].clone());
    assert_eq!(
        say(spans),
        format!(
            "2 of 10 rolls failed: Die 'risky' failed; one span above them failed because of that. {GAIN}; {SHARE}"
        )
    );
}

#[test]
fn rolls_one_after_the_other_gain_nothing_and_say_what_they_would_take_together() {
    let mut spans = vec![server("d", "GET /roll-async", span(1, 0, 0, 1400 * MS))];
    for (n, (from, to)) in (2..).zip([(0, 100), (100, 200), (200, 300), (300, 1400)]) {
        spans.push(named(&format!("roll_{}", n - 2), of("d", Kind::Internal, span(n, 1, from * MS, to * MS))));
    }
    assert_eq!(
        say(spans),
        "roll_3 of d took 79 % of the 1.4 s. 4 rolls ran one after the other and took 1.4 s (together at least 1.1 s)."
    );
}

#[test]
fn waves_say_their_width() {
    let mut spans = vec![server("d", "GET /roll-async", span(1, 0, 0, 1000 * MS))];
    for (n, (from, to)) in (2..).zip([(0, 400), (0, 500), (500, 900), (500, 1000)]) {
        spans.push(named(&format!("roll_{}", n - 2), of("d", Kind::Internal, span(n, 1, from * MS, to * MS))));
    }
    assert_eq!(
        say(spans),
        "4 rolls, two at a time, took 1.0 s; one after the other they would have taken 1.8 s: 1.8 times faster. \
         roll_1 of d took 50 % of the 1.0 s."
    );
}

#[test]
fn groups_after_a_large_share_are_told_without_a_gain_that_is_none() {
    let mut spans = vec![server("front", "GET /dispatch", span(1, 0, 0, 1000 * MS))];
    spans.push(named("SQL SELECT", of("mysql", Kind::Client, span(2, 1, 0, 700 * MS))));
    let redis =
        |n: u64| named("GetDriver", of("redis", Kind::Client, span(n, 1, (700 + n * 10) * MS, (710 + n * 10) * MS)));
    spans.extend((3..8).map(redis));
    for (n, (from, to)) in (10..).zip([(800, 840), (801, 900), (845, 980)]) {
        spans.push(client("front", span(n, 1, from * MS, to * MS)));
        spans.push(server("route", "GET /route", span(n + 10, n, from * MS, to * MS)));
    }
    assert_eq!(
        say(spans),
        "SQL SELECT of mysql took 70 % of the 1.0 s. \
         3 × GET /route of route ran up to two at a time and took 0.18 s; \
         5 × GetDriver of redis ran one after the other and took 50 ms (together at least 10 ms)."
    );
}

#[test]
fn single_roll_says_where_its_time_went_and_speaks_of_no_gain() {
    let roll = server("dice-roller", "GET /roll", span(3, 2, 20 * MS, 500 * MS));
    let spans = vec![
        server("frontend", "GET /roll", span(1, 0, 0, 520 * MS)),
        client("frontend", span(2, 1, 10 * MS, 510 * MS)),
        roll,
        client("dice-roller", span(4, 3, 21 * MS, 31 * MS)),
    ];
    assert_eq!(say(spans), "GET /roll of dice-roller itself took 90 % of the 0.52 s.");
    assert_eq!(say(vec![server("s", "GET /", span(1, 0, 0, 5))]), "GET / of s took 100 % of the 5 ns.");
    assert_eq!(say(vec![server("s", "GET /", span(1, 0, 5, 5))]), "GET / of s took no time that its clock shows.");
    assert_eq!(say(vec![]), "This trace has no spans.");
}

/// frontend calls dice-roller, which fails; what the last span is, is given.
fn chain(last: Span) -> Vec<Span> {
    vec![
        failed("dice-roller answered 504", server("frontend", "GET /roll", span(1, 0, 0, 2004 * MS))),
        failed("status 504", client("frontend", span(2, 1, MS, 2003 * MS))),
        failed(
            "die-service did not answer within 2000 ms. Try again",
            server("dice-roller", "GET /roll", span(3, 2, 2 * MS, 2002 * MS)),
        ),
        last,
    ]
}

#[test]
fn call_that_got_no_response_names_its_callee_and_its_limit() {
    let call = || client("dice-roller", span(4, 3, 2 * MS, 2002 * MS));
    let timed_out = |attributes: &[(&str, &str)]| failed("no response within 2000 ms", with(attributes, call()));
    let expected = "die-service did not answer within 2 s; three spans above it failed because of that. \
                    GET of dice-roller took 100 % of the 2.0 s.";
    assert_eq!(say(chain(timed_out(&[("error.type", "timeout"), ("server.address", "127.0.0.1")]))), expected);
    let mut spans = chain(timed_out(&[("error.type", "timeout"), ("server.address", "db"), ("server.port", "99")]));
    spans[2].message = "gave up".into();
    assert!(say(spans.clone()).starts_with("db:99 did not answer within 2 s; three spans"), "{}", say(spans));
    let refused = [("error.type", "connection_error"), ("peer.service", "die-service")];
    let spans = chain(failed("connection refused", with(&refused, call())));
    assert!(
        say(spans.clone()).starts_with("die-service could not be reached: connection refused; three"),
        "{}",
        say(spans)
    );
    let too_long = [("error.type", "response_too_long"), ("peer.service", "die-service")];
    let spans = chain(failed("the response is longer than 1048576 bytes", with(&too_long, call())));
    let said = say(spans);
    assert!(said.starts_with("The response of die-service was cut by a limit: the response is longer than"), "{said}");
}

#[test]
fn open_breaker_panic_and_limits_have_their_own_words() {
    let mut spans = chain(span(9, 9, 0, 0));
    spans.truncate(3);
    spans[2].attributes =
        with(&[("circuit_breaker.state", "open"), ("circuit_breaker.target", "die-service")], span(9, 0, 0, 0))
            .attributes;
    assert_eq!(
        say(spans.clone()),
        "The circuit breaker of die-service was open, so dice-roller did not call it; two spans above it failed \
         because of that. GET /roll of dice-roller took 100 % of the 2.0 s."
    );
    spans[2].attributes = vec![("error.type".into(), "panic".into())];
    assert!(
        say(spans.clone()).starts_with("GET /roll of dice-roller panicked; two spans above it failed"),
        "{}",
        say(spans)
    );
    let mut spans = chain(failed(
        "status 404",
        with(
            &[("http.response.status_code", "404"), ("peer.service", "die-service")],
            client("dice-roller", span(4, 3, 5, 9)),
        ),
    ));
    spans[0] = with(&[("http.response.status_code", "404")], Span { failed: false, ..spans[0].clone() });
    (spans[1].failed, spans[2].failed) = (false, false);
    assert!(
        say(spans.clone()).starts_with(
            "die-service answered dice-roller with 404, so frontend refused GET /roll with 404. GET /roll of"
        ),
        "{}",
        say(spans)
    );
    let limited = with(&[("http.response.status_code", "429")], server("frontend", "GET /roll", span(1, 0, 0, MS)));
    assert_eq!(
        say(vec![limited]),
        "frontend refused GET /roll because a limit was reached (429). GET /roll of frontend took 100 % of the 1.0 ms."
    );
}

#[test]
fn cancelled_batch_says_that_the_client_went_away_and_claims_no_gain() {
    let mut spans = batch();
    let cancelled = vec![("error.type".into(), "cancelled".into())];
    (spans[0].attributes, spans[8].attributes, spans[9].attributes) = (cancelled.clone(), cancelled.clone(), cancelled);
    assert_eq!(
        say(spans.clone()),
        format!(
            "The client went away after 0.96 s, so GET /roll-async of dice-roller was cancelled, and with it 2 of 10 rolls. {SHARE}"
        )
    );
    spans[0].attributes.clear();
    assert!(say(spans.clone()).ends_with("2 of 10 rolls were cancelled, as nobody waited any more."), "{}", say(spans));
}

#[test]
fn handled_failure_comes_last() {
    let spans = vec![
        server("shop", "GET /", span(1, 0, 0, 100 * MS)),
        failed("no price", named("price", span(2, 1, 10 * MS, 20 * MS))),
    ];
    assert_eq!(
        say(spans),
        "GET / of shop itself took 90 % of the 0.10 s. One failure was handled: price of s: no price."
    );
}

#[test]
fn missing_parents_and_clocks_that_disagree_are_said() {
    let spans =
        vec![server("a", "GET /", span(1, 0, 10, 100)), named("x", span(2, 1, 5, 20)), named("y", span(3, 77, 30, 40))];
    assert_eq!(
        say(spans.clone()),
        "GET / of a itself took 89 % of the 90 ns. The parent of one span is missing. \
         One span begins before its parent, so clocks disagree."
    );
    let report = Report::of_arriving(&Tree::new(spans));
    assert_eq!(report.sentence, "This trace is still arriving: three spans are here, others are missing.");
    assert!(report.critical_path.is_empty() && report.flags.arriving);
    assert_eq!((report.flags.missing_parents, report.flags.early_children), (1, 1));
}

#[test]
fn sentence_of_any_trace_names_the_largest_share_in_one_of_the_first_two() {
    use proptest::prelude::*;
    proptest!(|(spans in any_trace())| {
        let report = Report::of(&Tree::new(spans));
        let sentences: Vec<&str> = report.sentence.split(". ").collect();
        prop_assert!((1..=3).contains(&sentences.len()), "{}", report.sentence);
        if let Some(share) = report.critical_path.first() {
            let named = |sentence: &&&str| {
                sentence.contains(&format!("{} of {}", share.name, share.service)) && sentence.contains(" % of the ")
            };
            prop_assert!(sentences.iter().take(2).any(|sentence| named(&sentence)), "{}", report.sentence);
        }
        if report.groups.iter().all(|group| group.peak_concurrency == 1) && !report.sentence.contains("2 × ") {
            prop_assert!(!report.sentence.contains("3 × ") || !report.sentence.contains("faster"), "{}", report.sentence);
        }
    });
}

#[test]
fn call_without_a_span_below_it_is_said_with_where_it_goes() {
    let call = |n, host: &str, to| with(&[("server.address", host)], client("shop", span(n, 1, 10 * MS, to * MS)));
    let root = server("shop", "GET /", span(1, 0, 0, 100 * MS));
    let one = call(2, "api.example.com", 90);
    assert_eq!(say(vec![root.clone(), one.clone()]), "GET → api.example.com of shop took 80 % of the 0.10 s.");
    // To two places, or to one that has a span of its own.
    let two = vec![root.clone(), one.clone(), call(3, "db.example.com", 20)];
    assert!(say(two).ends_with("GET of shop took 80 % of the 0.10 s."));
    let below = server("api", "GET /x", span(3, 2, 11 * MS, 12 * MS));
    assert_eq!(say(vec![root, one, below]), "GET of shop itself took 79 % of the 0.10 s.");
}
