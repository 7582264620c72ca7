//! The system as `cargo run` starts it, services and trace viewer, whole and broken.

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};

use test_support::{NOWHERE, Signal, http};

use crate::common;
use crate::common::backend::Backend;
use crate::common::service::Service;
use crate::parts::{Report, Services, Settings, doctor, doctor_with};

/// The services and their viewer.
struct System {
    services: Services,
    viewer: Backend,
}

impl System {
    fn start(settings: Settings<'_>) -> Self {
        let viewer = Backend::viewer();
        Self { services: Services::start(&viewer.otlp, settings), viewer }
    }

    fn flags(&self) -> Vec<String> {
        [self.services.flags(), vec![format!("--tempo-url={}", self.viewer.url)]].concat()
    }

    fn check(&self, more: &[&str]) -> Report {
        doctor(&self.flags(), &[&["--json"], more].concat())
    }
}

#[test]
fn whole_system_passes_and_absent_backends_are_skipped() {
    let usual = [9090, 13133, 3100, 3000];
    if let Some(port) = usual.iter().find(|port| TcpStream::connect(("127.0.0.1", **port)).is_ok()) {
        println!("SKIPPED: something listens on {port}, so a backend is part of this system");
        return;
    }
    let system = System::start(Settings::default());
    let table = doctor(&system.flags(), &["--exclusive"]);
    assert_eq!((table.status, &*table.stderr), (Some(0), ""), "{table:?}");
    let expected = "\
ok       die-service ready
ok       dice-roller ready
ok       frontend ready
ok       batch rolled
ok       trace continued
ok       metrics moved
ok       spans exported
ok       trace complete

Not part of this system, so 9 hops are not checked: Prometheus, the collector, Loki, Grafana.
8 hops hold.
";
    let checked = |line: &str| line.starts_with("ok") || line.starts_with("FAILED") || line.starts_with("skipped");
    let beginning = |line: &str| match checked(line) {
        true => format!("{}\n", line.chars().take(30).collect::<String>().trim_end()),
        false => format!("{line}\n"),
    };
    assert_eq!(table.stdout.lines().map(beginning).collect::<String>(), expected, "{}", table.stdout);
    assert!(table.stdout.contains("exactly what was sent"), "{}", table.stdout);

    let json = doctor(&system.flags(), &["--json"]);
    assert_eq!(json.status, Some(0), "{json:?}");
    assert_eq!((&json.json()["ok"], &json.json()["first_broken"]), (&true.into(), &serde_json::Value::Null));
    assert_eq!(json.json()["hops"].as_array().unwrap().len(), 17);
}

#[test]
fn stopped_service_is_named() {
    let hop = |stopped: &str| {
        let system = System::start(Settings::default());
        let flags = system.flags();
        let Services { die_service, dice_roller, frontend } = system.services;
        let part = match stopped {
            "die-service" => (die_service, vec![dice_roller, frontend]),
            "dice-roller" => (dice_roller, vec![die_service, frontend]),
            _ => (frontend, vec![die_service, dice_roller]),
        };
        drop(part.0);
        let report = doctor(&flags, &["--json", "--wait=1"]);
        let url = flags.iter().find_map(|flag| flag.strip_prefix(&format!("--{stopped}-url="))).unwrap();
        report.assert_breaks_at(&format!("{stopped} ready"), &[url, "Connection refused", "start it: `cargo run`"]);
        assert_eq!(report.hop("batch rolled").0, "skipped");
        let words = format!("start it: `docker compose up -d {stopped}-stage4`");
        doctor(&flags, &["--json", "--wait=0", "--stack"]).assert_breaks_at(&format!("{stopped} ready"), &[&words]);
        let words = "start it: `cargo run -- --port-offset 100`";
        doctor(&flags, &["--json", "--wait=0", "--port-offset=100"])
            .assert_breaks_at(&format!("{stopped} ready"), &[words]);
    };
    ["die-service", "dice-roller", "frontend"].into_iter().for_each(hop);
}

