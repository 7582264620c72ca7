//! Fan-outs: three that are right, and those that are wrong in one way each.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use futures::future::{self, BoxFuture, FutureExt};
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tracing::{Instrument, Span, field::Empty, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

pub(crate) const ROLLS: i64 = 10;

/// Rolls after the fetch; what it returns goes on after the response.
pub(crate) trait Rolls: FnOnce(Fetch) -> Pin<Box<dyn Future<Output = Rest>>> {}
impl<F: FnOnce(Fetch) -> Pin<Box<dyn Future<Output = Rest>>>> Rolls for F {}

pub(crate) type Fetch = Pin<Box<dyn Future<Output = ()>>>;
pub(crate) type Rest = BoxFuture<'static, ()>;

/// A request for a batch.
pub(crate) struct Batch<R> {
    pub(crate) rolls: R,
    pub(crate) fetches: i64,
    pub(crate) hides_error: bool,
    pub(crate) never_ends: bool,
}

impl Batch<()> {
    pub(crate) fn of<F: Future<Output = Rest> + 'static>(rolls: impl FnOnce(Fetch) -> F) -> Batch<impl Rolls> {
        let rolls = |fetch| -> Pin<Box<dyn Future<Output = Rest>>> { Box::pin(rolls(fetch)) };
        Batch { rolls, fetches: 1, hides_error: false, never_ends: false }
    }
}

fn nothing() -> Rest {
    future::ready(()).boxed()
}

macro_rules! roll_span {
    ($index:expr $(, $parent:tt: $value:expr)?) => {
        info_span!(
            $($parent: $value,)?
            "async_roll", otel.name = format!("async_roll_{}", $index), async.roll_index = $index,
            die.error = Empty, otel.status_code = Empty, otel.status_description = Empty,
        )
    };
}

fn duration(index: i64) -> Duration {
    Duration::from_millis(5 + (index * 7 % 15).unsigned_abs())
}

/// What every roll does in its span.
async fn work(index: i64) {
    sleep(duration(index)).await;
    finish(index);
}

fn finish(index: i64) {
    tracing::info!("rolled");
    if index == 7 {
        Span::current().record("die.error", true);
        Span::current().record("otel.status_code", "ERROR");
        Span::current().record("otel.status_description", "the die broke");
    }
}

/// A roll as it should be: the span is made when the future is polled first.
async fn roll(index: i64) {
    let span = roll_span!(index);
    work(index).instrument(span).await;
}

pub(crate) async fn join_all(fetch: Fetch) -> Rest {
    fetch.await;
    future::join_all((0..ROLLS).map(roll)).await;
    nothing()
}

pub(crate) async fn join_set(fetch: Fetch) -> Rest {
    fetch.await;
    let mut set = JoinSet::new();
    for index in 0..ROLLS {
        set.spawn(roll(index).in_current_span());
    }
    set.join_all().await;
    nothing()
}

pub(crate) async fn futures_unordered(fetch: Fetch) -> Rest {
    fetch.await;
    (0..ROLLS).map(roll).collect::<FuturesUnordered<_>>().collect::<Vec<_>>().await;
    nothing()
}

pub(crate) async fn sequential(fetch: Fetch) -> Rest {
    fetch.await;
    for index in 0..ROLLS {
        roll(index).await;
    }
    nothing()
}

pub(crate) async fn blocking_sleep(fetch: Fetch) -> Rest {
    fetch.await;
    let roll = |index| async move {
        std::thread::sleep(duration(index));
        finish(index);
    };
    future::join_all((0..ROLLS).map(|index| async move { roll(index).instrument(roll_span!(index)).await })).await;
    nothing()
}

pub(crate) async fn mutex_across_await(fetch: Fetch) -> Rest {
    fetch.await;
    let random = &Mutex::new(());
    let rolls = (0..ROLLS).map(|index| async move {
        let _random = random.lock().await;
        roll(index).await;
    });
    future::join_all(rolls).await;
    nothing()
}

pub(crate) async fn at_most_three(fetch: Fetch) -> Rest {
    fetch.await;
    futures::stream::iter((0..ROLLS).map(roll)).buffer_unordered(3).collect::<Vec<_>>().await;
    nothing()
}

pub(crate) async fn waves_of_five(fetch: Fetch) -> Rest {
    fetch.await;
    for first in [0, 5] {
        future::join_all((first..first + 5).map(roll)).await;
    }
    nothing()
}

#[allow(clippy::disallowed_methods)] // the mistake that is tested
pub(crate) async fn spawned_without_parent(fetch: Fetch) -> Rest {
    fetch.await;
    future::join_all((0..ROLLS).map(|index| tokio::spawn(roll(index)))).await;
    nothing()
}

