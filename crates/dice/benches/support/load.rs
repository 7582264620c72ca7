//! The requests: a closed loop on connections that stay open, as cheap as the operating system allows, because it
//! shares its core with the service's upstreams.

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

/// How often one request is made to one service.
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
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// All responses, those of the warm-up too.
    pub(crate) responses: u64,
    /// Those with another status than 200.
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

    /// Milliseconds within which the share `q` of the responses came.
    pub(crate) fn latency(&self, q: f64) -> f64 {
        quantile(&self.latencies, q)
    }
}

impl Load {
    /// Sends the requests; each that has begun by the end is waited for.
    ///
    /// # Errors
    /// When a connection fails or a response is not HTTP.
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
            let sent = Instant::now();
            if sent >= end {
                return Ok(outcome);
            }
            let succeeded = connection.exchange().await?;
            let received = Instant::now();
            outcome.responses += 1;
            outcome.failed += u64::from(!succeeded);
            if received >= measured_from {
                outcome.latencies.push((received - sent).as_secs_f64() * 1000.0);
                outcome.in_time += u64::from(received < end);
            }
        }
    }
}

/// One connection that repeats the same request.
struct Connection {
    stream: TcpStream,
    request: String,
    response: Vec<u8>,
}

impl Connection {
    async fn open(to: SocketAddr, path: &str) -> std::io::Result<Self> {
        let stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, request: format!("GET {path} HTTP/1.1\r\nhost: {to}\r\n\r\n"), response: Vec::new() })
    }

    /// One request and its whole response; returns whether that is a 200.
    async fn exchange(&mut self) -> anyhow::Result<bool> {
        self.stream.write_all(self.request.as_bytes()).await?;
        self.response.clear();
        let mut length = None;
        loop {
            ensure!(self.stream.read_buf(&mut self.response).await? > 0, "the service closed a connection");
            if length.is_none() {
                length = whole_length(&self.response)?;
            }
            if length == Some(self.response.len()) {
                return Ok(self.response.starts_with(b"HTTP/1.1 200"));
            }
        }
    }
}

/// Head and body together, once the head is there.
fn whole_length(response: &[u8]) -> anyhow::Result<Option<usize>> {
    let Some(head) = response.windows(4).position(|end| end == b"\r\n\r\n") else { return Ok(None) };
    let text = std::str::from_utf8(&response[..head])?;
    let body = text.lines().find_map(|line| line.strip_prefix("content-length: ")).context("an answer of no length")?;
    Ok(Some(head + 4 + body.parse::<usize>()?))
}
