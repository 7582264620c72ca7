//! How a run ends before its time: first no further request begins, then those under way are given up.

use std::convert::Infallible;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

/// After Ctrl-C, responses may take this long to arrive.
const GRACE: Duration = Duration::from_secs(5);

/// What users and requests watch. Clones are the same stop.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stop {
    /// Begin nothing new.
    finishing: CancellationToken,
    /// Do not wait for responses either.
    pub(crate) over: CancellationToken,
}

impl Stop {
    /// Waits until `time` has come or the run is to finish; true when it is.
    pub(crate) async fn finishing_at(&self, time: Instant) -> bool {
        self.finishing.run_until_cancelled(sleep_until(time)).await;
        self.finishing.is_cancelled()
    }

    /// Finishes after `duration` if there is one; when `signal` resolves finishes at once, and gives up what is
    /// under way after [`GRACE`].
    pub(crate) async fn run(&self, duration: Option<Duration>, signal: impl Future<Output = ()>) -> Infallible {
        tokio::pin!(signal);
        tokio::select! {
            () = &mut signal => {}
            () = sleep(duration.unwrap_or(Duration::MAX)) => {
                self.finishing.cancel();
                signal.await;
            }
        }
        tracing::info!("Stopping: no further request begins");
        self.finishing.cancel();
        sleep(GRACE).await;
        self.over.cancel();
        std::future::pending().await
    }
}