#[test]
fn paused_service_is_named() {
    let system = System::start(Settings::default());
    let Services { die_service, dice_roller, frontend } = &system.services;
    for service in [frontend, dice_roller, die_service] {
        service.freeze();
        let report = system.check(&["--wait=1"]);
        report.assert_breaks_at(&format!("{} ready", service.name), &["no response in time", "kill -CONT"]);
        service.resume();
    }
    system.viewer.process().signal(Signal::SIGSTOP);
    system.check(&["--wait=1"]).assert_breaks_at("spans exported", &["spans have left", "OTEL_EXPORTER_OTLP_ENDPOINT"]);
    system.viewer.process().signal(Signal::SIGCONT);
}

/// A system that was moved, and, at the usual address of Prometheus, one that belongs to another system.
#[test]
fn doctor_finds_a_system_that_port_offset_has_moved() {
    let (_launcher, ports) = common::launch(&[("ROLL_DELAY_MAX_MS", "20")]);
    let offset = ports.offset.to_string();
    let by_flag = doctor(&[], &["--port-offset", &offset]);
    assert_eq!(by_flag.status, Some(0), "{by_flag:?}");
    let absent = "Not part of this system, so 9 hops are not checked: Prometheus, the collector, Loki, Grafana.";
    assert!(by_flag.stdout.contains(absent) && by_flag.stdout.contains("8 hops hold"), "{}", by_flag.stdout);
    let by_variable = doctor_with(&[], &["--json"], &[("PORT_OFFSET", &offset)]);
    assert_eq!(by_variable.status, Some(0), "{by_variable:?}");
    assert!(by_variable.hop("trace complete").0 == "ok", "{}", by_variable.stdout);
    assert!(by_variable.hop("collector").1.contains("only where COLLECTOR_URL names it"), "{}", by_variable.stdout);
}

