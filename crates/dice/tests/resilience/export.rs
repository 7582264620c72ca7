//! The receiver of telemetry is down, slow, failing, or breaks off: no request is delayed, what was lost is counted, and
//! export resumes by itself.

use std::thread::sleep;
use std::time::{Duration, Instant};

use test_support::{OtlpReceiver, eventually, http};

use crate::common::service::Service;
use crate::load::{Load, STEADY, Tally, delayed};
use crate::proxy::{Line, Proxy};
use crate::{bound, figure, long};

const EXPORTED: &str = "telemetry_spans_exported_total";
const SPANS_DROPPED: &str = "telemetry_spans_dropped_total";
const RECORDS_DROPPED: &str = "telemetry_log_records_dropped_total";

/// Small queue, short wait: a few seconds of a fault then do what a minute does with the defaults.
const SMALL: [(&str, &str); 4] = [
    ("OTEL_BSP_MAX_QUEUE_SIZE", "256"),
    ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "64"),
    ("OTEL_BSP_SCHEDULE_DELAY", "100"),
    ("OTEL_EXPORTER_OTLP_TIMEOUT", "1000"),
];

/// One request is one span and one log record.
const TARGET: &str = "/dice?identifier=fair";

#[test]
fn failing_receiver_delays_no_request_and_every_span_is_counted() {
    failing_receiver("batch");
}

#[test]
fn failing_receiver_of_the_direct_processor_delays_no_request_and_every_span_is_counted() {
    failing_receiver("direct");
}

fn failing_receiver(processor: &str) {
    // With the defaults, an export without response ends after ten seconds.
    let (each, resumes, small) = match long() {
        true => (Duration::from_secs(60), Duration::from_secs(15), &[][..]),
        false => (Duration::from_secs(3), Duration::from_secs(5), &SMALL[..]),
    };
    let collector = OtlpReceiver::start();
    let line = Proxy::start(&collector.url);
    let exporting =
        [("OTEL_EXPORTER_OTLP_ENDPOINT", &*line.url), ("OTEL_LOGS_EXPORTER", "otlp"), ("SPAN_PROCESSOR", processor)];
    let service = Service::start("die-service", &[&exporting, small].concat());
    let load = Load::start(&service.url, TARGET, STEADY);
    let started = Instant::now();
    sleep(Duration::from_secs(2));
    let memory = service.memory();

    let mut faults = Vec::new();
    for (name, fault) in
        [("down", Line::Down), ("slow", Line::Stalls), ("breaks off", Line::Breaks), ("fails", Line::Works)]
    {
        let dropped = service.sum(SPANS_DROPPED, "");
        let from = Instant::now();
        line.set(fault);
        collector.fail(fault == Line::Works);
        sleep(each);
        let to = Instant::now();
        let lost = service.sum(SPANS_DROPPED, "") - dropped;
        assert!(lost > 0.0, "{name}: nothing was lost, so nothing was tried");
        line.set(Line::Works);
        collector.fail(false);
        let exported = service.metric(EXPORTED);
        eventually("export again", || (service.metric(EXPORTED) > exported).then_some(()));
        faults.push((name, from, to, lost, to.elapsed()));
        sleep(Duration::from_secs(1));
    }
    let queue_full = service.metric(&format!("{SPANS_DROPPED}{{reason=\"queue_full\"}}"));
    assert!(queue_full > 0.0, "the queue was never full, so its bound was not tried");
    let grown = service.memory() - memory;
    let ended = Instant::now();
    let tally = load.stop();

    assert_eq!((tally.lost, tally.count(200)), (0, tally.responses.len()), "{}", tally.statuses());
    let healthy = without_fault(&tally, started, ended, &faults).quantile(0.99);
    for (name, from, to, lost, resumed) in &faults {
        let under = tally.between(*from, *to);
        let p99 = under.quantile(0.99);
        // An export waits for a second or more: a request that waited for one would stand out.
        assert!(p99 < delayed(healthy), "{name}: {p99:?}, {healthy:?} without a fault");
        assert!(*resumed < bound(resumes, healthy), "{name}: {resumed:?}");
        figure(&format!(
            "{processor}, receiver {name} for {each:?}: {} responses, all 200, p99 {p99:?} ({healthy:?} without a fault), {lost} spans \
             counted as lost, export again after {resumed:?}",
            under.responses.len(),
        ));
    }
    assert!(grown < 32.0, "{grown} MiB more");

    // Every span has left or is counted, and what was counted as exported has arrived.
    let made = tally.responses.len();
    let (spans, records) = eventually("all spans and records accounted for", || {
        let samples = http::metrics(&service.url);
        let sum =
            |name: &str| samples.iter().filter(|(sample, _)| sample.starts_with(name)).map(|(_, v)| *v as usize).sum();
        let (exported, dropped, records): (usize, usize, usize) =
            (sum(EXPORTED), sum(SPANS_DROPPED), sum(RECORDS_DROPPED));
        (exported + dropped == made && records + collector.records() >= made).then_some(((exported, dropped), records))
    });
    assert!(collector.spans() >= spans.0, "{} arrived, {} counted as exported", collector.spans(), spans.0);
    assert!(records > 0, "records are lost, and counted, like spans");
    figure(&format!(
        "{processor}, receiver failing in four ways under load: {made} spans made = {} exported + {} dropped; {grown:.1} MiB more memory",
        spans.0, spans.1
    ));
}

