//! When requests are made: by users who wait for a response and think, or at a fixed rate.
//!
//! Users slow down with the system (a closed loop), as people do. A fixed rate does not (an open loop), so it shows
//! what a slow system does to those who come meanwhile: a latency counts from the moment when the request was planned,
//! not from when it could be made. Leaving that wait out is known as coordinated omission.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::config::Config;
use super::plan::{User, in_turn};
use super::request::{Caller, Outcome};

/// Where outcomes go; the receiver sees the end of the run when all senders are gone.
pub(crate) type Outcomes = UnboundedSender<Outcome>;

/// All users at once, each with its requests one after another.
pub(crate) async fn users(config: &Arc<Config>, seed: u64, caller: Caller, outcomes: Outcomes) {
    let mut users = JoinSet::new();
    for user in User::all(config, seed) {
        users.spawn(simulate(user, caller.clone(), outcomes.clone()));
    }
    users.join_all().await;
}

async fn simulate(user: User, caller: Caller, outcomes: Outcomes) {
    let (id, count, mut made) = (user.id, user.count as usize, 0);
    for request in user.take(count) {
        if made > 0 && caller.stop.finishing_at(Instant::now() + request.think).await {
            break;
        }
        // Fails only when the run has failed and is about to drop this user.
        let _ = outcomes.send(caller.make(request, Instant::now()).await);
        made += 1;
    }
    tracing::info!(requests = made, "User {id} finished");
}

/// `rate` requests per second, `count` of them, or without end until the run is stopped.
///
/// At most `MAX_IN_FLIGHT` are under way at once. When that is reached requests begin late, and it is said; none is
/// left out.
pub(crate) async fn fixed_rate(
    config: &Arc<Config>,
    rate: f64,
    count: Option<u64>,
    seed: u64,
    caller: Caller,
    outcomes: Outcomes,
) {
    let started = Instant::now();
    let mut in_flight = JoinSet::new();
    let mut behind = false;
    for (index, request) in (0..count.unwrap_or(u64::MAX)).zip(in_turn(config, seed)) {
        let planned = started + offset(index, rate);
        if caller.stop.finishing_at(planned).await {
            break;
        }
        while in_flight.try_join_next().is_some() {}
        if in_flight.len() >= config.max_in_flight {
            if !std::mem::replace(&mut behind, true) {
                let max_in_flight = config.max_in_flight;
                tracing::warn!(max_in_flight, "Falling behind: requests begin later than planned from here on");
            }
            in_flight.join_next().await;
        }
        let (caller, outcomes) = (caller.clone(), outcomes.clone());
        in_flight.spawn(async move { outcomes.send(caller.make(request, planned).await) });
    }
    in_flight.join_all().await;
}

/// When the request `index` begins, after the start of the run.
fn offset(index: u64, rate: f64) -> Duration {
    // Multiplied, not added up: a sum of rounded steps would drift away from the rate.
    Duration::from_secs_f64(index as f64 / rate)
}

/// How many requests a rate makes within a time.
pub(crate) fn planned_count(rate: f64, duration: Duration) -> u64 {
    (rate * duration.as_secs_f64()).ceil() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_plans_requests_evenly_and_without_drift() {
        assert_eq!(offset(0, 50.0), Duration::ZERO);
        assert_eq!(offset(1, 50.0), Duration::from_millis(20));
        assert_eq!(offset(3, 0.5), Duration::from_secs(6));
        assert_eq!(offset(3_000_000, 3.0), Duration::from_secs(1_000_000));
    }

    #[test]
    fn duration_includes_every_request_planned_before_its_end() {
        assert_eq!(planned_count(50.0, Duration::from_secs(10)), 500);
        assert_eq!(planned_count(0.3, Duration::from_secs(1)), 1);
        for (rate, seconds) in [(3.0, 2.5), (7.0, 0.9), (1000.0, 0.0105)] {
            let duration = Duration::from_secs_f64(seconds);
            let count = planned_count(rate, duration);
            assert!(offset(count - 1, rate) < duration && offset(count, rate) >= duration, "{rate} {seconds}");
        }
    }
}
