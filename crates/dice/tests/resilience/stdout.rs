//! Nobody reads stdout: requests go on, and each line is either read later or counted as lost.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::common::{eventually, metrics};
use crate::figure;
use crate::load::{Load, STEADY};
use crate::raw::Connection;
use crate::role::{NO_EXPORT, Role, free_port, resident};

/// Of a batch of 20: started, die asked for, 20 rolls, completed.
const LINES_OF_A_BATCH: f64 = 23.0;

/// A process whose stdout nobody reads; killed when dropped.
struct Unread(Child);

impl Drop for Unread {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_blocked_stdout_blocks_no_request_and_every_line_is_accounted_for() {
    let die_service = Role::start("die-service", &[NO_EXPORT]);
    let port = free_port().to_string();
    let process = Command::new(env!("CARGO_BIN_EXE_dice"))
        .arg("dice-roller")
        .env_clear()
        .envs([("PORT", &*port), ("DIE_SERVICE_URL", &die_service.url), ("ROLL_DELAY_MAX_MS", "0"), NO_EXPORT])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let url = format!("http://127.0.0.1:{port}");
    let mut process = Unread(process);
    let id = process.0.id() as i32;
    eventually("dice-roller", || Connection::open(&url).ok());

    let lost = || metrics(&url)[r#"telemetry_log_records_dropped_total{reason="queue_full"}"#];
    let load = Load::start(&url, "/roll-async?die=fair&times=20", STEADY);
    let full = eventually("a full buffer", || {
        let memory = resident(id);
        (lost() > 0.0).then_some(memory)
    });
    let blocked = std::time::Instant::now();
    std::thread::sleep(Duration::from_secs(2));
    let memory = resident(id);
    let tally = load.stop();
    let (before, after) =
        (tally.between(tally.answers[0].0, blocked), tally.between(blocked, std::time::Instant::now()));
    assert_eq!((tally.lost, tally.count(200)), (0, tally.answers.len()), "{}", tally.statuses());
    assert!(
        after.quantile(0.99) < 3 * before.quantile(0.99) + Duration::from_millis(100),
        "{:?}",
        after.quantile(0.99)
    );
    assert!(memory < full + 16.0, "{full} MiB when the buffer was full, {memory} MiB later");

    let lost = lost();
    kill(Pid::from_raw(id), Signal::SIGTERM).unwrap();
    let lines = BufReader::new(process.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    let of_batches = lines.filter(|line| line.contains("\"trace_id\"")).count() as f64;
    assert!(process.0.wait().unwrap().success());
    assert_eq!(of_batches + lost, tally.answers.len() as f64 * LINES_OF_A_BATCH, "{lost} lines were counted as lost");
    figure(&format!(
        "stdout not read: {} answers, all 200, p99 {:?} before and {:?} while blocked, {of_batches} lines read later + \
         {lost} counted as lost = all, {memory:.0} MiB",
        tally.answers.len(),
        before.quantile(0.99),
        after.quantile(0.99),
    ));
}
