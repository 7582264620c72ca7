//! A service whose stdout is full or closed, and one whose receivers hang at the shutdown: with real processes.
#![allow(clippy::unwrap_used)] // a panic is how a test reports

use std::fs::File;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use test_support::{eventually, http, ports};

struct Service {
    process: Child,
    url: String,
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// `name` with its stdout at `stdout`, once it is ready.
fn start(name: &str, stdout: Stdio, environment: &[(&str, &str)]) -> Service {
    let port = ports::free().to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_dice"));
    command.arg(name).env_clear().env("PORT", &port).envs(environment.iter().copied());
    let process = command.stdin(Stdio::null()).stdout(stdout).spawn().unwrap();
    let service = Service { process, url: format!("http://127.0.0.1:{port}") };
    let ready = format!("{}/ready", service.url);
    eventually("a service that is ready", || http::client().get(&ready).send().ok().filter(|r| r.status() == 200));
    service
}

fn lost_lines(service: &Service, reason: &str) -> f64 {
    let sample = format!("telemetry_log_records_dropped_total{{reason=\"{reason}\"}}");
    http::metrics(&service.url)[&sample]
}

/// Each list that is requested leaves one line.
fn request_lists(service: &Service, count: usize) {
    for _ in 0..count {
        assert_eq!(http::get(format!("{}/dice", service.url)).status, 200);
    }
}

const NO_SPANS: (&str, &str) = ("OTEL_TRACES_EXPORTER", "none");

#[test]
fn lines_that_a_full_disk_refuses_are_counted_and_requests_go_on() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let service = start("die-service", full.into(), &[NO_SPANS]);
    let before =
        eventually("the lines of the start", || Some(lost_lines(&service, "export_failed")).filter(|n| *n >= 2.0));
    request_lists(&service, 50);
    eventually("50 lines more", || (lost_lines(&service, "export_failed") == before + 50.0).then_some(()));
}

#[test]
fn lines_without_a_reader_are_counted_and_requests_go_on() {
    let (reader, writer) = std::io::pipe().unwrap();
    let service = start("die-service", writer.into(), &[NO_SPANS]);
    request_lists(&service, 5);
    std::thread::sleep(Duration::from_millis(200)); // written before the reader goes
    assert_eq!(lost_lines(&service, "export_failed"), 0.0);
    drop(reader);
    request_lists(&service, 50);
    eventually("50 lost lines", || (lost_lines(&service, "export_failed") == 50.0).then_some(()));
}

/// Everything that can hold up a shutdown at once. docker-compose.yml gives 20 seconds before it kills.
#[test]
fn whole_shutdown_takes_at_most_18_seconds_with_hanging_receivers_a_blocked_stdout_and_a_request_in_flight() {
    let hanging = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", hanging.local_addr().unwrap());
    std::thread::spawn(move || {
        let connections: Vec<_> = hanging.incoming().collect(); // accepted, and never responded to
        drop(connections);
    });
    for processor in ["batch", "direct"] {
        let (_reader, writer) = std::io::pipe().unwrap();
        let environment = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &*endpoint),
            ("OTEL_LOGS_EXPORTER", "otlp"),
            ("SPAN_PROCESSOR", processor),
            ("ROLL_DELAY_MAX_MS", "60000"),
        ];
        let mut service = start("die-service", writer.into(), &environment[..3]);
        // Each unknown die leaves two lines: far more than a pipe holds (64 KiB).
        for _ in 0..300 {
            assert_eq!(http::get(format!("{}/dice?identifier=none", service.url)).status, 404);
        }
        // A request whose headers never end is in flight until the grace time is over.
        let mut in_flight = TcpStream::connect(service.url.trim_start_matches("http://")).unwrap();
        in_flight.write_all(b"GET /dice HTTP/1.1\r\nhost: x\r\n").unwrap();

        let started = Instant::now();
        kill(Pid::from_raw(service.process.id() as i32), Signal::SIGTERM).unwrap();
        let status = eventually("the end of the process", || service.process.try_wait().unwrap());
        let took = started.elapsed();
        assert_eq!(status.code(), Some(0));
        println!("shutdown with everything hanging, SPAN_PROCESSOR={processor}: {took:?}");
        assert!(took <= Duration::from_secs(18), "{processor}: {took:?}");
    }
}
