//! How the launcher ends when it is told to early or by a closed terminal, and what it does when the viewer ends.
#![cfg(target_os = "linux")] // finds processes in /proc

use std::time::{Duration, Instant};

use test_support::skip::unless;
use test_support::{Process, Signal, eventually, http};

use super::launcher::{child, wait_until_gone};
use crate::common::{Ports, dice, launch};

/// The processes below `process`.
fn children(process: &Process) -> Vec<String> {
    let id = process.id();
    let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
    children.split_whitespace().map(str::to_owned).collect()
}

fn is_gone(pid: &str) -> bool {
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    state.is_empty() || state.contains(") Z ")
}

/// Whether SIGHUP is ignored here, as below `nohup`: then it is in the processes of a test too, and the launcher leaves it so.
fn ignores_hang_up() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
    u64::from_str_radix(ignored.trim(), 16).unwrap() & (1 << (Signal::SIGHUP as u32 - 1)) != 0
}

/// Whether the process holds SIGTERM back or handles it, which it does from the first line of its `main` on: nothing before that line can.
fn has_main_begun(process: &Process) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap_or_default();
    let signals = |field: &str| status.lines().find_map(|line| line.strip_prefix(field)).unwrap_or("0");
    let has_sigterm =
        |field| u64::from_str_radix(signals(field).trim(), 16).unwrap() & (1 << (Signal::SIGTERM as u32 - 1)) != 0;
    has_sigterm("SigBlk:") || has_sigterm("SigCgt:")
}

#[test]
fn sigterm_in_the_first_milliseconds_ends_all_in_order() {
    // As long as a start takes, in steps; the baseline is of the same run.
    let started = Instant::now();
    let (mut whole, _) = launch(&[]);
    let start = started.elapsed();
    assert!(whole.stop().success());
    for step in 0..8 {
        let ports = Ports::next();
        let mut launcher = dice(&["--port-offset", &ports.offset.to_string()], &[]);
        while !has_main_begun(&launcher) {
            assert!(
                launcher.exited().unwrap().is_none() && !launcher.text().contains("is running"),
                "SIGTERM is not held back"
            );
            std::thread::yield_now();
        }
        std::thread::sleep(start * step / 7);
        let signal = if step % 2 == 0 || ignores_hang_up() { Signal::SIGTERM } else { Signal::SIGHUP };
        let below = children(&launcher);
        launcher.signal(signal);
        let status = launcher.wait();
        assert_eq!(status.code(), Some(0), "{signal} after {:?}: {status}\n{}", start * step / 7, launcher.text());
        eventually("no child left", || below.iter().all(|pid| is_gone(pid)).then_some(()));
        wait_until_gone(ports);
    }
}

#[test]
fn closed_terminal_ends_all_in_order() {
    let obeys = if ignores_hang_up() { Err("SIGHUP is ignored here (nohup)".to_owned()) } else { Ok(()) };
    let Some(()) = unless(obeys, "REQUIRE_SIGHUP") else { return };
    let (mut launcher, ports) = launch(&[("LOG_FORMAT", "json")]);
    launcher.signal(Signal::SIGHUP);
    assert!(launcher.wait().success(), "{}", launcher.text());
    assert!(launcher.text().contains("Stopping frontend, dice-roller, die-service, trace-viewer"));
    assert_eq!(launcher.json_lines_of("Stopped").len(), 3);
    wait_until_gone(ports);
}

#[test]
fn nohup_keeps_the_system_running() {
    let ports = Ports::next();
    let mut command = std::process::Command::new("nohup");
    command.args([env!("CARGO_BIN_EXE_dice"), "--port-offset", &ports.offset.to_string()]).env_clear();
    let mut launcher = Process::spawn(command).unwrap();
    launcher.wait_for(|line| line.contains("The system is running"));
    launcher.signal(Signal::SIGHUP);
    assert_eq!(http::get(ports.frontend() + "/roll?die=fair").status, 200);
    assert!(launcher.exited().unwrap().is_none());
    assert!(launcher.stop().success());
    wait_until_gone(ports);
}

#[test]
fn killed_viewer_is_started_again_once_and_services_go_on() {
    let (mut launcher, ports) = launch(&[("ROLL_DELAY_MAX_MS", "0")]);
    let services = ["die-service", "dice-roller", "frontend"].map(|name| child(&launcher, name));
    let roll = || http::get(ports.frontend() + "/roll?die=fair");
    let dropped = || http::metrics(&ports.frontend())[r#"telemetry_spans_dropped_total{reason="export_failed"}"#];
    let has = |id: &str| {
        let trace = format!("{}/api/traces/{id}", ports.viewer());
        eventually("the trace in the viewer", || {
            let response = http::client().get(&trace).send().ok()?;
            (response.status() == 200).then_some(())
        });
    };
    has(&roll().trace_id());

    let viewer = child(&launcher, "trace-viewer");
    nix::sys::signal::kill(viewer, Signal::SIGKILL).unwrap();
    // While it is away, a service retries.
    let meanwhile = roll();
    assert_eq!(meanwhile.status, 200);
    launcher
        .wait_for(|line| line.starts_with("trace-viewer exited by itself (signal: 9 (SIGKILL)) and is started again"));
    has(&meanwhile.trace_id());
    has(&roll().trace_id());
    assert_eq!(dropped(), 0.0);

    nix::sys::signal::kill(child(&launcher, "trace-viewer"), Signal::SIGKILL).unwrap();
    launcher.wait_for(|line| line.starts_with("trace-viewer exited again") && line.contains("stays off"));
    for _ in 0..20 {
        assert_eq!(roll().status, 200);
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(["die-service", "dice-roller", "frontend"].map(|name| child(&launcher, name)), services);
    assert!(http::client().get(ports.viewer()).send().is_err(), "a third viewer");
    let status = launcher.stop();
    assert!(status.success(), "{status}: {}", launcher.text());
    wait_until_gone(ports);
}
