//! What a program writes, in a bounded amount.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::task::JoinHandle;

/// Bytes of each stream that are kept. All are read: a full pipe would stop the program.
pub(crate) const MOST_BYTES: usize = 64 << 10;

/// What a program has written.
#[derive(Debug, Clone, Default)]
pub struct Output {
    /// The beginning of its stdout.
    pub stdout: String,
    /// The beginning of its stderr.
    pub stderr: String,
}

/// A stream that is being read.
pub(crate) struct Reading {
    kept: Arc<Mutex<Vec<u8>>>,
    task: JoinHandle<()>,
}

/// Reads a stream until its end.
#[allow(clippy::disallowed_methods)] // no span is current
pub(crate) fn read(stream: Option<impl AsyncRead + Unpin + Send + 'static>) -> Reading {
    let kept = Arc::new(Mutex::new(Vec::new()));
    let of_task = Arc::clone(&kept);
    let task = tokio::spawn(async move {
        let Some(mut stream) = stream else { return };
        let mut bytes = vec![0; 8 << 10];
        while let Ok(length @ 1..) = stream.read(&mut bytes).await {
            let mut kept = of_task.lock().unwrap_or_else(PoisonError::into_inner);
            let left = MOST_BYTES - kept.len();
            kept.extend_from_slice(&bytes[..length.min(left)]);
        }
    });
    Reading { kept, task }
}

impl Reading {
    /// A process that left the group of the program can hold the stream open for ever.
    async fn finish(mut self, limit: Duration) -> String {
        if tokio::time::timeout(limit, &mut self.task).await.is_err() {
            self.task.abort();
        }
        String::from_utf8_lossy(&self.kept.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

impl Output {
    pub(crate) async fn join(stdout: Reading, stderr: Reading, limit: Duration) -> Self {
        Self { stdout: stdout.finish(limit).await, stderr: stderr.finish(limit).await }
    }
}
