//! Requests that make the system emit every signal: success, bad requests, clients that leave, a service that stops.

use std::io::Write;
use std::net::TcpStream;
use std::path::PathBuf;

use reqwest::Method;
use serde_json::Value;
use tempo_client::Span;

use test_support::{OtlpReceiver, eventually, http};

use crate::common::backend::Backend;
use crate::common::dice;
use crate::common::service::Service;

/// Everything that was emitted.
pub(crate) struct Seen {
    pub(crate) spans: Vec<Span>,
    /// Every log line, as JSON.
    pub(crate) lines: Vec<Value>,
    /// Event name and message of each log record.
    pub(crate) records: Vec<(String, String)>,
    /// Name and type of each attribute of log records and of their resources.
    pub(crate) record_attributes: Vec<(String, String)>,
    /// Those that the traffic generator itself made.
    pub(crate) spans_of_generator: Vec<Span>,
    /// `/metrics` of each service, by its name.
    pub(crate) metrics: Vec<(&'static str, String)>,
}

/// Makes the traffic.
pub(crate) fn make() -> Seen {
    let backend = Backend::start();
    // One die that never fails and one that always does. Two rolls at once, so that the others wait for a permit.
    let dice = r#"{"fair": {"faces": [1, 2], "error_rate": 0}, "broken": {"faces": [1], "error_rate": 1}}"#;
    let file: PathBuf = [env!("CARGO_TARGET_TMPDIR"), "signals-dice.json"].iter().collect();
    std::fs::write(&file, dice).unwrap();
    let receiver = OtlpReceiver::start();
    let log_records = format!("{}/v1/logs", receiver.url);
    let common = [
        ("OTEL_LOGS_EXPORTER", "otlp"),
        ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", &*log_records),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", backend.otlp.as_str()),
        ("OTEL_BSP_SCHEDULE_DELAY", "200"),
        ("DIE_SPECIFICATIONS", file.to_str().unwrap()),
        ("ROLL_DELAY_MAX_MS", "20"),
        ("MAX_CONCURRENT_ROLLS", "2"),
        ("BREAKER_FAILURES", "2"),
        ("BREAKER_OPEN_MS", "300"),
    ];
    let mut die_service = Service::start("die-service", &common);
    let die_service_url = die_service.url.clone();
    let of_dice_roller = [&common[..], &[("DIE_SERVICE_URL", &die_service_url)]].concat();
    let mut dice_roller = Service::start("dice-roller", &of_dice_roller);
    let of_frontend = [&of_dice_roller[..], &[("DICE_ROLLER_URL", &dice_roller.url)]].concat();
    let mut frontend = Service::start("frontend", &of_frontend);
    frontend.process().wait_for(|line| line.contains("Die list fetched"));

    let mut traces = Vec::new();
    let mut send = |method: &str, url: &str| {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let response = http::send(http::client().request(method, url).header("user-agent", "signals"));
        traces.extend(response.header("traceresponse").iter().map(|header| header[3..35].to_owned()));
        response.status
    };
    let at = |service: &Service, path: &str| service.url.clone() + path;

    for service in [&frontend, &dice_roller, &die_service] {
        assert_eq!(send("GET", &at(service, "/")), 200);
        assert_eq!(send("GET", &at(service, "/nowhere")), 404);
        assert_eq!(send("BREW", &at(service, "/")), 405);
    }
    for (path, status) in [
        ("/roll?die=fair", 200),
        ("/roll-async?die=fair&times=5", 200),
        ("/roll?die=broken", 500),
        ("/roll-async?die=broken&times=2", 500),
        ("/roll?die=nope", 404),
        ("/roll-async?die=nope&times=2", 404),
        ("/roll-async?die=fair&times=0", 422),
    ] {
        assert_eq!(send("GET", &at(&frontend, path)), status, "{path}");
    }
    leave(&frontend, &dice_roller);
    let generated = generate(&frontend, &backend.otlp);

    // Each stops, and the breaker of its caller opens; each is started again, and the breaker closes.
    let (mut lines, mut metrics) = (Vec::new(), Vec::new());
    for service in [&mut die_service, &mut dice_roller] {
        metrics.push((service.name, text_of(service)));
        service.stop();
        lines.extend(service.process().lines());
        for _ in 0..3 {
            assert_eq!(send("GET", &at(&frontend, "/roll?die=fair")), 503);
        }
        assert_eq!(send("GET", &at(&frontend, "/")), 200);
        service.run();
        eventually("a closed breaker", || (send("GET", &at(&frontend, "/roll?die=fair")) == 200).then_some(()));
    }
    metrics.push(("frontend", text_of(&frontend)));

    for service in [&mut frontend, &mut dice_roller, &mut die_service] {
        service.stop();
        lines.extend(service.process().lines());
    }
    let lines: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    traces.extend(lines.iter().filter_map(|line| line["trace_id"].as_str().map(str::to_owned)));
    traces.sort_unstable();
    traces.dedup();
    let spans = traces.iter().chain(&generated).flat_map(|id| backend.trace(id, 1).spans);
    let (spans_of_generator, spans) = spans.partition(|span| span.service == "traffic-generator-stage4");
    Seen {
        spans,
        lines,
        records: receiver.events(),
        record_attributes: receiver.record_attributes(),
        spans_of_generator,
        metrics,
    }
}

/// One simulated user; the ids of the traces.
fn generate(frontend: &Service, otlp: &str) -> Vec<String> {
    let manifest: PathBuf = [env!("CARGO_TARGET_TMPDIR"), "signals-manifest.jsonl"].iter().collect();
    let arguments = [
        "generate-traffic",
        "--num-users=1",
        "--max-rolls-per-user=3",
        "--think-time-ms=0",
        "--dice=fair",
        "--manifest",
    ];
    let environment = [("FRONTEND_URL", frontend.url.as_str()), ("OTEL_EXPORTER_OTLP_ENDPOINT", otlp)];
    let mut generator = dice(&[&arguments[..], &[manifest.to_str().unwrap()]].concat(), &environment);
    assert!(generator.wait().success());
    let lines = std::fs::read_to_string(manifest).unwrap();
    lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["trace_id"].as_str().unwrap().to_owned())
        .collect()
}

/// A client that requests a long batch and closes its connection.
fn leave(frontend: &Service, dice_roller: &Service) {
    let rolls = || http::metrics(&dice_roller.url)["async_rolls_in_progress"];
    let mut client = TcpStream::connect(frontend.url.trim_start_matches("http://")).unwrap();
    client.write_all(b"GET /roll-async?die=fair&times=20&concurrency=1 HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    eventually("rolls under way", || (rolls() > 0.0).then_some(()));
    drop(client);
    frontend.process().wait_for(|line| line.contains("Request not answered"));
    dice_roller.process().wait_for(|line| line.contains("Request not answered"));
}

fn text_of(service: &Service) -> String {
    http::get(format!("{}/metrics", service.url)).text()
}
