//! Exports of spans and log records over real HTTP to a receiver that follows a script, with both span processors.
//!
//! In every test each span that ended is counted once: exported + dropped = ended, and exported is what arrived.

mod receiver;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use clap::Parser;
use opentelemetry_sdk::trace::SpanData;
use prometheus::Registry;

use crate::settings::Settings;
use crate::testing::{Lines, sample_of};
use crate::{Hooks, Telemetry};
use receiver::{Receiver, Reply};

const PROCESSORS: [&str; 2] = ["--span-processor=batch", "--span-processor=direct"];

#[derive(clap::Parser)]
struct Flags {
    #[command(flatten)]
    settings: Settings,
}

/// What the counters said at the end.
#[derive(Debug, PartialEq)]
struct Counts {
    exported: u64,
    queue_full: u64,
    export_failed: u64,
    shutdown: u64,
    log_records: u64,
}

/// Ends `spans` spans under telemetry with `flags`, runs `service` and shuts down.
fn run(receiver: &Receiver, flags: &[&str], spans: usize, service: impl Future<Output = ()>) -> Counts {
    run_with(Hooks::default(), receiver, flags, spans, service)
}

fn run_with(
    hooks: Hooks,
    receiver: &Receiver,
    flags: &[&str],
    spans: usize,
    service: impl Future<Output = ()>,
) -> Counts {
    let endpoint = format!("--otel-exporter-otlp-endpoint={}", receiver.url);
    let flags = ["test", &endpoint, "--otel-bsp-schedule-delay=20"].into_iter().chain(flags.iter().copied());
    let settings = Flags::parse_from(flags).settings;
    let (telemetry, subscriber) = Telemetry::build("test", "1", &settings, std::io::sink(), None, hooks).unwrap();
    let registry = telemetry.handle().registry().clone();
    let _subscriber = tracing::subscriber::set_default(subscriber);
    for _ in 0..spans {
        tracing::info_span!("work").in_scope(|| tracing::info!(name: "worked", rolls = ?[1, 2], "Worked"));
    }
    telemetry
        .run(async {
            service.await;
            Ok(())
        })
        .unwrap();
    counts(&registry)
}

fn counts(registry: &Registry) -> Counts {
    let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
    let sample = |name: &str| sample_of(&text, name).unwrap_or_else(|| panic!("no {name} in {text}")) as u64;
    let dropped = |reason: &str| sample(&format!("telemetry_spans_dropped_total{{reason=\"{reason}\"}}"));
    let logs = ["queue_full", "export_failed", "shutdown"]
        .map(|reason| sample(&format!("telemetry_log_records_dropped_total{{reason=\"{reason}\"}}")));
    Counts {
        exported: sample("telemetry_spans_exported_total"),
        queue_full: dropped("queue_full"),
        export_failed: dropped("export_failed"),
        shutdown: dropped("shutdown"),
        log_records: logs.iter().sum(),
    }
}

impl Counts {
    fn only_exported(exported: u64) -> Self {
        Self { exported, queue_full: 0, export_failed: 0, shutdown: 0, log_records: 0 }
    }

    fn sum(&self) -> u64 {
        self.exported + self.queue_full + self.export_failed + self.shutdown
    }
}

#[test]
fn receiver_that_recovers_loses_nothing_whatever_it_answered() {
    for processor in PROCESSORS {
        for status in [429, 502, 503, 504] {
            let receiver = Receiver::start(move |number| if number < 2 { Reply::Status(status) } else { Reply::Ok });
            let counts = run(&receiver, &[processor], 3, receiver.has_spans(3));
            assert_eq!(counts, Counts::only_exported(3), "{processor}, {status}");
            assert_eq!(receiver.spans(), 3, "{processor}, {status}");
        }
    }
}

