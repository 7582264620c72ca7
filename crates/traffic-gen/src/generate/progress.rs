//! How far a run is, on a terminal; nothing where stderr is piped.

use std::io::Write;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The line at the foot of the terminal.
#[derive(Clone)]
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// `requests` is how many the run will make; none where it has no end.
    ///
    /// # Errors
    /// When the template of the line is wrong.
    pub(crate) fn new(requests: Option<u64>) -> anyhow::Result<Self> {
        let bar = ProgressBar::with_draw_target(requests, ProgressDrawTarget::stderr());
        let template = match requests {
            Some(_) => "{elapsed:>4} {bar:32} {pos} of {len} requests  {msg}",
            None => "{elapsed:>4} {pos} requests  {msg}",
        };
        bar.set_style(ProgressStyle::with_template(template)?);
        Ok(Self(bar))
    }

    /// One more request has ended; `failed` of all so far.
    pub(crate) fn one_more(&self, failed: u64) {
        if failed > 0 {
            self.0.set_message(format!("{failed} failed"));
        }
        self.0.inc(1);
    }

    /// Takes the line away.
    pub(crate) fn clear(&self) {
        self.0.finish_and_clear();
    }

    /// Stdout for log lines, which then scroll past above the line instead of through it.
    pub(crate) fn stdout(&self) -> AboveProgress {
        AboveProgress(self.0.clone())
    }
}

/// See [`Progress::stdout`].
pub(crate) struct AboveProgress(ProgressBar);

impl Write for AboveProgress {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.suspend(|| std::io::stdout().write(bytes))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stdout().flush()
    }
}
