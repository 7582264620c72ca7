//! How many rolls may be under way in this process, and how many may wait for a permit.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use crate::metrics::Metrics;

/// The permits to run, and those to run or wait.
#[derive(Debug)]
pub(crate) struct Limit {
    running: Semaphore,
    admitted: Arc<Semaphore>,
    metrics: Arc<Metrics>,
}

/// The admission of one request's rolls, running or waiting; given back when dropped.
pub(crate) struct Admission(#[allow(dead_code)] OwnedSemaphorePermit); // held for its drop

impl Limit {
    pub(crate) fn new(concurrent: usize, queued: usize, metrics: Arc<Metrics>) -> Self {
        Self { running: Semaphore::new(concurrent), admitted: Semaphore::new(concurrent + queued).into(), metrics }
    }

    /// Admits all rolls of a request or none: a batch is never admitted in part.
    pub(crate) fn admit(&self, rolls: u32) -> Option<Admission> {
        self.admitted.clone().try_acquire_many_owned(rolls).ok().map(Admission)
    }

    /// A permit to run, and how long the roll had to wait for it; none where it did not wait.
    ///
    /// Only a roll whose request was admitted may call this, which bounds how many wait.
    pub(crate) async fn permit(&self) -> (Option<SemaphorePermit<'_>>, Option<Duration>) {
        if let Ok(permit) = self.running.try_acquire() {
            return (Some(permit), None);
        }
        let waiting = self.metrics.waiting();
        let since = Instant::now();
        // The semaphore is never closed, so there is always a permit in the end.
        let permit = self.running.acquire().await.ok();
        waiting.over(since.elapsed());
        (permit, Some(since.elapsed()))
    }
}