#[test]
fn span_that_a_hook_does_not_return_counts_as_dropped() {
    for processor in PROCESSORS {
        let receiver = Receiver::start(|_| Reply::Ok);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let of_hook = seen.clone();
        let second = move |span: SpanData, waiting| {
            let mut seen = of_hook.lock().unwrap();
            seen.push(waiting);
            (seen.len() % 2 == 1).then(|| SpanData { name: "hooked".into(), ..span })
        };
        let hooks = Hooks { span: Some(Arc::new(second)), ..Hooks::default() };
        let counts = run_with(hooks, &receiver, &[processor], 10, receiver.has_spans(5));
        assert_eq!(counts, Counts { queue_full: 5, ..Counts::only_exported(5) }, "{processor}");
        assert_eq!(receiver.spans(), 5, "{processor}");
        let seen = seen.lock().unwrap();
        assert!(seen.len() == 10 && seen[0] == 0 && seen.iter().all(|waiting| *waiting <= 5), "{processor}: {seen:?}");
    }
}

#[test]
fn retry_after_is_honoured() {
    for processor in PROCESSORS {
        let receiver = Receiver::start(|number| if number == 0 { Reply::RetryAfter(1) } else { Reply::Ok });
        let counts = run(&receiver, &[processor], 2, receiver.has_spans(2));
        assert_eq!(counts, Counts::only_exported(2), "{processor}");
        let times = receiver.times();
        assert!(times[1] - times[0] >= Duration::from_secs(1), "{processor}: {times:?}");
    }
}

#[test]
fn status_that_is_no_overload_is_not_tried_again() {
    for processor in PROCESSORS {
        for status in [400, 401, 404, 500, 501] {
            let receiver = Receiver::start(move |_| Reply::Status(status));
            let counts = run(&receiver, &[processor], 2, receiver.has_requests(1));
            assert_eq!((counts.exported, counts.export_failed, counts.sum()), (0, 2, 2), "{processor}, {status}");
            assert_eq!(receiver.times().len(), 1, "{processor}, {status}");
        }
    }
}

#[test]
fn redirect_is_not_followed_and_its_target_gets_no_header() {
    for processor in PROCESSORS {
        let elsewhere = Receiver::start(|_| Reply::Ok);
        let location = format!("{}/v1/traces", elsewhere.url);
        let receiver = Receiver::start(move |_| Reply::Redirect(location.clone()));
        let flags = [processor, "--otel-exporter-otlp-headers=api-key=secret"];
        let counts = run(&receiver, &flags, 2, receiver.has_requests(1));
        assert_eq!((counts.exported, counts.export_failed), (0, 2), "{processor}");
        assert!(receiver.heads()[0].contains("api-key: secret"), "{:?}", receiver.heads());
        assert!(elsewhere.times().is_empty(), "{processor}: followed");
    }
}

#[test]
fn endless_response_is_read_up_to_a_bound() {
    for processor in PROCESSORS {
        let receiver = Receiver::start(|_| Reply::Endless);
        let counts = run(&receiver, &[processor], 2, receiver.has_requests(1));
        assert_eq!((counts.exported, counts.sum()), (0, 2), "{processor}");
        assert!(receiver.sent() < 64 << 20, "{processor}: {} bytes of the response were read", receiver.sent());
    }
}

#[test]
fn rejected_spans_are_counted_and_the_others_exported() {
    for processor in PROCESSORS {
        for (rejected, expected) in [(2, (3, 2)), (99, (0, 5)), (-1, (5, 0))] {
            let receiver = Receiver::start(move |_| Reply::Partial(rejected));
            let counts = run(&receiver, &[processor], 5, receiver.has_requests(1));
            assert_eq!((counts.exported, counts.export_failed), expected, "{processor}, {rejected}");
        }
    }
}

#[test]
fn long_message_of_the_receiver_is_cut_before_it_is_logged() {
    let receiver = Receiver::start(|_| Reply::Message(1 << 20));
    let endpoint = format!("--otel-exporter-otlp-endpoint={}", receiver.url);
    let settings = Flags::parse_from(["test", &*endpoint, "--otel-bsp-schedule-delay=20"]).settings;
    let lines = Lines::default();
    let (telemetry, subscriber) =
        Telemetry::build("test", "1", &settings, lines.clone(), None, Hooks::default()).unwrap();
    // The exporter logs on a thread of its own, so this subscriber has to be that of the whole process.
    let _ = tracing::subscriber::set_global_default(subscriber);
    tracing::info_span!("work").in_scope(|| ());
    telemetry
        .run(async {
            receiver.has_requests(1).await;
            Ok(())
        })
        .unwrap();
    let text = lines.text();
    assert!(text.contains("PartialSuccess"), "{text}");
    assert!(
        text.lines().all(|line| line.len() < 2000),
        "the longest line has {:?} bytes",
        text.lines().map(str::len).max()
    );
}

