//! How a run ends before its time: first no further request begins, then those under way are given up.

use std::convert::Infallible;
use std::time::Duration;

use tokio::sync::watch;

/// After Ctrl-C, responses may take this long to arrive.
const GRACE: Duration = Duration::from_secs(5);

/// What the run does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Running,
    /// Begin nothing new.
    Finishing,
    /// Do not wait for responses either.
    Over,
}

/// What users and requests watch. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Stop(watch::Receiver<Phase>);

/// What moves the run from phase to phase. Dropped, it ends the run at once.
pub(crate) struct Clock(watch::Sender<Phase>);

impl Clock {
    pub(crate) fn new() -> (Self, Stop) {
        let (sender, receiver) = watch::channel(Phase::Running);
        (Self(sender), Stop(receiver))
    }

    /// Finishes after `duration` if there is one; when `stop` resolves finishes at once, and gives up what is
    /// under way after [`GRACE`].
    pub(crate) async fn run(self, duration: Option<Duration>, stop: impl Future<Output = ()>) -> Infallible {
        tokio::pin!(stop);
        tokio::select! {
            () = &mut stop => {}
            () = tokio::time::sleep(duration.unwrap_or(Duration::MAX)) => {
                let _ = self.0.send(Phase::Finishing);
                stop.await;
            }
        }
        tracing::info!("Stopping: no further request begins");
        let _ = self.0.send(Phase::Finishing);
        tokio::time::sleep(GRACE).await;
        let _ = self.0.send(Phase::Over);
        std::future::pending().await
    }
}

impl Stop {
    /// Resolves when the run is in `phase`, or beyond it.
    pub(crate) async fn reached(&self, phase: Phase) {
        // An error means that the clock is gone, and with it the run.
        let _ = self.0.clone().wait_for(|now| *now >= phase).await;
    }
}