pub(crate) async fn detached(fetch: Fetch) -> Rest {
    fetch.await;
    let roll = |index| async move { work(index).instrument(roll_span!(index, parent: None)).await };
    future::join_all((0..ROLLS).map(roll)).await;
    nothing()
}

pub(crate) async fn linked(fetch: Fetch) -> Rest {
    fetch.await;
    let roll = |index| async move {
        let span = roll_span!(index, parent: None);
        span.follows_from(Span::current());
        work(index).instrument(span).await;
    };
    future::join_all((0..ROLLS).map(roll)).await;
    nothing()
}

pub(crate) async fn grandchildren(fetch: Fetch) -> Rest {
    fetch.await;
    let all = async { future::join_all((0..ROLLS).map(roll)).await };
    let span = info_span!("rolls", otel.status_code = "ERROR", otel.status_description = "roll 7 failed");
    all.instrument(span).await;
    nothing()
}

pub(crate) async fn guard_across_await(fetch: Fetch) -> Rest {
    fetch.await;
    let roll = |index| async move {
        let _guard = roll_span!(index).entered();
        work(index).await;
    };
    future::join_all((0..ROLLS).map(roll)).await;
    nothing()
}

pub(crate) async fn double_spans(fetch: Fetch) -> Rest {
    fetch.await;
    let twice = |index| async move { roll(index).instrument(roll_span!(index)).await };
    future::join_all((0..ROLLS).map(twice)).await;
    nothing()
}

pub(crate) async fn one_missing(fetch: Fetch) -> Rest {
    fetch.await;
    future::join_all((1..ROLLS).map(roll)).await;
    nothing()
}

pub(crate) async fn no_roll_spans(fetch: Fetch) -> Rest {
    fetch.await;
    future::join_all((0..ROLLS).map(|index| sleep(duration(index)))).await;
    nothing()
}

pub(crate) async fn early_end(fetch: Fetch) -> Rest {
    fetch.await;
    let roll = |index| async move {
        let span = roll_span!(index);
        span.in_scope(|| {
            if index == 7 {
                finish(7)
            }
        });
        drop(span);
        work(0).await;
    };
    future::join_all((0..ROLLS).map(roll)).await;
    nothing()
}

pub(crate) async fn index_as_text(fetch: Fetch) -> Rest {
    fetch.await;
    let roll = |index: i64| async move {
        let span = roll_span!(index.to_string());
        work(index).instrument(span).await;
    };
    future::join_all((0..ROLLS).map(roll)).await;
    nothing()
}

pub(crate) async fn same_index(fetch: Fetch) -> Rest {
    fetch.await;
    let roll = |index| async move { work(index).instrument(roll_span!(0)).await };
    future::join_all((0..ROLLS).map(roll)).await;
    nothing()
}

/// Roll 7 does this in place of `finish`.
async fn with_failure(fetch: Fetch, fail: fn()) -> Rest {
    fetch.await;
    let roll = |index| async move {
        let work = async {
            sleep(duration(index)).await;
            if index == 7 {
                tracing::info!("rolled");
                Span::current().record("die.error", true);
                fail();
            } else {
                finish(index);
            }
        };
        let span = roll_span!(index);
        work.instrument(span).await;
    };
    future::join_all((0..ROLLS).map(roll)).await;
    nothing()
}

pub(crate) async fn no_status(fetch: Fetch) -> Rest {
    with_failure(fetch, || ()).await
}

pub(crate) async fn no_description(fetch: Fetch) -> Rest {
    with_failure(fetch, || {
        Span::current().record("otel.status_code", "ERROR");
    })
    .await
}

pub(crate) async fn made_in_map(fetch: Fetch) -> Rest {
    let rolls: Vec<_> = (0..ROLLS).map(|index| work(index).instrument(roll_span!(index))).collect();
    fetch.await;
    future::join_all(rolls).await;
    nothing()
}

pub(crate) async fn early_response(fetch: Fetch) -> Rest {
    fetch.await;
    let request = Span::current().context();
    let mut rolls: Vec<_> = (0..ROLLS)
        .map(|index| {
            // A child for tracing, too, would keep the span of the request open.
            let span = roll_span!(index, parent: None);
            span.set_parent(request.clone()).expect("a span that has not begun");
            work(index).instrument(span).boxed()
        })
        .collect();
    // Polled once, they have begun; then the response is sent.
    future::poll_fn(|context| {
        for roll in &mut rolls {
            assert!(roll.poll_unpin(context).is_pending());
        }
        std::task::Poll::Ready(())
    })
    .await;
    future::join_all(rolls).map(drop).boxed()
}
