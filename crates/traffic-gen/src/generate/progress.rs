//! How far a run is: a line at the foot of the terminal; nothing where stderr is piped.

use std::io::Write;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The line. `requests` is how many the run will make; none where it has no end.
///
/// # Errors
/// When the template of the line is wrong.
pub(crate) fn bar(requests: Option<u64>) -> anyhow::Result<ProgressBar> {
    let template = match requests {
        Some(_) => "{elapsed:>4} {bar:32} {pos} of {len} requests  {msg}",
        None => "{elapsed:>4} {pos} requests  {msg}",
    };
    let bar = ProgressBar::with_draw_target(requests, ProgressDrawTarget::stderr());
    Ok(bar.with_style(ProgressStyle::with_template(template)?))
}

/// Stdout for log lines, which then scroll past above the line instead of through it.
pub(crate) struct StdoutAbove(pub(crate) ProgressBar);

impl Write for StdoutAbove {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.suspend(|| std::io::stdout().write(bytes))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stdout().flush()
    }
}
