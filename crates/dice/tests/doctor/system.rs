//! The system as `cargo run` starts it, services and trace viewer, whole and broken.

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::common::http;
use crate::parts::{Examination, Part, Services, Settings, doctor};

/// An address where nothing listens.
fn nowhere() -> String {
    format!("http://{}", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap())
}

/// Services with these settings, their viewer, and what the doctor says of them.
struct System {
    services: Services,
    viewer: Part,
}

impl System {
    fn start(settings: Settings<'_>) -> Self {
        let viewer = Part::viewer();
        Self { services: Services::start(&viewer.otlp, settings), viewer }
    }

    fn flags(&self) -> Vec<String> {
        [self.services.flags(), vec![format!("--tempo-url={}", self.viewer.url)]].concat()
    }

    fn examine(&self, more: &[&str]) -> Examination {
        doctor(&self.flags(), &[&["--json"], more].concat())
    }
}

#[test]
fn a_whole_system_holds_and_what_is_not_part_of_it_is_said() {
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
ok       batch answered
ok       trace continued
ok       metrics moved
ok       spans exported
skipped  Prometheus targets
skipped  Prometheus series
skipped  collector
ok       trace complete
skipped  log lines
skipped  exemplar
skipped  Grafana data sources
skipped  Grafana links
skipped  Grafana dashboard
skipped  Grafana panels

8 hops hold; 9 are
";
    let beginnings: String = table
        .stdout
        .lines()
        .map(|line| format!("{}\n", line.chars().take(30).collect::<String>().trim_end()))
        .collect();
    let beginnings = beginnings.replace("8 hops hold; 9 are not part of", "8 hops hold; 9 are");
    assert_eq!(beginnings, expected, "{}", table.stdout);
    let skipped: Vec<_> = table.stdout.lines().filter(|line| line.starts_with("skipped")).collect();
    assert!(skipped.iter().all(|line| line.contains("not part of this system: ")), "{skipped:#?}");
    assert!(table.stdout.contains("exactly what was sent"), "{}", table.stdout);

    let json = doctor(&system.flags(), &["--json"]);
    assert_eq!(json.status, Some(0), "{json:?}");
    assert_eq!((&json.json()["ok"], &json.json()["first_broken"]), (&true.into(), &serde_json::Value::Null));
    assert_eq!(json.json()["hops"].as_array().unwrap().len(), 17);
}

#[test]
fn a_service_that_is_stopped_is_named() {
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
        let examination = doctor(&flags, &["--json", "--wait=1"]);
        let url = flags.iter().find_map(|flag| flag.strip_prefix(&format!("--{stopped}-url="))).unwrap();
        examination.assert_breaks_at(&format!("{stopped} ready"), &[url, "Connection refused"]);
        assert_eq!(examination.hop("batch answered").0, "skipped");
    };
    ["die-service", "dice-roller", "frontend"].into_iter().for_each(hop);
}

#[test]
fn a_neighbour_at_another_address_breaks_the_batch() {
    let elsewhere = nowhere();
    let wrong = [("DIE_SERVICE_URL", &*elsewhere)];
    let system = System::start(Settings { dice_roller: &wrong, ..Settings::default() });
    system.examine(&["--wait=5"]).assert_breaks_at("batch answered", &["503", "DIE_SERVICE_URL of dice-roller"]);
}

#[test]
fn two_die_services_break_the_batch() {
    let file = dice("two", r#"{ "other": { "faces": [1], "error_rate": 0 } }"#);
    let other = Part::start("die-service", &[("DIE_SPECIFICATIONS", &*file)]);
    let system = System::start(Settings { dice_roller: &[("DIE_SERVICE_URL", &*other.url)], ..Settings::default() });
    system.examine(&["--wait=5"]).assert_breaks_at("batch answered", &["404", "another die-service"]);
    std::fs::remove_file(file).unwrap();
}

#[test]
fn a_die_that_fails_breaks_the_batch() {
    let file = dice("failing", r#"{ "fair": { "faces": [1], "error_rate": 1 } }"#);
    let dice = [("DIE_SPECIFICATIONS", &*file)];
    let system = System::start(Settings { die_service: &dice, ..Settings::default() });
    system.examine(&["--wait=5"]).assert_breaks_at("batch answered", &["500", "error_rate of 0"]);
    std::fs::remove_file(file).unwrap();
}

#[test]
fn a_die_that_is_not_there_breaks_the_batch() {
    let file = dice("missing", r#"{ "other": { "faces": [1], "error_rate": 0 } }"#);
    let dice = [("DIE_SPECIFICATIONS", &*file)];
    let system = System::start(Settings { die_service: &dice, ..Settings::default() });
    let words = ["does not know the die 'fair'", "DIE_SPECIFICATIONS"];
    system.examine(&["--wait=5"]).assert_breaks_at("batch answered", &words);
    std::fs::remove_file(file).unwrap();
}

/// A file of dice specifications, and its path.
fn dice(name: &str, content: &str) -> String {
    let file = std::env::temp_dir().join(format!("doctor-dice-{name}-{}.json", std::process::id()));
    std::fs::write(&file, content).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn a_trace_that_is_not_continued_is_named() {
    for (setting, value, words) in [
        ("OTEL_SDK_DISABLED", "true", "no header traceresponse"),
        ("OTEL_PROPAGATORS", "baggage", "OTEL_PROPAGATORS"),
        ("OTEL_TRACES_SAMPLER", "always_off", "OTEL_TRACES_SAMPLER"),
    ] {
        let system = System::start(Settings { frontend: &[(setting, value)], ..Settings::default() });
        system.examine(&["--wait=5"]).assert_breaks_at("trace continued", &[words]);
    }
}

#[test]
fn counters_that_do_not_move_are_named() {
    let system = System::start(Settings::default());
    // A second die-service, which nobody asks for dice.
    let other = Part::start("die-service", &[]);
    let flags = [system.flags(), vec![format!("--die-service-url={}", other.url)]].concat();
    let flags: Vec<_> = flags.into_iter().filter(|flag| *flag != system.services.flags()[0]).collect();
    let words = ["die-service: http_requests_total", "moved by 0, not by 1", &other.url];
    doctor(&flags, &["--json", "--wait=5"]).assert_breaks_at("metrics moved", &words);
}

#[test]
fn exclusive_notices_others() {
    // The batch takes most of a second, and a question about a die that is not there hardly any time.
    let system = System::start(Settings { all: &[("ROLL_DELAY_MAX_MS", "1000")], ..Settings::default() });
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let client = http();
            while !done.load(Ordering::Relaxed) {
                let _ = client.get(format!("{}/roll?die=nope", system.services.frontend.url)).send();
            }
        });
        let (alone, among_others) = (system.examine(&["--exclusive", "--wait=5"]), system.examine(&["--wait=5"]));
        done.store(true, Ordering::Relaxed);
        alone.assert_breaks_at("metrics moved", &["somebody else"]);
        assert_eq!(among_others.hop("metrics moved").0, "ok");
    });
}

