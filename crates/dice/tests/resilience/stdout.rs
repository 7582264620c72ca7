//! Nobody reads stdout: requests go on, and each line is either read later or counted as lost.

use std::time::Duration;

use test_support::{eventually, http};

use crate::common::service::{NO_EXPORT, Service};
use crate::figure;
use crate::load::{Load, STEADY, delayed};

/// Of a batch of 20: started, die requested, 20 rolls, completed.
const LINES_OF_A_BATCH: f64 = 23.0;

#[test]
fn blocked_stdout_blocks_no_request_and_every_line_is_counted() {
    let die_service = Service::start("die-service", &[NO_EXPORT]);
    let settings = [("DIE_SERVICE_URL", &*die_service.url), ("ROLL_DELAY_MAX_MS", "0"), NO_EXPORT];
    let mut service = Service::start("dice-roller", &settings);
    let url = service.url.clone();
    service.process().stop_reading();

    let lost = || http::metrics(&url)[r#"telemetry_log_records_dropped_total{reason="queue_full"}"#];
    let load = Load::start(&url, "/roll-async?die=fair&times=20", STEADY);
    let full = eventually("a full buffer", || {
        let memory = service.memory();
        (lost() > 0.0).then_some(memory)
    });
    let blocked = std::time::Instant::now();
    std::thread::sleep(Duration::from_secs(2));
    let memory = service.memory();
    let tally = load.stop();
    let (before, after) =
        (tally.between(tally.responses[0].0, blocked), tally.between(blocked, std::time::Instant::now()));
    assert_eq!((tally.lost, tally.count(200)), (0, tally.responses.len()), "{}", tally.statuses());
    let (p99_before, p99_after) = (before.quantile(0.99), after.quantile(0.99));
    assert!(p99_after < delayed(p99_before), "{p99_after:?}, {p99_before:?} before");
    assert!(memory < full + 16.0, "{full} MiB when the buffer was full, {memory} MiB later");

    let lost = lost();
    service.process().resume_reading();
    service.stop();
    let of_batches = service.process().lines().iter().filter(|line| line.contains("\"trace_id\"")).count() as f64;
    assert_eq!(of_batches + lost, tally.responses.len() as f64 * LINES_OF_A_BATCH, "{lost} lines were counted as lost");
    figure(&format!(
        "stdout not read: {} responses, all 200, p99 {p99_before:?} before and {p99_after:?} while blocked, {of_batches} \
         lines read later + {lost} counted as lost = all, {memory:.0} MiB",
        tally.responses.len(),
    ));
}
