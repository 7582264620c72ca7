//! What the launcher refuses before anything starts, and with which line.

use std::net::TcpListener;

use test_support::{Process, eventually, http};

use crate::common::{Ports, dice, launch};

/// The one line of a launcher whose ports are all taken: had it come to them, or to a child, the line would be another.
fn refused(environment: &[(&str, &str)]) -> String {
    let ports = Ports::next();
    let _taken: Vec<_> = crate::common::PORTS.map(|port| TcpListener::bind(("127.0.0.1", port + ports.offset))).into();
    let stopped = dice(&["--port-offset", &ports.offset.to_string()], environment).finish();
    assert!(stopped.status.code().is_some_and(|code| code != 0), "{environment:?}: {}", stopped.status);
    assert_eq!(stopped.stdout, "", "{environment:?}");
    let [line] = stopped.stderr.lines().collect::<Vec<_>>()[..] else { panic!("not one line: {}", stopped.stderr) };
    line.to_owned()
}

#[test]
fn bad_value_of_a_service_stops_the_launcher_before_anything_starts() {
    for (service, name, value) in [
        ("dice-roller", "ROLL_DELAY_MAX_MS", "abc"),
        ("dice-roller", "MAX_ASYNC_ROLLS", "0"),
        ("dice-roller", "ROLL_SEED", "x"),
        ("dice-roller", "MAX_CONCURRENT_ROLLS", "0"),
        ("dice-roller", "BREAKER_FAILURES", "none"),
        ("dice-roller", "DIE_SERVICE_URL", "here"),
        ("frontend", "RATE_LIMIT_PER_SECOND", "-1"),
        ("frontend", "TRACE_URL_TEMPLATE", "http://127.0.0.1/trace"),
        ("frontend", "DICE_ROLLER_URL", "ftp://x"),
        ("die-service", "DIE_SPECIFICATIONS", "/nowhere"),
        ("trace-viewer", "RUST_LOG", "a=b=c"),
        ("die-service", "SHUTDOWN_GRACE_MS", "long"),
        ("die-service", "SHUTDOWN_DELAY_MS", "-1"),
        ("die-service", "SPAN_PROCESSOR", "fast"),
        ("die-service", "LOG_FORMAT", "xml"),
        ("die-service", "OTEL_TRACES_SAMPLER", "xray"),
        ("die-service", "OTEL_METRICS_EXPORTER", "otlp"),
        ("die-service", "OTEL_EXPORTER_OTLP_ENDPOINT", "here"),
        ("die-service", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4096"),
        ("die-service", "OTEL_CONFIG_FILE", "sdk"),
        ("trace-viewer", "MAX_SPANS", "1"),
        ("trace-viewer", "OTLP_PORT", "x"),
    ] {
        let line = refused(&[(name, value)]);
        let own = dice(&[service, "--port", "0"], &[(name, value)]).finish().stderr;
        assert_eq!(line, own.trim_end(), "{name}={value}");
        assert!(line.contains(value), "{line}");
    }
    let line = refused(&[("HOST", "localhost:80")]);
    assert!(line.starts_with("error: HOST (--host): 'localhost:80' is not valid: "), "{line}");
    assert!(line.contains("allowed: an address of this machine"), "{line}");
}

#[test]
fn taken_port_is_reported_with_its_program_before_anything_starts() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let offset = port - 8107;
    let mut launcher = dice(&["--port-offset", &offset.to_string()], &[]);
    assert_eq!(launcher.wait().code(), Some(1));
    let lines = launcher.lines();
    let [line] = lines.as_slice() else { panic!("not one line: {lines:#?}") };
    assert!(line.contains(&format!("{port} (dice-roller")), "{line}");
    assert!(line.contains(&format!("--port-offset {}", offset + 100)), "{line}");
    if cfg!(target_os = "linux") {
        // This test itself.
        let program = std::fs::read_to_string("/proc/self/comm").unwrap();
        let by = format!("(dice-roller, taken by {}, process {})", program.trim(), std::process::id());
        assert!(line.contains(&by), "{line}");
    }
}

#[test]
fn port_given_twice_is_reported_as_such() {
    let ports = Ports::next();
    let launcher = dice(&["--port-offset", &ports.offset.to_string()], &[("OTLP_PORT", "8106")]).finish();
    let port = 8106 + ports.offset;
    assert!(launcher.stderr.contains(&format!("port {port} (die-service")), "{}", launcher.stderr);
    if cfg!(target_os = "linux") {
        assert!(launcher.stderr.contains("(die-service, given twice)"), "{}", launcher.stderr);
    }
}

#[test]
fn launcher_takes_a_host_name_and_any_free_otlp_port() {
    let (mut launcher, _) =
        launch(&[("HOST", "localhost"), ("OTLP_PORT", "0"), ("OTLP_GRPC_PORT", "0"), ("ROLL_DELAY_MAX_MS", "0")]);
    // The address may be that of IPv6: the launcher says which.
    let url = |name: &str| {
        let line = launcher.wait_for(|line| line.trim_start().starts_with(name) && line.contains("http://"));
        line.split_whitespace().find(|word| word.starts_with("http://")).unwrap().to_owned()
    };
    let (frontend, viewer) = (url("frontend"), url("trace-viewer"));
    let id = http::get(format!("{frontend}/roll?die=fair")).trace_id();
    let trace = format!("{viewer}/api/traces/{id}");
    eventually("the trace in the viewer", || (http::get(&trace).status == 200).then_some(()));
    assert!(launcher.stop().success(), "{}", launcher.text());
}

#[test]
fn subcommand_takes_values_that_the_launcher_could_not_use() {
    for (role, name, value) in [("die-service", "HOST", "localhost"), ("trace-viewer", "OTLP_PORT", "0")] {
        let mut part = dice(&[role], &[("PORT", "0"), ("OTLP_PORT", "0"), ("OTLP_GRPC_PORT", "0"), (name, value)]);
        let ready = part.url("address") + "/ready";
        eventually("a part that is ready", || (http::client().get(&ready).send().ok()?.status() == 200).then_some(()));
        assert!(part.stop().success(), "{}", part.text());
    }
}

#[cfg(target_os = "linux")] // a path that is another file in each process
#[test]
fn service_that_cannot_start_is_named_with_its_error() {
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("dice-{}.json", std::process::id()));
    std::fs::write(&file, r#"{"x": {"faces": [1], "error_rate": 0}}"#).unwrap();
    let offset = Ports::next().offset.to_string();
    // The launcher reads dice from its standard input; that of the service is a pipe.
    let mut command = std::process::Command::new("sh");
    command.args(["-c", r#"exec "$0" --port-offset "$1" < "$2""#, env!("CARGO_BIN_EXE_dice"), &offset]).arg(&file);
    command.env_clear().env("DIE_SPECIFICATIONS", "/proc/self/fd/0");
    let launcher = Process::spawn(command).unwrap().finish();
    std::fs::remove_file(&file).unwrap();
    assert_eq!(launcher.status.code(), Some(1));
    let error = launcher.stderr.trim_end();
    assert!(error.starts_with("error: die-service exited by itself (exit status: 1): die specifications"), "{error}");
    assert!(error.contains("/proc/self/fd/0") && error.ends_with("start again"), "{error}");
    assert!(!launcher.stdout.contains("The system is running"));
}