/// A stand-in for Docker writes more lines than are shown, and one that would turn the terminal red.
#[test]
fn last_log_lines_of_broken_part_are_shown_where_docker_has_them() {
    let directory = std::env::temp_dir().join(format!("doctor-docker-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let script = directory.join("docker");
    let text = "#!/bin/sh\necho a stand-in for docker, called with \"$@\"\nfor i in $(/usr/bin/seq 25); do \
                printf '\\033[31mline %s\\n' $i; done\necho last\n";
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let system = System::start(Settings::default());
    let flags = [system.flags(), vec![format!("--prometheus-url={NOWHERE}")]].concat();
    let path = [("PATH", directory.to_str().unwrap())];

    let report = doctor_with(&flags, &["--json", "--wait=5"], &path);
    report.assert_breaks_at("Prometheus targets", &["docker compose up -d prometheus"]);
    let json = report.json();
    let lines: Vec<_> = json["log_lines"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    assert_eq!((lines.len(), lines[18], lines[19]), (20, "[31mline 25", "last"), "{lines:?}");
    let table = doctor_with(&flags, &["--wait=5"], &path);
    assert!(table.stdout.contains("  The last log lines of prometheus:\n"), "{}", table.stdout);

    std::fs::write(&script, "#!/bin/sh\nexec /bin/sleep 60\n").unwrap();
    let report = doctor_with(&flags, &["--json", "--wait=5"], &path);
    report.assert_breaks_at("Prometheus targets", &["docker compose up -d prometheus"]);
    assert_eq!(report.json().get("log_lines"), None);
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn wrong_upstream_address_breaks_batch() {
    let wrong = [("DIE_SERVICE_URL", NOWHERE)];
    let system = System::start(Settings { dice_roller: &wrong, ..Settings::default() });
    system.check(&["--wait=5"]).assert_breaks_at("batch rolled", &["503", "DIE_SERVICE_URL of dice-roller"]);
}

#[test]
fn two_die_services_break_batch() {
    let file = dice_file("two", r#"{ "other": { "faces": [1], "error_rate": 0 } }"#);
    let other = Service::start("die-service", &[("DIE_SPECIFICATIONS", &*file)]);
    let system = System::start(Settings { dice_roller: &[("DIE_SERVICE_URL", &*other.url)], ..Settings::default() });
    system.check(&["--wait=5"]).assert_breaks_at("batch rolled", &["404", "another die-service"]);
    std::fs::remove_file(file).unwrap();
}

#[test]
fn die_that_fails_breaks_batch() {
    let file = dice_file("failing", r#"{ "fair": { "faces": [1], "error_rate": 1 } }"#);
    let dice = [("DIE_SPECIFICATIONS", &*file)];
    let system = System::start(Settings { die_service: &dice, ..Settings::default() });
    system.check(&["--wait=5"]).assert_breaks_at("batch rolled", &["500", "error_rate of 0"]);
    std::fs::remove_file(file).unwrap();
}

#[test]
fn missing_die_breaks_batch() {
    let file = dice_file("missing", r#"{ "other": { "faces": [1], "error_rate": 0 } }"#);
    let dice = [("DIE_SPECIFICATIONS", &*file)];
    let system = System::start(Settings { die_service: &dice, ..Settings::default() });
    let words = ["does not know the die 'fair'", "DIE_SPECIFICATIONS"];
    system.check(&["--wait=5"]).assert_breaks_at("batch rolled", &words);
    std::fs::remove_file(file).unwrap();
}

/// A file of dice specifications, and its path.
fn dice_file(name: &str, content: &str) -> String {
    let file = std::env::temp_dir().join(format!("doctor-dice-{name}-{}.json", std::process::id()));
    std::fs::write(&file, content).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn trace_that_is_not_continued_is_named() {
    for (setting, value, words) in [
        ("OTEL_SDK_DISABLED", "true", "no header traceresponse"),
        ("OTEL_PROPAGATORS", "baggage", "OTEL_PROPAGATORS"),
        ("OTEL_TRACES_SAMPLER", "always_off", "OTEL_TRACES_SAMPLER"),
    ] {
        let system = System::start(Settings { frontend: &[(setting, value)], ..Settings::default() });
        system.check(&["--wait=5"]).assert_breaks_at("trace continued", &[words]);
    }
}

#[test]
fn counters_that_do_not_move_are_named() {
    let system = System::start(Settings::default());
    // A second die-service, which dice-roller does not use.
    let other = Service::start("die-service", &[]);
    let flags = [system.flags(), vec![format!("--die-service-url={}", other.url)]].concat();
    let flags: Vec<_> = flags.into_iter().filter(|flag| *flag != system.services.flags()[0]).collect();
    let words = ["die-service: http_requests_total", "moved by 0, not by 1", &other.url];
    doctor(&flags, &["--json", "--wait=5"]).assert_breaks_at("metrics moved", &words);
}

#[test]
fn exclusive_fails_beside_other_traffic() {
    // The batch takes most of a second, and a request for a die that does not exist hardly any time.
    let system = System::start(Settings { all: &[("ROLL_DELAY_MAX_MS", "1000")], ..Settings::default() });
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let client = http::client();
            while !done.load(Ordering::Relaxed) {
                let _ = client.get(format!("{}/roll?die=nope", system.services.frontend.url)).send();
            }
        });
        let (alone, among_others) = (system.check(&["--exclusive", "--wait=5"]), system.check(&["--wait=5"]));
        done.store(true, Ordering::Relaxed);
        alone.assert_breaks_at("metrics moved", &["somebody else"]);
        assert_eq!(among_others.hop("metrics moved").0, "ok");
    });
}

#[test]
fn spans_without_receiver_are_named() {
    let nowhere = ("OTEL_EXPORTER_OTLP_ENDPOINT", NOWHERE);
    for (settings, words) in [
        (&[nowhere, ("OTEL_EXPORTER_OTLP_TIMEOUT", "200")][..], ["dice-roller lost", "OTEL_EXPORTER_OTLP_ENDPOINT"]),
        (&[nowhere], ["0 of 7 spans have left dice-roller", "OTEL_EXPORTER_OTLP_ENDPOINT"]),
        (&[("OTEL_TRACES_EXPORTER", "none")], ["0 of 7 spans have left dice-roller", "OTEL_TRACES_EXPORTER"]),
    ] {
        let system = System::start(Settings { dice_roller: settings, ..Settings::default() });
        system.check(&["--wait=5"]).assert_breaks_at("spans exported", &words);
    }
}

#[test]
fn spans_in_another_backend_are_named_as_missing() {
    let other = Backend::viewer();
    let there = [("OTEL_EXPORTER_OTLP_ENDPOINT", &*other.otlp)];
    let system = System::start(Settings { die_service: &there, ..Settings::default() });
    let words = ["9 of 10 spans", "missing: GET /dice SERVER die-service"];
    system.check(&["--wait=5"]).assert_breaks_at("trace complete", &words);
}

#[test]
fn named_viewer_must_be_there() {
    let system = System::start(Settings::default());
    let flags = [system.services.flags(), vec![format!("--tempo-url={NOWHERE}")]].concat();
    doctor(&flags, &["--json", "--wait=5"]).assert_breaks_at("trace complete", &["Connection refused", "TEMPO_URL"]);
}

#[test]
fn with_stack_every_backend_must_be_there() {
    if TcpStream::connect("127.0.0.1:9090").is_ok() {
        println!("SKIPPED: something listens on 9090, where Prometheus would be");
        return;
    }
    let system = System::start(Settings::default());
    system
        .check(&["--stack", "--wait=5"])
        .assert_breaks_at("Prometheus targets", &["127.0.0.1:9090", "PROMETHEUS_URL"]);
}

#[test]
fn manifest_is_compared_and_lost_spans_are_listed() {
    let system = System::start(Settings::default());
    let file = std::env::temp_dir().join(format!("doctor-manifest-{}", std::process::id()));
    let generate = |settings: &[(&str, &str)]| {
        let manifest = file.to_str().unwrap();
        let base =
            [("FRONTEND_URL", &*system.services.frontend.url), ("OTEL_EXPORTER_OTLP_ENDPOINT", &*system.viewer.otlp)];
        let flags = [
            "generate-traffic",
            "--num-users=2",
            "--max-rolls-per-user=2",
            "--think-time-ms=0",
            "--manifest",
            manifest,
        ];
        let generator = common::dice(&flags, &[&base, settings].concat()).finish();
        assert!(generator.status.success(), "{generator:?}");
    };
    let flag = format!("--manifest={}", file.display());

    generate(&[]);
    let whole = system.check(&[&flag]);
    assert_eq!(whole.hop("manifest").0, "ok", "{}", whole.stdout);
    assert_eq!(whole.json()["manifest"]["spans_lost"], 0);

    // A trace that no backend has.
    let mut manifest = std::fs::OpenOptions::new().append(true).open(&file).unwrap();
    let lines = std::fs::read_to_string(&file).unwrap();
    let mut entry: serde_json::Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    let lost = "0af7651916cd43dd8448eb211c80319c";
    entry["trace_id"] = lost.into();
    writeln!(manifest, "{entry}").unwrap();
    let report = system.check(&[&flag, "--wait=5"]);
    report.assert_breaks_at("manifest", &["expected spans were lost"]);
    assert_eq!(report.json()["manifest"]["incomplete"][0]["trace_id"], lost);
    let table = doctor(&system.flags(), &[&flag, "--wait=5"]);
    assert!(table.stdout.contains(lost) && table.stdout.contains("What to do"), "{}", table.stdout);
    std::fs::remove_file(file).unwrap();
}

#[test]
fn bad_setting_exits_with_status_2() {
    for (flag, words) in [
        ("--wait=soon", "WAIT (--wait): 'soon' is not valid: allowed: a number from 0 to 3600"),
        ("--tempo-url=here", "TEMPO_URL (--tempo-url): 'here'"),
        ("--manifest=/no/such/file", "MANIFEST (--manifest): '/no/such/file'"),
    ] {
        let report = doctor(&[], &[flag]);
        assert_eq!((report.status, &*report.stdout), (Some(2), ""));
        assert!(report.stderr.contains(words), "{}", report.stderr);
        assert_eq!(report.stderr.lines().count(), 1);
    }
}
