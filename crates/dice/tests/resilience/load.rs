//! Traffic: clients that repeat a request, and count for themselves what they got.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use test_support::raw::Connection;

use crate::bound;

/// Clients under way.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Tally>>,
}

/// What the clients saw.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Each response: when it came, its status, how long it took.
    pub(crate) responses: Vec<(Instant, u16, Duration)>,
    /// Requests that were accepted and got no response. A kept connection that ends between two requests is not among them:
    /// a client then repeats its request (RFC 9112, section 9.3.1).
    pub(crate) lost: usize,
    /// Those of them whose connection was new, and ended.
    pub(crate) reset: usize,
}

/// How clients send.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    pub(crate) clients: usize,
    /// Between two requests of a client.
    pub(crate) pause: Duration,
    /// Whether each request has a connection of its own.
    pub(crate) fresh: bool,
}

/// Four clients that pause a millisecond: busy, but not so much that a delay could not be seen.
pub(crate) const STEADY: Manner = Manner { clients: 4, pause: Duration::from_millis(1), fresh: false };

impl Load {
    pub(crate) fn start(url: &str, target: &str, manner: Manner) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let client = |_| {
            let (url, target, stop) = (url.to_owned(), target.to_owned(), stop.clone());
            std::thread::spawn(move || send_to(&url, &target, manner, &stop))
        };
        Self { clients: (0..manner.clients).map(client).collect(), stop }
    }

    /// Ends it, and adds up what all clients saw.
    pub(crate) fn stop(self) -> Tally {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Tally::default();
        for client in self.clients {
            let tally = client.join().unwrap();
            all.responses.extend(tally.responses);
            all.lost += tally.lost;
            all.reset += tally.reset;
        }
        all.responses.sort();
        all
    }
}

fn send_to(url: &str, target: &str, manner: Manner, stop: &AtomicBool) -> Tally {
    let mut tally = Tally::default();
    let mut kept: Option<Connection> = None;
    while !stop.load(Ordering::Relaxed) {
        std::thread::sleep(manner.pause);
        let Some(mut connection) = kept.take().or_else(|| Connection::open(url).ok()) else {
            std::thread::sleep(Duration::from_millis(5)); // nobody listens: not accepted, so not lost
            continue;
        };
        let sent = Instant::now();
        match connection.get(target, if manner.fresh { "connection: close\r\n" } else { "" }) {
            Ok(reply) => {
                tally.responses.push((Instant::now(), reply.status, sent.elapsed()));
                let closes = reply.header("connection").is_some_and(|value| value == "close");
                kept = (!manner.fresh && !closes).then_some(connection);
            }
            Err(error) if connection.responses > 0 && error.kind() != ErrorKind::WouldBlock => (),
            Err(error) => {
                eprintln!("lost after {:?}, response {}: {error}", sent.elapsed(), connection.responses);
                tally.lost += 1;
                tally.reset += usize::from(error.kind() != ErrorKind::WouldBlock);
            }
        }
    }
    tally
}

/// The p99 at which requests were delayed by what happens beside them, where it is `healthy` without.
pub(crate) fn delayed(healthy: Duration) -> Duration {
    bound(3 * healthy + Duration::from_millis(100), healthy / 2)
}

impl Tally {
    pub(crate) fn count(&self, status: u16) -> usize {
        self.responses.iter().filter(|(_, given, _)| *given == status).count()
    }

    /// Statuses and how often each came, for people.
    pub(crate) fn statuses(&self) -> String {
        let mut seen: Vec<_> = self.responses.iter().map(|(_, status, _)| *status).collect();
        seen.sort();
        seen.dedup();
        let counted: Vec<_> = seen.iter().map(|status| format!("{} × {status}", self.count(*status))).collect();
        counted.join(", ")
    }

    /// The requests that were sent between two moments.
    pub(crate) fn between(&self, from: Instant, to: Instant) -> Tally {
        let within = |(at, _, took): &&(Instant, u16, Duration)| (from..to).contains(&(*at - *took));
        Tally { responses: self.responses.iter().filter(within).copied().collect(), ..Tally::default() }
    }

    /// How long after `moment` the first response of that status came.
    pub(crate) fn first_after(&self, moment: Instant, status: u16) -> Option<Duration> {
        let wanted = |(at, given, _): &&(Instant, u16, Duration)| *at >= moment && *given == status;
        self.responses.iter().find(wanted).map(|(at, _, _)| *at - moment)
    }

    /// The time within which this share of the responses came.
    pub(crate) fn quantile(&self, share: f64) -> Duration {
        let mut took: Vec<_> = self.responses.iter().map(|(_, _, took)| *took).collect();
        took.sort();
        took[((took.len() - 1) as f64 * share) as usize]
    }
}
