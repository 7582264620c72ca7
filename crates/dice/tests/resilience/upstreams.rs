//! A service whose upstream is killed, stopped, cut off, or not there yet: dice-roller without die-service, and
//! frontend without dice-roller. Both have the same parts, so both get the same faults.

use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use tempo_client::{StatusCode, Trace};

use test_support::{Response, eventually, http, raw::Connection};

use crate::common::backend::{Backend, One};
use crate::common::service::{NO_EXPORT, Service};
use crate::load::{Load, Manner, STEADY};
use crate::proxy::{Line, Proxy};
use crate::{bound, figure};

const TARGET: &str = "/roll?die=fair";
/// How long a breaker pauses before its trial call.
const PAUSE: Duration = Duration::from_secs(1);
/// What it may take beyond that until a request succeeds.
const TRIAL: Duration = Duration::from_millis(250);

/// A service and the upstream that it calls.
struct Pair {
    caller: Service,
    callee: Service,
    target: &'static str,
    /// The caller's counter of calls.
    calls: &'static str,
    /// How long the caller waits for a response.
    limit: Duration,
    backend: Backend,
    _die_service: Option<Service>,
}

fn dice_roller_and_die_service() -> Pair {
    let (backend, callee) = (Backend::start(), Service::start("die-service", &[NO_EXPORT]));
    let caller = dice_roller(&callee.url, &exporting(&backend));
    let (target, calls, limit) = ("die-service", "die_service_requests_total", Duration::from_secs(2));
    Pair { caller, callee, target, calls, limit, backend, _die_service: None }
}

fn frontend_and_dice_roller() -> Pair {
    let (backend, die_service) = (Backend::start(), Service::start("die-service", &[NO_EXPORT]));
    let callee = dice_roller(&die_service.url, &[NO_EXPORT]);
    let caller = frontend(&die_service.url, &callee.url, &exporting(&backend));
    let (target, calls, limit) = ("dice-roller", "backend_requests_total", Duration::from_secs(5));
    Pair { caller, callee, target, calls, limit, backend, _die_service: Some(die_service) }
}

fn exporting(backend: &Backend) -> [(&str, &str); 2] {
    [("OTEL_EXPORTER_OTLP_ENDPOINT", &backend.otlp), ("OTEL_BSP_SCHEDULE_DELAY", "50")]
}

fn dice_roller(die_service: &str, more: &[(&str, &str)]) -> Service {
    Service::start("dice-roller", &[&[("DIE_SERVICE_URL", die_service), ("ROLL_DELAY_MAX_MS", "0")], more].concat())
}

fn frontend(die_service: &str, dice_roller: &str, more: &[(&str, &str)]) -> Service {
    Service::start("frontend", &[&[("DIE_SERVICE_URL", die_service), ("DICE_ROLLER_URL", dice_roller)], more].concat())
}

impl Pair {
    /// Sends a request to the caller, within the trace of that number.
    fn send(&self, trace: u32) -> Response {
        let header = format!("traceparent: 00-{trace:032x}-b7ad6b7169203331-01\r\n");
        Connection::open(&self.caller.url).and_then(|mut connection| connection.get(TARGET, &header)).unwrap()
    }

    fn trace(&self, trace: u32, spans: usize) -> Trace {
        self.backend.trace(&format!("{trace:032x}"), spans)
    }

