//! The requests: a closed loop on connections that stay open, as cheap as the operating system allows, because it
//! shares its core with the service's neighbours.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::{quantile, sorted};

/// How often one thing is asked of one service.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    pub(crate) to: SocketAddr,
    pub(crate) path: &'static str,
    /// Requests in flight.
    pub(crate) connections: usize,
    /// The connections begin one after another during this time, and what ends in it is not measured.
    pub(crate) warm_up: Duration,
    /// How long it measures.
    pub(crate) time: Duration,
    /// Requests a second, where it shall not be as many as possible.
    pub(crate) rate: Option<f64>,
    /// Pauses, where what is measured cannot keep up.
    pub(crate) bursts: Option<Bursts>,
}

/// Load and none in turns, for all connections at the same time. Within a burst a service is as busy as without pauses,
/// so that a request costs the same.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bursts {
    pub(crate) load: Duration,
    pub(crate) pause: Duration,
}

impl Bursts {
    /// How long to wait, so long after the first burst began.
    fn wait(self, elapsed: Duration) -> Duration {
        let period = (self.load + self.pause).as_nanos().max(1);
        let into = Duration::from_nanos((elapsed.as_nanos() % period) as u64);
        if into < self.load { Duration::ZERO } else { self.load + self.pause - into }
    }
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// All requests that were responses, the warm-up's too.
    pub(crate) responses: u64,
    /// Those that were responses with anything but 200.
    pub(crate) failed: u64,
    /// Of those that ended in the measured time: milliseconds each, in ascending order.
    latencies: Vec<f64>,
    /// Those of them that ended before the time was over.
    in_time: u64,
    seconds: f64,
}

impl Outcome {
    /// Answers a second.
    pub(crate) fn rate(&self) -> f64 {
        self.in_time as f64 / self.seconds
    }

    /// Milliseconds within which the share `q` was responses.
    pub(crate) fn latency(&self, q: f64) -> f64 {
        quantile(&self.latencies, q)
    }
}

impl Load {
    /// Sends the requests; each that has begun by the end is waited for.
    ///
    /// # Errors
    /// When a connection fails or an answer is not HTTP.
    pub(crate) async fn run(self) -> anyhow::Result<Outcome> {
        let begin = Instant::now();
        let (load, sent) = (Arc::new(self), Arc::new(AtomicU64::new(0)));
        let mut connections = JoinSet::new();
        for index in 0..load.connections {
            connections.spawn(load.clone().connection(index, begin, sent.clone()));
        }
        let mut all = Outcome { seconds: load.time.as_secs_f64(), ..Outcome::default() };
        while let Some(one) = connections.join_next().await {
            let one = one??;
            all.responses += one.responses;
            all.failed += one.failed;
            all.in_time += one.in_time;
            all.latencies.extend(one.latencies);
        }
        all.latencies = sorted(all.latencies);
        Ok(all)
    }

    async fn connection(
        self: Arc<Self>,
        index: usize,
        begin: Instant,
        sent: Arc<AtomicU64>,
    ) -> anyhow::Result<Outcome> {
        let measured_from = begin + self.warm_up;
        let end = measured_from + self.time;
        let mut outcome = Outcome::default();
        let mut connection = Connection::open(self.to, self.path).await?;
        sleep(self.warm_up.mul_f64(index as f64 / self.connections as f64)).await;
        loop {
            if let Some(rate) = self.rate {
                let planned = sent.fetch_add(1, Ordering::Relaxed) as f64 / rate;
                sleep_until(begin + Duration::from_secs_f64(planned)).await;
            }
            if let Some(bursts) = self.bursts {
                sleep(bursts.wait(begin.elapsed())).await;
            }
            let asked = Instant::now();
            if asked >= end {
                return Ok(outcome);
            }
            let succeeded = connection.exchange().await?;
            let responses = Instant::now();
            outcome.responses += 1;
            outcome.failed += u64::from(!succeeded);
            if responses >= measured_from {
                outcome.latencies.push((responses - asked).as_secs_f64() * 1000.0);
                outcome.in_time += u64::from(responses < end);
            }
        }
    }
}

/// One connection that asks the same again and again.
struct Connection {
    stream: TcpStream,
    request: String,
    answer: Vec<u8>,
}

impl Connection {
    async fn open(to: SocketAddr, path: &str) -> std::io::Result<Self> {
        let stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, request: format!("GET {path} HTTP/1.1\r\nhost: {to}\r\n\r\n"), answer: Vec::new() })
    }

    /// One request and its whole answer; returns whether that is a 200.
    async fn exchange(&mut self) -> anyhow::Result<bool> {
        self.stream.write_all(self.request.as_bytes()).await?;
        self.answer.clear();
        let mut length = None;
        loop {
            ensure!(self.stream.read_buf(&mut self.answer).await? > 0, "the service closed a connection");
            if length.is_none() {
                length = whole_length(&self.answer)?;
            }
            if length == Some(self.answer.len()) {
                return Ok(self.answer.starts_with(b"HTTP/1.1 200"));
            }
        }
    }
}

/// Head and body together, once the head is there.
fn whole_length(answer: &[u8]) -> anyhow::Result<Option<usize>> {
    let Some(head) = answer.windows(4).position(|end| end == b"\r\n\r\n") else { return Ok(None) };
    let text = std::str::from_utf8(&answer[..head])?;
    let body = text.lines().find_map(|line| line.strip_prefix("content-length: ")).context("an answer of no length")?;
    Ok(Some(head + 4 + body.parse::<usize>()?))
}
