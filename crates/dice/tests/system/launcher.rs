//! `dice` without a subcommand: what it writes, and how it stops.

use test_support::{Process, Signal, eventually, http};

use crate::common::{Ports, dice, launch};

/// Waits until nobody listens any more where this system did.
pub(super) fn wait_until_gone(system: Ports) {
    eventually("all ports free again", || system.are_free().then_some(()));
}

/// The last line that the launcher itself wrote.
fn error_of(launcher: &Process) -> String {
    let lines = launcher.lines();
    let errors: Vec<_> = lines.iter().filter(|line| line.starts_with("error: ")).collect();
    let [error] = errors.as_slice() else { panic!("not one error:\n{}", lines.join("\n")) };
    (*error).clone()
}

#[test]
fn printed_addresses_and_commands_work() {
    let (mut launcher, ports) = launch(&[("ROLL_DELAY_MAX_MS", "0")]);
    launcher.wait_for(|line| line.starts_with("  trace-viewer"));
    let text = launcher.text();
    for url in [ports.frontend(), ports.dice_roller(), ports.die_service(), ports.viewer()] {
        assert!(text.contains(&format!("  {url}  ")), "{url} is not in:\n{text}");
        assert_eq!(http::get(format!("{url}/ready")).status, 200);
    }
    // Each command that it prints works.
    let tries: Vec<_> = text.lines().filter_map(|line| line.split_once("curl '")?.1.strip_suffix('\'')).collect();
    assert_eq!(tries.len(), 4);
    for url in tries {
        assert_eq!(http::get(url).status, 200, "{url}");
    }
    let line = launcher.wait_for(|line| line.contains("Async roll batch completed"));
    assert!(line.contains("  dice-roller   INFO     Async roll batch completed  die_type=fair times=5"), "{line}");

    // The page leads to this system's own viewer, which has the trace.
    let page = http::get(ports.frontend()).text();
    assert!(page.contains(&format!("{}/trace/{{trace_id}}", ports.viewer())), "{page}");
    let id = http::get(ports.frontend() + "/roll?die=fair").trace_id();
    let trace = format!("{}/api/traces/{id}", ports.viewer());
    eventually("the trace in the viewer", || (http::get(&trace).status == 200).then_some(()));
    assert!(launcher.stop().success());
}

#[test]
fn port_offset_leads_clients_to_the_moved_system() {
    let (_launcher, ports) = launch(&[("ROLL_DELAY_MAX_MS", "0")]);
    let offset = ports.offset.to_string();
    let traffic = ["--num-users=1", "--max-rolls-per-user=1", "--think-time-ms=0", "--seed=1", "--log-format=json"];
    let generate = |variables: &[(&str, &str)]| {
        dice(&[&["generate-traffic", "--port-offset", &offset], &traffic[..]].concat(), variables).finish()
    };
    let generated = generate(&[]);
    assert!(generated.status.success(), "{}{}", generated.stdout, generated.stderr);
    // Its own spans are in the same viewer.
    let id = generated.stdout.split(r#""trace_id":""#).nth(1).unwrap().split('"').next().unwrap().to_owned();
    let trace = format!("{}/api/traces/{id}", ports.viewer());
    eventually("the generator's own span", || http::get(&trace).text().contains("simulated_user").then_some(()));

    // The variable of the launcher holds too, and an address that is named wins over both.
    let measured = dice(&["async-performance", "--iterations=1", "--rolls=2"], &[("PORT_OFFSET", &offset)]).finish();
    assert!(measured.status.success(), "{}{}", measured.stdout, measured.stderr);
    let elsewhere = generate(&[("FRONTEND_URL", test_support::NOWHERE)]);
    assert!(elsewhere.stderr.contains(test_support::NOWHERE), "{}{}", elsewhere.stdout, elsewhere.stderr);
}

#[test]
fn ctrl_c_stops_callers_first_and_the_viewer_last() {
    let (mut launcher, ports) = launch(&[("LOG_FORMAT", "json")]);
    launcher.signal(Signal::SIGINT);
    assert!(launcher.wait().success(), "{}", launcher.text());
    let stopped = |line: &String| {
        let line: serde_json::Value = serde_json::from_str(line).ok()?;
        let message = line["message"].as_str()?;
        ["Stopped", "Trace viewer stopped"].contains(&message).then(|| line["service"].as_str().map(str::to_owned))?
    };
    let order: Vec<_> = launcher.lines().iter().filter_map(stopped).collect();
    assert_eq!(order, ["frontend", "dice-roller", "die-service", "trace-viewer"]);
    wait_until_gone(ports);
}

#[test]
fn second_ctrl_c_kills_all() {
    let (mut launcher, ports) = launch(&[("ROLL_DELAY_MAX_MS", "60000"), ("ROLL_SEED", "1")]);
    let url = ports.frontend() + "/roll-async?die=fair&times=20";
    let client = std::thread::spawn(move || http::client().get(url).send().is_err());
    let rolls = || http::metrics(&ports.dice_roller())["async_rolls_in_progress"];
    eventually("rolls under way", || (rolls() > 0.0).then_some(()));

    launcher.signal(Signal::SIGINT);
    launcher.wait_for(|line| line.starts_with("Stopping frontend, dice-roller, die-service, trace-viewer"));
    launcher.signal(Signal::SIGINT);
    assert_eq!(launcher.wait().code(), Some(1));
    assert!(error_of(&launcher).contains("second signal"));
    assert!(client.join().unwrap(), "the request got its response");
    wait_until_gone(ports);
}

#[test]
fn stopped_reader_delays_nothing() {
    let (mut launcher, ports) = launch(&[("ROLL_DELAY_MAX_MS", "0")]);
    launcher.stop_reading();
    // 26 lines each: more than the pipes and the queue between a service and its reader take.
    for _ in 0..100 {
        assert_eq!(http::get(ports.frontend() + "/roll-async?die=fair&times=20").status, 200);
    }
    assert!(launcher.stop().success());
    assert!(launcher.text().contains("Async roll batch completed"));
    wait_until_gone(ports);
}

#[cfg(target_os = "linux")] // finds processes in /proc
#[test]
fn killed_service_stops_the_others_in_order() {
    let (mut launcher, ports) = launch(&[("LOG_FORMAT", "json")]);
    nix::sys::signal::kill(child(&launcher, "dice-roller"), Signal::SIGKILL).unwrap();
    assert_eq!(launcher.wait().code(), Some(1));
    let error = error_of(&launcher);
    assert!(error.starts_with("error: dice-roller exited by itself (signal: 9 (SIGKILL))"), "{error}");
    assert!(launcher.text().contains("Stopping frontend, die-service, trace-viewer"), "{}", launcher.text());
    wait_until_gone(ports);
}

#[test]
fn killed_launcher_leaves_no_process() {
    let (mut launcher, ports) = launch(&[]);
    launcher.signal(Signal::SIGKILL);
    launcher.wait();
    wait_until_gone(ports);
}

/// The process of that role, among the children of `launcher`.
#[cfg(target_os = "linux")]
pub(super) fn child(launcher: &Process, role: &str) -> nix::unistd::Pid {
    let id = launcher.id();
    let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
    let plays = |pid: &&str| std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap().contains(role);
    let pid = children.split_whitespace().find(plays).unwrap_or_else(|| panic!("no {role} among {children}"));
    nix::unistd::Pid::from_raw(pid.parse().unwrap())
}