    fn breaker(&self) -> f64 {
        self.caller.metric(&format!(r#"circuit_breaker_state{{target="{}"}}"#, self.target))
    }

    /// Responses of a status class, as the caller counts them.
    fn counted(&self, class: &str) -> usize {
        self.caller.metric(&format!(r#"http_requests_total{{handler="/roll",method="GET",status="{class}"}}"#)) as usize
    }

    /// How many of its responses took less than 5 ms, and how many there were.
    fn quick(&self) -> (f64, f64) {
        let samples = http::metrics(&self.caller.url);
        let sample = |name: &str, more: &str| {
            let labels = format!(r#"{{handler="/roll",method="GET"{more}}}"#);
            samples[&format!("http_request_duration_seconds_{name}{labels}")]
        };
        (sample("bucket", r#",le="0.005""#), sample("count", ""))
    }

    /// Each change of the breaker is a line, and counted.
    fn check_transitions(&self) {
        for to in ["open", "half_open", "closed"] {
            let sample = format!(r#"circuit_breaker_transitions_total{{target="{}",to="{to}"}}"#, self.target);
            let lines = self.caller.lines_of("Circuit breaker changed");
            let lines = lines.iter().filter(|line| line["to"] == to && line["target_service"] == self.target).count();
            assert_eq!((lines as f64, lines > 0), (self.caller.metric(&sample), true), "{to}");
        }
    }
}

#[test]
fn killed_die_service_opens_breaker_and_is_used_again_after_restart() {
    killed(dice_roller_and_die_service());
}

#[test]
fn killed_dice_roller_opens_breaker_and_is_used_again_after_restart() {
    killed(frontend_and_dice_roller());
}

fn killed(mut pair: Pair) {
    let service = if pair.target == "die-service" { "dice-roller" } else { "frontend" };
    let healthy = Load::start(&pair.caller.url, TARGET, STEADY);
    sleep(Duration::from_millis(500));
    let healthy = healthy.stop();
    assert_eq!(healthy.count(200), healthy.responses.len(), "{}", healthy.statuses());
    let (before_quick, before) = pair.quick();
    let healthy_share = before_quick / before;
    pair.callee.kill();

    // Five failures in a row open the breaker; the next request makes no call.
    let statuses: Vec<_> = (11..=16).map(|trace| pair.send(trace)).map(|reply| (reply.status, retry(&reply))).collect();
    assert_eq!(statuses, [(503, Some(1)); 6]);
    assert_eq!((pair.breaker(), pair.caller.sum(pair.calls, "connection_error")), (2.0, 5.0));
    let failed = pair.trace(11, 2);
    assert_eq!(failed.one("GET", "CLIENT", service).attributes["error.type"], "connection_error");
    let server = failed.one("GET /roll", "SERVER", service);
    assert_eq!((server.status.code, &server.attributes["http.response.status_code"]), (StatusCode::Error, &503.into()));
    let opening = pair.trace(15, 2);
    let mut events = opening.spans.iter().flat_map(|span| &span.events);
    assert!(
        events.any(|event| event.name == "circuit breaker changed" && event.attributes["to"] == "open"),
        "{opening:?}"
    );
    let cut_short = pair.trace(16, 1);
    assert_eq!(cut_short.one("GET /roll", "SERVER", service).attributes["circuit_breaker.state"], "open");
    assert_eq!(cut_short.spans.len(), 1, "no call was made: {}", cut_short.tree());

    // Under traffic: quick while it is open, and back when the other side is.
    let (before_quick, before) = pair.quick();
    let load = Load::start(&pair.caller.url, TARGET, STEADY);
    sleep(Duration::from_millis(1500));
    let (quick, all) = pair.quick();
    let down = Instant::now();
    pair.callee.run();
    let back = Instant::now();
    eventually("a closed breaker", || (pair.breaker() == 0.0).then_some(()));
    sleep(Duration::from_millis(300));
    let tally = load.stop();
    let share = (quick - before_quick) / (all - before);
    // On a busy machine fewer of any responses are so quick.
    assert!(share > (healthy_share - 0.05).min(0.9), "{share} took less than 5 ms, {healthy_share} before");
    let recovery = tally.first_after(back, 200).unwrap();
    let p99 = healthy.quantile(0.99);
    assert!(recovery < PAUSE + bound(TRIAL, p99), "{recovery:?}, p99 {p99:?} before");
    let after = tally.between(back + recovery, Instant::now());
    assert_eq!(after.count(200), after.responses.len(), "{}", after.statuses());

    assert_eq!((tally.lost, tally.responses.len()), (0, tally.count(200) + tally.count(503)), "{}", tally.statuses());
    assert_eq!(pair.counted("2xx"), tally.count(200) + healthy.responses.len());
    assert_eq!(pair.counted("5xx"), tally.count(503) + 6);
    if pair.calls == "die_service_requests_total" {
        let without_die = pair.caller.sum(pair.calls, "connection_error") + pair.caller.sum(pair.calls, "circuit_open");
        assert_eq!(without_die as usize, tally.count(503) + 6);
        assert_eq!(pair.caller.sum("dice_rolls_total", "error") as usize, tally.count(503) + 6);
    }
    pair.check_transitions();
    figure(&format!(
        "{} killed under traffic: clients saw {}, none lost; while open p50 {:?}, {:.1} % under 5 ms in {service}; \
         first 200 {recovery:?} after it listened again",
        pair.target,
        tally.statuses(),
        tally.between(tally.responses[0].0, down).quantile(0.5),
        share * 100.0,
    ));
}

#[test]
fn suspended_die_service_is_a_timeout_until_it_resumes() {
    stopped(dice_roller_and_die_service());
}

#[test]
fn suspended_dice_roller_is_a_timeout_until_it_resumes() {
    stopped(frontend_and_dice_roller());
}

/// SIGSTOP: the connection is there, the upstream does nothing.
fn stopped(pair: Pair) {
    assert_eq!(pair.send(1).status, 200);
    let sent = Instant::now();
    assert_eq!(pair.send(2).status, 200);
    let healthy = sent.elapsed();
    pair.callee.freeze();
    let sent = Instant::now();
    let waiting: Vec<_> = (11..=15)
        .map(|trace| {
            let (url, header) =
                (pair.caller.url.clone(), format!("traceparent: 00-{trace:032x}-b7ad6b7169203331-01\r\n"));
            spawn(move || Connection::open(&url).and_then(|mut connection| connection.get(TARGET, &header)).unwrap())
        })
        .collect();
    for reply in waiting {
        assert_eq!(reply.join().unwrap().status, 504);
    }
    let took = sent.elapsed();
    assert!(took >= pair.limit && took < pair.limit + bound(Duration::from_secs(2), healthy), "{took:?}");
    assert_eq!((pair.send(16).status, pair.breaker()), (503, 2.0));
    assert_eq!(pair.caller.sum(pair.calls, "timeout"), 5.0);
    let trace = pair.trace(11, 2);
    let client = trace.spans.iter().find(|span| span.kind == "CLIENT").unwrap();
    assert_eq!(client.attributes["error.type"], "timeout");

    let load = Load::start(&pair.caller.url, TARGET, Manner { clients: 1, ..STEADY });
    pair.callee.resume();
    let back = Instant::now();
    eventually("a closed breaker", || (pair.breaker() == 0.0).then_some(()));
    sleep(Duration::from_millis(200));
    let tally = load.stop();
    let recovery = tally.first_after(back, 200).unwrap();
    assert!(recovery < PAUSE + bound(TRIAL, healthy), "{recovery:?}, {healthy:?} before");
    pair.check_transitions();
    figure(&format!(
        "{} stopped (SIGSTOP): five requests at once saw 504 within {took:?}, the next 503; first 200 {recovery:?} \
         after SIGCONT",
        pair.target
    ));
}

#[test]
fn failing_connection_is_counted_by_its_kind() {
    let never_open = ("BREAKER_FAILURES", "1000000");
    let die_service = Service::start("die-service", &[NO_EXPORT]);
    let to_die_service = Proxy::start(&die_service.url);
    let dice_roller = dice_roller(&to_die_service.url, &[NO_EXPORT, never_open]);
    let to_dice_roller = Proxy::start(&dice_roller.url);
    let frontend = frontend(&die_service.url, &to_dice_roller.url, &[NO_EXPORT, never_open]);

    for (caller, line, calls) in [
        (&dice_roller, &to_die_service, "die_service_requests_total"),
        (&frontend, &to_dice_roller, "backend_requests_total"),
    ] {
        let mut counted = std::collections::BTreeMap::from([("connection_error", 0.0), ("timeout", 0.0)]);
        for (fault, status, kind) in [
            (Line::Down, 503, "connection_error"),
            (Line::Breaks, 503, "connection_error"),
            (Line::Stalls, 504, "timeout"),
        ] {
            assert_eq!(caller.get(TARGET).status, 200);
            line.set(fault);
            let response = caller.get(TARGET);
            assert_eq!(response.status, status, "{fault:?}: {}", response.text());
            *counted.get_mut(kind).unwrap() += 1.0;
            for (kind, count) in &counted {
                assert_eq!(caller.sum(calls, kind), *count, "{fault:?}: {kind}");
            }
            line.set(Line::Works);
            // A kept connection may still be found ended once: that, too, is reported as what it is.
            eventually("a response over the line that works again", || {
                let works = caller.get(TARGET).status == 200;
                counted.insert("connection_error", caller.sum(calls, "connection_error"));
                works.then_some(())
            });
        }
    }
}

#[test]
fn services_may_start_in_any_order() {
    let mut die_service = Service::planned("die-service", &[NO_EXPORT]);
    let urls = [("DIE_SERVICE_URL", die_service.url.as_str()), ("ROLL_DELAY_MAX_MS", "0"), NO_EXPORT];
    let mut dice_roller = Service::planned("dice-roller", &urls);
    let frontend = frontend(&die_service.url, &dice_roller.url, &[NO_EXPORT]);
    assert_eq!(frontend.get("/ready").status, 200, "it calls no upstream");
    assert_eq!(frontend.get(TARGET).status, 503);
    let page = frontend.get("/");
    assert!(page.status == 200 && page.text().contains("die-service does not answer"), "{}", page.text());

    dice_roller.run();
    assert_eq!(dice_roller.get("/ready").status, 200);
    let without_die_service = frontend.get(TARGET);
    assert!(without_die_service.status == 503 && without_die_service.text().contains("die-service"));

    die_service.run();
    let back = Instant::now();
    eventually("a roll", || (frontend.get(TARGET).status == 200).then_some(()));
    let recovery = back.elapsed();
    let sent = Instant::now();
    assert_eq!(frontend.get(TARGET).status, 200);
    let healthy = sent.elapsed();
    assert!(recovery < PAUSE + bound(TRIAL, healthy), "{recovery:?}, {healthy:?} later");
    assert!(frontend.get("/").text().contains("extreme"), "the page has the dice now");
    figure(&format!("frontend, then dice-roller, then die-service started: first roll {recovery:?} after the last"));
}

fn retry(reply: &Response) -> Option<u32> {
    reply.header("retry-after")?.parse().ok()
}
