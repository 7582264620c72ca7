//! More than the limits allow: refused at once, counted, and without delay for others.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use reqwest::blocking::Client;

use test_support::{eventually, http, raw::Connection};

use crate::common::service::{NO_EXPORT, Service};
use crate::load::{Load, Manner};
use crate::services::Services;
use crate::{bound, figure};

#[test]
fn full_queue_refuses_at_once_and_empties_again() {
    let die_service = Service::start("die-service", &[NO_EXPORT]);
    let limits = [("MAX_CONCURRENT_ROLLS", "2"), ("MAX_QUEUED_ROLLS", "3"), ("ROLL_DELAY_MAX_MS", "60000")];
    let own = [("DIE_SERVICE_URL", &*die_service.url), ("ROLL_SEED", "1"), NO_EXPORT];
    let service = Service::start("dice-roller", &[own, limits].concat());

    let mut clients: Vec<_> = (0..5).map(|_| Connection::open(&service.url).unwrap()).collect();
    clients.iter_mut().for_each(|client| client.send(b"GET /roll?die=fair HTTP/1.1\r\nhost: x\r\n\r\n").unwrap());
    eventually("three rolls that wait", || (service.metric("async_rolls_queued") == 3.0).then_some(()));

    // Also while die-service does not respond.
    die_service.freeze();
    let (mut took, mut healthy) = (Vec::new(), Vec::new());
    for target in ["/roll?die=fair", "/roll-async?die=fair&times=1", "/roll-async?die=fair&times=20"].repeat(10) {
        let timed = |target| {
            let sent = Instant::now();
            let reply = Connection::open(&service.url).and_then(|mut client| client.get(target, "")).unwrap();
            (reply, sent.elapsed())
        };
        healthy.push(timed("/health").1);
        let (reply, elapsed) = timed(target);
        took.push(elapsed);
        assert_eq!((reply.status, reply.header("retry-after")), (429, Some("1")), "{target}");
    }
    took.sort();
    healthy.sort();
    assert!(took[15] < bound(Duration::from_millis(100), healthy[15]), "{took:?}, {healthy:?} for /health");
    assert_eq!(service.sum("http_requests_total", "4xx"), 30.0);
    die_service.resume();

    drop(clients);
    eventually("an empty queue", || (service.metric("async_rolls_queued") == 0.0).then_some(()));
    eventually("the five counted as cancelled", || (service.sum("http_requests_total", "4xx") == 35.0).then_some(()));
    let mut client = Connection::open(&service.url).unwrap();
    client.send(b"GET /roll-async?die=fair&times=5 HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    eventually("all places are free again", || (service.metric("async_rolls_queued") == 3.0).then_some(()));
    figure(&format!(
        "queue of rolls full: 30 of 30 requests refused with 429, p50 {:?}, die-service stopped meanwhile",
        took[15]
    ));
}

#[test]
fn concurrent_rolls_stay_within_limit() {
    let die_service = Service::start("die-service", &[NO_EXPORT]);
    let own = [("DIE_SERVICE_URL", &*die_service.url), ("MAX_CONCURRENT_ROLLS", "3"), ("ROLL_DELAY_MAX_MS", "50")];
    let service = Service::start("dice-roller", &[&own[..], &[NO_EXPORT]].concat());
    let started = Instant::now();
    let load = Load::start(
        &service.url,
        "/roll-async?die=fair&times=5",
        Manner { clients: 4, pause: Duration::ZERO, fresh: false },
    );
    sleep(Duration::from_secs(2));
    let tally = load.stop();
    let elapsed = started.elapsed().as_secs_f64();
    assert_eq!(tally.count(200), tally.responses.len(), "{}", tally.statuses());
    let (rolls, work) =
        (service.sum("roll_duration_seconds_count", "async"), service.sum("roll_duration_seconds_sum", "async"));
    assert_eq!(rolls, tally.responses.len() as f64 * 5.0);
    let at_once = work / elapsed;
    assert!((1.5..=3.0).contains(&at_once), "{at_once} rolls at once on average");
    let waited = service.metric("async_roll_queue_seconds_count");
    assert!(waited > 0.0 && waited <= rolls);
    figure(&format!(
        "MAX_CONCURRENT_ROLLS=3 with 20 wanted: {at_once:.2} rolls at once on average, {waited} of {rolls} waited"
    ));
}

/// A deadline of the caller that passes is no failure of the upstream.
#[test]
fn short_deadlines_open_no_breaker() {
    let services = Services::start();
    let mut statuses = [0; 2];
    for service in [&services.dice_roller, &services.frontend] {
        std::thread::scope(|threads| {
            let hurried = |milliseconds: u32| {
                let mut client = Connection::open(&service.url).unwrap();
                let header = format!("x-request-timeout-ms: {milliseconds}\r\n");
                (0..100).map(|_| client.get("/roll?die=fair", &header).unwrap().status).collect::<Vec<_>>()
            };
            let clients: Vec<_> = (0..12).map(|number| threads.spawn(move || hurried(number % 3))).collect();
            for status in clients.into_iter().flat_map(|client| client.join().unwrap()) {
                assert!(matches!(status, 200 | 504), "{status}");
                statuses[usize::from(status == 504)] += 1;
            }
        });
        assert_eq!(service.get("/roll?die=fair").status, 200);
        assert_eq!(service.sum("circuit_breaker_transitions_total", "open"), 0.0);
    }
    assert!(statuses[1] > 100, "hardly anybody was in a hurry");
    figure(&format!(
        "2400 requests that gave 0 to 2 ms: {} × 200, {} × 504, the breakers stayed closed",
        statuses[0], statuses[1]
    ));
}

#[test]
fn rate_limit_of_one_address_spares_another() {
    let (die_service, own) =
        (Service::start("die-service", &[NO_EXPORT]), [NO_EXPORT, ("RATE_LIMIT_PER_SECOND", "20")]);
    let behind = [("DIE_SERVICE_URL", &*die_service.url), ("ROLL_DELAY_MAX_MS", "0"), NO_EXPORT];
    let dice_roller = Service::start("dice-roller", &behind);
    let urls = [("DIE_SERVICE_URL", &*die_service.url), ("DICE_ROLLER_URL", &*dice_roller.url)];
    let frontend = Service::start("frontend", &[urls, own].concat());
    let url = format!("{}/roll?die=fair", frontend.url);

    let _ = http::client(); // TLS has an implementation from here on
    let from = |last: u8| {
        let address = IpAddr::V4(Ipv4Addr::new(127, 0, 0, last));
        Client::builder().no_proxy().local_address(address).build().unwrap()
    };
    let (greedy, modest) = (from(2), from(1));
    let stop = Arc::new(AtomicBool::new(false));
    let started = Instant::now();
    let flood: Vec<_> = (0..4)
        .map(|_| {
            let (client, url, stop) = (greedy.clone(), url.clone(), stop.clone());
            spawn(move || {
                let (mut granted, mut refused) = (0, 0);
                while !stop.load(Ordering::Relaxed) {
                    match client.get(&url).send().unwrap().status().as_u16() {
                        200 => granted += 1,
                        429 => refused += 1,
                        other => panic!("{other}"),
                    }
                }
                (granted, refused)
            })
        })
        .collect();
    for _ in 0..20 {
        assert_eq!(modest.get(&url).send().unwrap().status(), 200, "the other address is not refused");
        sleep(Duration::from_millis(100));
    }
    stop.store(true, Ordering::Relaxed);
    let counts: Vec<(u32, u32)> = flood.into_iter().map(|client| client.join().unwrap()).collect();
    let seconds = started.elapsed().as_secs_f64();
    let (granted, refused) = counts.iter().fold((0, 0), |sum, each| (sum.0 + each.0, sum.1 + each.1));
    assert!(refused > 0, "no flood");
    assert!(f64::from(granted) <= 20.0 * (seconds + 1.0), "{granted} in {seconds} s");
    assert_eq!(frontend.sum("http_requests_total", "4xx"), f64::from(refused));
    assert_eq!(frontend.sum("http_requests_total", "2xx"), f64::from(granted + 20));
    figure(&format!(
        "RATE_LIMIT_PER_SECOND=20, one address floods for {seconds:.1} s: {granted} granted, {refused} refused; the other: 20 of 20 granted"
    ));
}

#[test]
fn batch_costs_as_much_of_the_rate_limit_as_its_rolls() {
    let (die_service, own) =
        (Service::start("die-service", &[NO_EXPORT]), [NO_EXPORT, ("RATE_LIMIT_PER_SECOND", "20")]);
    let behind = [("DIE_SERVICE_URL", &*die_service.url), ("ROLL_DELAY_MAX_MS", "0"), NO_EXPORT];
    let dice_roller = Service::start("dice-roller", &behind);
    let urls = [("DIE_SERVICE_URL", &*die_service.url), ("DICE_ROLLER_URL", &*dice_roller.url)];
    let frontend = Service::start("frontend", &[urls, own].concat());

    let (mut granted, mut refused, started) = (0, 0, Instant::now());
    while granted < 60 {
        let reply = frontend.get("/roll-async?die=fair&times=20");
        match reply.status {
            200 => granted += 20,
            429 => {
                refused += 1;
                assert_eq!(reply.header("retry-after"), Some("1"));
                sleep(Duration::from_secs(1)); // as it says
                granted += 20;
                assert_eq!(frontend.get("/roll-async?die=fair&times=20").status, 200, "Retry-After was too short");
            }
            other => panic!("{other}"),
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    assert!(refused > 0 && 60.0 <= 20.0 * (seconds + 1.0), "60 rolls in {seconds} s");
    assert_eq!(frontend.get("/roll-async?die=fair&times=20").status, 429, "the bucket is empty");
    figure(&format!("RATE_LIMIT_PER_SECOND=20: 3 batches of 20 rolls granted in {seconds:.1} s, {refused} refused"));
}