#[test]
fn receiver_killed_at_random_leaves_exact_sums() {
    for processor in ["batch", "direct"] {
        let collector = OtlpReceiver::start();
        let line = Proxy::start(&collector.url);
        let exporting = [("OTEL_EXPORTER_OTLP_ENDPOINT", &*line.url), ("SPAN_PROCESSOR", processor)];
        let mut service = Service::start("die-service", &[&exporting[..], &SMALL].concat());
        let load = Load::start(&service.url, TARGET, STEADY);
        let seed = std::process::id();
        let mut random = seed;
        for round in 0..30 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            line.set([Line::Down, Line::Works, Line::Breaks][round % 3]);
            sleep(Duration::from_millis(u64::from(random >> 24)));
        }
        line.set(Line::Works);
        let made = load.stop().responses.len();
        let count = |name: &str| service.sum(name, "") as usize;
        let (exported, dropped) = eventually("all spans accounted for", || {
            let counts = (count(EXPORTED), count(SPANS_DROPPED));
            (counts.0 + counts.1 == made).then_some(counts)
        });
        assert!(exported > 0 && dropped > 0, "{processor}, seed {seed}: {exported} exported, {dropped} dropped");
        assert!(collector.spans() >= exported, "{processor}, seed {seed}: {} arrived", collector.spans());
        service.stop();
        figure(&format!(
            "{processor}, receiver killed at random: {made} made = {exported} exported + {dropped} dropped"
        ));
    }
}

/// As docker-compose.yml and the images have them.
const COMPOSE: [(&str, &str); 7] = [
    ("OTEL_EXPORTER_OTLP_TIMEOUT", "30000"),
    ("OTEL_BSP_MAX_QUEUE_SIZE", "16384"),
    ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "2048"),
    ("OTEL_BSP_SCHEDULE_DELAY", "1000"),
    ("OTEL_BLRP_MAX_QUEUE_SIZE", "16384"),
    ("OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", "2048"),
    ("OTEL_BLRP_SCHEDULE_DELAY", "1000"),
];

/// The receiver stands for the collector, which restarts: for some time nobody listens.
#[test]
fn receiver_that_restarts_loses_no_span_and_no_log_record() {
    let collector = OtlpReceiver::start();
    let line = Proxy::start(&collector.url);
    let exporting = [("OTEL_EXPORTER_OTLP_ENDPOINT", &*line.url), ("OTEL_LOGS_EXPORTER", "otlp")];
    let mut service = Service::start("die-service", &[&exporting[..], &COMPOSE].concat());
    let client = http::client();
    let request_for = |time: Duration| {
        let until = Instant::now() + time;
        let requests = || {
            let mut made = 0;
            while Instant::now() < until {
                assert_eq!(client.get(format!("{}{TARGET}", service.url)).send().unwrap().status(), 200);
                made += 1;
                sleep(Duration::from_millis(10));
            }
            made
        };
        std::thread::scope(|scope| {
            let clients: Vec<_> = (0..8).map(|_| scope.spawn(requests)).collect();
            clients.into_iter().map(|client| client.join().unwrap()).sum::<usize>()
        })
    };
    let mut made = request_for(Duration::from_secs(2));
    let before = collector.spans();
    line.set(Line::Down);
    let down = Instant::now();
    let meanwhile = request_for(Duration::from_secs(6));
    let arrived = collector.spans() - before;
    line.set(Line::Works);
    let down = down.elapsed();
    made += meanwhile + request_for(Duration::from_secs(2));
    assert!(arrived < meanwhile, "{arrived} of {meanwhile} arrived, so nobody was away");
    eventually("all spans exported", || (service.metric(EXPORTED) as usize == made).then_some(()));
    assert_eq!((service.sum(SPANS_DROPPED, ""), service.sum(RECORDS_DROPPED, "")), (0.0, 0.0));
    service.stop();
    // Each once: one may arrive twice, where the line went down between a batch and its response.
    assert_eq!(collector.distinct_spans(), made, "{} arrived", collector.spans());
    assert!(collector.records() >= made, "{} records of {made} requests", collector.records());
    figure(&format!(
        "receiver away for {down:?}: {made} spans made, {meanwhile} of them meanwhile; {made} exported, 0 dropped; {} log records \
         arrived, 0 dropped",
        collector.records()
    ));
}

#[test]
fn rejected_spans_are_counted_as_dropped() {
    let collector = OtlpReceiver::start();
    collector.reject(2);
    let exporting = [("OTEL_EXPORTER_OTLP_ENDPOINT", &*collector.url), ("OTEL_BSP_SCHEDULE_DELAY", "60000")];
    let service = Service::start("die-service", &[&exporting[..], &[("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "5")]].concat());
    (0..10).for_each(|_| assert_eq!(service.get(TARGET).status, 200));
    let lost = format!("{SPANS_DROPPED}{{reason=\"export_failed\"}}");
    eventually("two of each five counted", || (service.metric(&lost) == 4.0).then_some(()));
    assert_eq!(service.metric(EXPORTED), 6.0);

    collector.fail(true);
    (0..5).for_each(|_| assert_eq!(service.get(TARGET).status, 200));
    eventually("an export that failed counted", || (service.metric(&lost) == 9.0).then_some(()));
    let line = eventually("a line that says so", || service.lines_of("Export failed").pop());
    assert_eq!((&line["count"], &line["level"]), (&5.into(), &"WARNING".into()));
    assert!(line["error"].as_str().unwrap().contains("500"), "{line:?}");
}

/// What the clients saw while there was no fault.
fn without_fault(
    tally: &Tally,
    started: Instant,
    ended: Instant,
    faults: &[(&str, Instant, Instant, f64, Duration)],
) -> Tally {
    let starts = std::iter::once(started).chain(faults.iter().map(|(_, _, to, ..)| *to));
    let ends = faults.iter().map(|(_, from, ..)| *from).chain([ended]);
    let responses = starts.zip(ends).flat_map(|(from, to)| tally.between(from, to).responses);
    Tally { responses: responses.collect(), ..Tally::default() }
}
