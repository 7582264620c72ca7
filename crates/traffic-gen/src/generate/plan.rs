//! Who rolls what: decided by the seed and the user's number alone, so that neither timing nor responses change it.

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::config::{Config, ThinkTime};

/// One request, before it is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    /// Who makes it, from 1.
    pub(crate) user: u32,
    /// The how-manieth of that user, from 1.
    pub(crate) number: u32,
    pub(crate) die: String,
    /// How many dice a batch has; none for a single roll.
    pub(crate) times: Option<u32>,
    /// How long the user thinks before it, unless it is the first.
    pub(crate) think: Duration,
}

/// One simulated user: an endless row of requests, of which a closed loop takes [`User::count`].
pub(crate) struct User {
    pub(crate) id: u32,
    /// How many requests this user makes.
    pub(crate) count: u32,
    config: Arc<Config>,
    rng: StdRng,
    number: u32,
}

impl User {
    pub(crate) fn new(config: Arc<Config>, seed: u64, id: u32) -> Self {
        let mut stream = [0; 32];
        stream[..8].copy_from_slice(&seed.to_le_bytes());
        stream[8..12].copy_from_slice(&id.to_le_bytes());
        let mut rng = StdRng::from_seed(stream);
        let count = rng.random_range(1..=config.max_rolls_per_user);
        Self { id, count, config, rng, number: 0 }
    }

    /// All users of a run.
    pub(crate) fn all(config: &Arc<Config>, seed: u64) -> impl Iterator<Item = Self> {
        (1..=config.num_users).map(move |id| Self::new(config.clone(), seed, id))
    }
}

impl Iterator for User {
    type Item = Request;

    fn next(&mut self) -> Option<Request> {
        let Self { config, rng, .. } = self;
        let batch = rng.random_bool(config.async_probability);
        let times = rng.random_range(1..=config.max_async_rolls);
        let die = config.dice[rng.random_range(..config.dice.len())].clone();
        let ThinkTime(from, to) = config.think_time_ms;
        let think = Duration::from_millis(rng.random_range(from..=to));
        self.number += 1;
        Some(Request { user: self.id, number: self.number, die, times: batch.then_some(times), think })
    }
}

/// The requests of all users in turn, without end: what a fixed rate makes.
pub(crate) fn in_turn(config: &Arc<Config>, seed: u64) -> impl Iterator<Item = Request> + use<> {
    let mut users: Vec<_> = User::all(config, seed).collect();
    (0..).map_while(move |turn: usize| {
        let user = turn % users.len();
        users[user].next()
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn config(flags: &[&str]) -> Arc<Config> {
        Arc::new(Config::try_parse_from(["generate-traffic"].iter().chain(flags)).unwrap())
    }

    fn requests(config: &Arc<Config>, seed: u64, id: u32) -> Vec<Request> {
        User::new(config.clone(), seed, id).take(50).collect()
    }

    #[test]
    fn request_depends_on_seed_user_and_number_alone() {
        let (few, many) = (config(&["--num-users=3"]), config(&["--num-users=300"]));
        assert_eq!(requests(&few, 7, 2), requests(&many, 7, 2));
        assert_ne!(requests(&few, 7, 2), requests(&few, 8, 2));
        let what = |id| requests(&few, 7, id).into_iter().map(|r| (r.die, r.times, r.think)).collect::<Vec<_>>();
        assert_ne!(what(1), what(2));
    }

    #[test]
    fn fixed_rate_takes_requests_of_users_in_turn() {
        let config = config(&["--num-users=3"]);
        let taken: Vec<_> = in_turn(&config, 7).take(9).collect();
        let of_second: Vec<_> = taken.iter().filter(|request| request.user == 2).cloned().collect();
        assert_eq!(of_second, requests(&config, 7, 2)[..3]);
        assert_eq!(taken.iter().map(|request| request.user).collect::<Vec<_>>(), [1, 2, 3, 1, 2, 3, 1, 2, 3]);
    }

    #[test]
    fn requests_stay_within_settings() {
        let config = config(&["--max-rolls-per-user=4", "--max-async-rolls=3", "--think-time-ms=5-6", "--dice=a,b"]);
        let users: Vec<_> = User::all(&config, 1).collect();
        assert!(users.iter().all(|user| (1..=4).contains(&user.count)));
        for request in in_turn(&config, 1).take(1000) {
            assert!(request.times.is_none_or(|times| (1..=3).contains(&times)), "{request:?}");
            assert!((5..=6).contains(&request.think.as_millis()) && ["a", "b"].contains(&&*request.die));
        }
    }

    /// Bounds of five standard deviations of the wanted share; the seed is fixed.
    #[test]
    fn share_of_batches_is_that_of_setting() {
        for share in [0.0, 0.3, 1.0] {
            let config = config(&[&format!("--async-probability={share}")]);
            let batches = in_turn(&config, 1).take(10_000).filter(|request| request.times.is_some()).count();
            let spread = 5.0 * (10_000.0_f64 * share * (1.0 - share)).sqrt();
            assert!((batches as f64 - 10_000.0 * share).abs() <= spread, "{batches} of 10000 at {share}");
        }
    }
}
