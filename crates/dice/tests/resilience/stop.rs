//! SIGTERM under load: every accepted request gets its response, and every span of it leaves.

use std::thread::sleep;
use std::time::{Duration, Instant};

use test_support::OtlpReceiver;

use crate::common::service::{NO_EXPORT, Service};
use crate::load::{Load, Manner};
use crate::proxy::{Line, Proxy};
use crate::{bound, figure};

const KEPT: Manner = Manner { clients: 4, pause: Duration::ZERO, fresh: false };
const FRESH: Manner = Manner { clients: 8, pause: Duration::ZERO, fresh: true };

#[test]
fn die_service_loses_nothing_under_sigterm() {
    let collector = OtlpReceiver::start();
    let exporter = [("OTEL_EXPORTER_OTLP_ENDPOINT", &*collector.url)];
    let service = Service::start("die-service", &[&exporter[..], &QUEUE].concat());
    loses_nothing(service, &collector, "/dice?identifier=fair");
}

#[test]
fn dice_roller_loses_nothing_under_sigterm() {
    let (collector, die_service) = (OtlpReceiver::start(), Service::start("die-service", &[NO_EXPORT]));
    let own = [("DIE_SERVICE_URL", &*die_service.url), ("OTEL_EXPORTER_OTLP_ENDPOINT", &*collector.url)];
    let service = Service::start("dice-roller", &[&own[..], &[("ROLL_DELAY_MAX_MS", "100")], &QUEUE].concat());
    loses_nothing(service, &collector, "/roll-async?die=fair&times=5");
}

#[test]
fn frontend_loses_nothing_under_sigterm() {
    let (collector, die_service) = (OtlpReceiver::start(), Service::start("die-service", &[NO_EXPORT]));
    let behind = [("DIE_SERVICE_URL", &*die_service.url), ("ROLL_DELAY_MAX_MS", "100"), NO_EXPORT];
    let dice_roller = Service::start("dice-roller", &behind);
    let own = [("DIE_SERVICE_URL", &*die_service.url), ("DICE_ROLLER_URL", &*dice_roller.url)];
    let exporter = [("OTEL_EXPORTER_OTLP_ENDPOINT", &*collector.url)];
    loses_nothing(
        Service::start("frontend", &[&own[..], &exporter, &QUEUE].concat()),
        &collector,
        "/roll-async?die=fair&times=5",
    );
}

/// As the images have it: as many as come between two exports.
const QUEUE: [(&str, &str); 3] = [
    ("OTEL_BSP_MAX_QUEUE_SIZE", "16384"),
    ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "2048"),
    ("OTEL_BSP_SCHEDULE_DELAY", "1000"),
];

fn loses_nothing(mut service: Service, collector: &OtlpReceiver, target: &str) {
    let name = service.name;
    let loads = [KEPT, FRESH].map(|manner| Load::start(&service.url, target, manner));
    sleep(Duration::from_millis(1500));
    let sent = Instant::now();
    let lines = service.stop();
    let took = sent.elapsed();
    let [kept, fresh] = loads.map(Load::stop);

    for tally in [&kept, &fresh] {
        assert!(tally.responses.len() > 10, "no load: {}", tally.statuses());
        assert_eq!(tally.count(200), tally.responses.len(), "{}", tally.statuses());
    }
    assert_eq!((kept.lost, fresh.lost), (0, 0), "of {} and {}", kept.responses.len(), fresh.responses.len());
    let responses = kept.responses.len() + fresh.responses.len();
    assert_eq!(collector.server_spans(), responses, "one span for each response, one response for each span");
    assert!(lines.iter().all(|line| !line["message"].as_str().is_some_and(|text| text.starts_with("Spans were lost"))));
    figure(&format!(
        "SIGTERM to {name} under load: {responses} responses, 0 lost, {responses} server spans, exit after {took:?}"
    ));
}

#[test]
fn hanging_receiver_does_not_delay_exit_and_loss_is_logged() {
    let mut other = Service::start("die-service", &[NO_EXPORT]);
    let sent = Instant::now();
    other.stop();
    let unhindered = sent.elapsed();

    let line = Proxy::start("127.0.0.1:1");
    line.set(Line::Stalls);
    let patient = [("OTEL_EXPORTER_OTLP_TIMEOUT", "600000"), ("OTEL_BSP_SCHEDULE_DELAY", "50")];
    let mut service =
        Service::start("die-service", &[&[("OTEL_EXPORTER_OTLP_ENDPOINT", &*line.url)], &patient[..]].concat());
    for _ in 0..20 {
        assert_eq!(service.get("/dice").status, 200);
    }
    let sent = Instant::now();
    let lines = service.stop();
    let took = sent.elapsed();
    let lost =
        lines.iter().find(|line| line["message"].as_str().is_some_and(|text| text.starts_with("Spans were lost")));
    assert_eq!(lost.map(|line| &line["spans"]), Some(&20.into()));
    assert!(took < bound(Duration::from_secs(10), unhindered), "{took:?}, {unhindered:?} without export");
    figure(&format!("SIGTERM while the receiver stalls: 20 of 20 spans named as lost, exit after {took:?}"));
}
