//! Everything that goes to the terminal: the lines of all processes and the launcher's own messages, sorted by time.
//!
//! Each process writes its lines in small bundles, so the lines of one click in three services would arrive mixed up. Lines
//! wait for a moment and are sorted by their timestamps. Where nobody reads (a pager, a halted terminal), lines are
//! dropped and counted, so that neither the services nor their shutdown wait for a reader.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use telemetry::settings::LogFormat;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::config::Config;
use crate::log_line::LogLine;
use crate::sort::{Line, SortBuffer};

/// Lines that may wait.
const QUEUE: usize = 1024;
/// A reader that takes nothing for this long has stopped reading.
const SEND_LIMIT: Duration = Duration::from_secs(1);
/// Longer than the 20 ms for which a service keeps its lines.
const HOLD: Duration = Duration::from_millis(100);

/// Where lines go. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    queue: mpsc::Sender<Line>,
    format: LogFormat,
    colour: bool,
    /// Whether readable lines of services are written.
    services: bool,
}

/// Starts the writer, a task that ends when every [`Output`] is gone. Without `services` only the launcher itself writes
/// for people; JSON lines are always those of all.
pub(crate) fn open(config: &Config, services: bool) -> (Output, JoinSet<()>) {
    let (queue, lines) = mpsc::channel(QUEUE);
    let mut writer = JoinSet::new();
    writer.spawn(write_sorted(lines));
    let colour = config.no_color.is_none() && std::io::stdout().is_terminal();
    (Output { queue, format: config.log_format, colour, services }, writer)
}

impl Output {
    /// Writes a message of the launcher itself: to stderr where stdout has JSON lines, which a program may parse.
    pub(crate) async fn say(&self, text: &str) {
        match self.format {
            // A closed terminal is no reason to stop the shutdown, as a panic of `eprintln` would.
            LogFormat::Json => drop(writeln!(std::io::stderr(), "{text}")),
            LogFormat::Pretty => {
                let line = Line { time: None, bytes: format!("{text}\n").into_bytes() };
                let _ = self.queue.send_timeout(line, SEND_LIMIT).await;
            }
        }
    }

    /// Forwards the lines of `service` until they end, and returns the last error among them.
    pub(crate) async fn forward(self, service: &'static str, from: impl AsyncRead + Unpin) -> Option<String> {
        let mut from = BufReader::new(from);
        let (mut last_error, mut dropped) = (None, 0_u64);
        loop {
            let mut bytes = Vec::new();
            if from.read_until(b'\n', &mut bytes).await.unwrap_or(0) == 0 {
                return last_error;
            }
            let text = String::from_utf8_lossy(&bytes);
            let line = LogLine::read(text.trim_end_matches(['\r', '\n']));
            last_error = line.error().or(last_error);
            let time = line.time().map(str::to_owned);
            if self.format == LogFormat::Pretty {
                if !self.services {
                    continue;
                }
                bytes = line.shown(service, self.colour).into_bytes();
            }
            self.enqueue(Line { time, bytes }, service, &mut dropped).await;
        }
    }

    /// Waits for a slow reader, but drops the line where the reader has stopped; `dropped` counts.
    async fn enqueue(&self, line: Line, service: &str, dropped: &mut u64) {
        if *dropped > 0 {
            if self.queue.capacity() == 0 {
                *dropped += 1;
                return;
            }
            self.say(&format!("{dropped} lines of {service} are missing here: nobody read them")).await;
            *dropped = 0;
        }
        if self.queue.send_timeout(line, SEND_LIMIT).await.is_err() {
            *dropped = 1;
        }
    }
}

/// Writes each line one to two ticks after its arrival: see [`SortBuffer::due`].
async fn write_sorted(mut lines: mpsc::Receiver<Line>) {
    let mut waiting = SortBuffer::default();
    let mut tick = tokio::time::interval(HOLD);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            line = lines.recv() => match line {
                Some(line) => waiting.add(line),
                None => break,
            },
            _ = tick.tick(), if !waiting.is_empty() => write(waiting.due()).await,
        }
    }
    write(waiting.all()).await;
}

/// Writes to stdout on a blocking thread, because a full pipe blocks the write.
async fn write(lines: Vec<u8>) {
    let blocking = move || {
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(&lines).and_then(|()| stdout.flush())
    };
    // The system keeps running when nobody reads any more.
    let _ = tokio::task::spawn_blocking(blocking).await;
}
