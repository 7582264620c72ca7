//! What a client cannot time: how long the slowest roll of a batch took, and when each ran. The batch's trace has it.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde::Serialize;
use tempo_client::{Client, Span};
use tokio::time::{Instant, sleep};

use super::config::Config;

/// Spans leave a service in batches, by default every five seconds.
const ARRIVAL: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(250);

/// The spans of one batch inside dice-roller.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct BatchTrace {
    /// Seconds of the server span.
    pub(crate) seconds: f64,
    /// The call for the die, then the rolls by index.
    pub(crate) bars: Vec<Bar>,
}

/// A span as a bar: seconds after the beginning of the server span.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Bar {
    pub(crate) name: String,
    pub(crate) start: f64,
    pub(crate) end: f64,
}

impl BatchTrace {
    /// The trace of that id, once the backend has all its rolls.
    ///
    /// # Errors
    /// When there is no id, the backend does not respond, or spans are missing when the time is over.
    pub(crate) async fn fetch(client: &Client, config: &Config, trace_id: Option<&str>) -> anyhow::Result<Self> {
        let (tempo, id) = (&client.base, trace_id.context("dice-roller makes no spans")?);
        let deadline = Instant::now() + ARRIVAL;
        loop {
            let trace = client.trace(id).await?;
            if let Some(trace) = Self::of(&trace.spans, config.rolls) {
                return Ok(trace);
            }
            ensure!(Instant::now() < deadline, "the trace {id} has not arrived in full at {tempo}");
            sleep(PAUSE).await;
        }
    }

    /// None unless the server span and all rolls are there.
    fn of(spans: &[Span], rolls: u32) -> Option<Self> {
        let server = spans.iter().find(|span| span.service == "dice-roller" && span.name == "GET /roll-async")?;
        let bar = |name: &str, label: &str| {
            let span = spans.iter().find(|span| span.parent_id == server.id && span.name == name)?;
            let after = |time: u64| time.saturating_sub(server.start) as f64 / 1e9;
            Some(Bar { name: label.to_owned(), start: after(span.start), end: after(span.end) })
        };
        let roll = |index| {
            let name = format!("async_roll_{index}");
            bar(&name, &name)
        };
        let rolls: Option<Vec<_>> = (0..rolls).map(roll).collect();
        let bars = bar("GET", "the die's data").into_iter().chain(rolls?).collect();
        Some(Self { seconds: server.seconds(), bars })
    }

    /// Seconds of the roll that took longest.
    pub(crate) fn slowest(&self) -> f64 {
        let rolls = self.bars.iter().filter(|bar| bar.name.starts_with("async_roll_"));
        rolls.map(|bar| bar.end - bar.start).fold(0.0, f64::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(id: &str, parent: &str, name: &str, start: u64, end: u64) -> Span {
        Span {
            id: id.to_owned(),
            parent_id: parent.to_owned(),
            name: name.to_owned(),
            service: "dice-roller".to_owned(),
            start: start * 1_000_000_000,
            end: end * 1_000_000_000,
            ..Span::default()
        }
    }

    #[test]
    fn bars_start_at_the_server_span() {
        let spans = [
            span("c", "s", "async_roll_1", 102, 107),
            span("b", "s", "async_roll_0", 102, 104),
            span("a", "s", "GET", 101, 102),
            span("s", "", "GET /roll-async", 100, 108),
        ];
        let trace = BatchTrace::of(&spans, 2).unwrap();
        let bar = |name: &str, start, end| Bar { name: name.to_owned(), start, end };
        assert_eq!(
            trace.bars,
            [bar("the die's data", 1.0, 2.0), bar("async_roll_0", 2.0, 4.0), bar("async_roll_1", 2.0, 7.0)]
        );
        assert_eq!((trace.seconds, trace.slowest()), (8.0, 5.0));
        assert!(BatchTrace::of(&spans, 3).is_none(), "a roll is still under way");
        assert!(BatchTrace::of(&spans[..3], 2).is_none(), "the server span is still under way");
    }
}