#[test]
fn spans_that_go_nowhere_are_named() {
    let elsewhere = nowhere();
    for (setting, value, words) in [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &*elsewhere, ["dice-roller lost", "OTEL_EXPORTER_OTLP_ENDPOINT"]),
        ("OTEL_TRACES_EXPORTER", "none", ["0 of 7 spans have left dice-roller", "OTEL_TRACES_EXPORTER"]),
    ] {
        let system = System::start(Settings { dice_roller: &[(setting, value)], ..Settings::default() });
        system.examine(&["--wait=5"]).assert_breaks_at("spans exported", &words);
    }
}

#[test]
fn spans_in_another_backend_are_missing() {
    let other = Part::viewer();
    let there = [("OTEL_EXPORTER_OTLP_ENDPOINT", &*other.otlp)];
    let system = System::start(Settings { die_service: &there, ..Settings::default() });
    let words = ["9 of 10 spans", "missing: GET /dice SERVER die-service"];
    system.examine(&["--wait=5"]).assert_breaks_at("trace complete", &words);
}

#[test]
fn a_viewer_that_was_named_must_be_there() {
    let system = System::start(Settings::default());
    let flags = [system.services.flags(), vec![format!("--tempo-url={}", nowhere())]].concat();
    doctor(&flags, &["--json", "--wait=5"]).assert_breaks_at("trace complete", &["Connection refused", "TEMPO_URL"]);
}

#[test]
fn in_the_stack_everything_must_be_there() {
    if TcpStream::connect("127.0.0.1:9090").is_ok() {
        println!("SKIPPED: something listens on 9090, where Prometheus would be");
        return;
    }
    let system = System::start(Settings::default());
    system
        .examine(&["--stack", "--wait=5"])
        .assert_breaks_at("Prometheus targets", &["127.0.0.1:9090", "PROMETHEUS_URL"]);
}

#[test]
fn a_manifest_is_compared_and_what_was_lost_is_listed() {
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
        let mut process = crate::common::process::Process::start(&flags, &[&base, settings].concat());
        assert!(process.wait().success(), "{}", process.text());
    };
    let flag = format!("--manifest={}", file.display());

    generate(&[]);
    let whole = system.examine(&[&flag]);
    assert_eq!(whole.hop("manifest").0, "ok", "{}", whole.stdout);
    assert_eq!(whole.json()["manifest"]["spans_lost"], 0);

    // A trace that no backend has.
    let mut manifest = std::fs::OpenOptions::new().append(true).open(&file).unwrap();
    let lines = std::fs::read_to_string(&file).unwrap();
    let mut entry: serde_json::Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    let lost = "0af7651916cd43dd8448eb211c80319c";
    entry["trace_id"] = lost.into();
    writeln!(manifest, "{entry}").unwrap();
    let examination = system.examine(&[&flag, "--wait=5"]);
    examination.assert_breaks_at("manifest", &["expected spans were lost"]);
    assert_eq!(examination.json()["manifest"]["incomplete"][0]["trace_id"], lost);
    let table = doctor(&system.flags(), &[&flag, "--wait=5"]);
    assert!(table.stdout.contains(lost) && table.stdout.contains("What to do"), "{}", table.stdout);
    std::fs::remove_file(file).unwrap();
}

#[test]
fn a_setting_that_is_not_understood_ends_it_with_status_2() {
    for (flag, words) in [
        ("--wait=soon", "WAIT (--wait): 'soon' is not valid: allowed: a number from 0 to 3600"),
        ("--tempo-url=here", "TEMPO_URL (--tempo-url): 'here'"),
        ("--manifest=/no/such/file", "MANIFEST (--manifest): '/no/such/file'"),
    ] {
        let examination = doctor(&[], &[flag]);
        assert_eq!((examination.status, &*examination.stdout), (Some(2), ""));
        assert!(examination.stderr.contains(words), "{}", examination.stderr);
        assert_eq!(examination.stderr.lines().count(), 1);
    }
}