#[test]
fn compressed_exports_arrive() {
    for processor in PROCESSORS {
        let receiver = Receiver::start(|_| Reply::Ok);
        let flags = [processor, "--otel-exporter-otlp-compression=gzip"];
        assert_eq!(run(&receiver, &flags, 3, receiver.has_spans(3)), Counts::only_exported(3), "{processor}");
        assert!(receiver.heads()[0].contains("content-encoding: gzip"), "{:?}", receiver.heads());
    }
}

#[test]
fn full_queue_drops_and_counts() {
    for processor in PROCESSORS {
        let receiver = Receiver::start(|_| Reply::Silence);
        let flags = [processor, "--otel-bsp-max-queue-size=10", "--otel-exporter-otlp-timeout=300"];
        let counts = run(&receiver, &flags, 50, receiver.has_requests(1));
        assert_eq!((counts.sum(), counts.exported), (50, 0), "{processor}: {counts:?}");
        assert!(counts.queue_full >= 30, "{processor}: {counts:?}");
    }
}

#[test]
fn hanging_receiver_does_not_hold_the_shutdown_and_its_spans_are_counted() {
    for processor in PROCESSORS {
        let receiver = Receiver::start(|_| Reply::Silence);
        let counts = run(&receiver, &[processor], 7, receiver.has_requests(1));
        assert_eq!((counts.shutdown, counts.sum()), (7, 7), "{processor}: {counts:?}");
    }
}

#[test]
fn receiver_that_fails_at_random_leaves_exact_sums() {
    for processor in PROCESSORS {
        for seed in 0..4_u64 {
            let receiver = Receiver::start(move |number| match (number as u64 + 1).wrapping_mul(seed * 2 + 7) % 5 {
                0 => Reply::Close,
                1 => Reply::Status(503),
                2 => Reply::Status(400),
                3 => Reply::Partial(3),
                _ => Reply::Ok,
            });
            let flags = [processor, "--otel-bsp-max-export-batch-size=20", "--otel-exporter-otlp-timeout=2000"];
            let counts = run(&receiver, &flags, 300, async { tokio::time::sleep(Duration::from_millis(200)).await });
            assert_eq!(counts.sum(), 300, "{processor}, {seed}: {counts:?}");
            assert_eq!(counts.exported, receiver.accepted() as u64, "{processor}, {seed}");
        }
    }
}

#[test]
fn log_records_are_exported_with_name_time_list_and_scope() {
    let receiver = Receiver::start(|_| Reply::Ok);
    let flags = ["--otel-logs-exporter=otlp", "--otel-blrp-schedule-delay=20"];
    let counts = run(&receiver, &flags, 1, async { receiver.has_logs(1).await });
    assert_eq!(counts.log_records, 0);
    let (scope, record) = receiver.log_records().remove(0);
    assert_eq!(scope, "telemetry::export_tests");
    assert_eq!(record.event_name, "worked");
    assert!(record.time_unix_nano > 1_700_000_000_000_000_000, "{record:?}");
    assert_eq!((record.severity_text.as_str(), record.trace_id.len(), record.span_id.len()), ("INFO", 16, 8));
    let text = format!("{record:?}");
    assert!(text.contains("StringValue(\"Worked\")"), "{text}");
    assert!(text.contains("ArrayValue") && text.contains("IntValue(2)"), "{text}");
}

#[test]
fn rejected_and_refused_log_records_are_counted() {
    // Two records in one batch, then "Stopped" in another.
    for (reply, lost) in [(Reply::Partial(1), 2), (Reply::Status(400), 3)] {
        let receiver = Receiver::start(move |_| reply.clone());
        let flags = ["--otel-traces-exporter=none", "--otel-logs-exporter=otlp", "--otel-blrp-max-export-batch-size=2"];
        let counts = run(&receiver, &flags, 2, receiver.has_requests(1));
        assert_eq!((counts.log_records, receiver.log_records().len()), (lost, 3));
    }
}
