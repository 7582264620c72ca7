//! The faults of dice-roller (`FAULTS`), which show in a trace, and not in the code of a handler. With none of them on,
//! requests go to the handlers as they are; without `FAULTS` and `FAULTS_FILE` nothing of this file is called.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::faults::{Fault, Switches};
use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use futures::future::{join_all, select_all};
use http::Method;
use opentelemetry::Context;
use opentelemetry::trace::FutureExt as _;
use serde::de::DeserializeOwned;
use service::{Deadline, Parameters, Query, Service};
use telemetry::Hooks;
use tokio::sync::{Mutex, Semaphore};
use tracing::{Instrument, Span, info_span};

use crate::app::{AppState, routes};
use crate::batch::{Batch, Rolled, add_completion};
use crate::error::Error;
use crate::handlers::{BatchRolled, OneRolled, RollAsyncQuery, RollQuery, record_batch, record_roll, set_die};
use crate::limit::Admission;
use crate::roll::{Die, Specification, Stream, work};

/// What can be wrong with the rolls of a batch, and the last one with a single roll. Of several that are on, the first one acts.
const OF_A_BATCH: [Fault; 6] = [
    Fault::LockAcrossAwait,
    Fault::BlockingSleep,
    Fault::OneCallPerRoll,
    Fault::DetachedRolls,
    Fault::EarlyAnswer,
    Fault::HiddenError,
];

/// The face of a roll that failed, for `hidden-error`.
const NO_FACE: i64 = -1;

/// The faults of the client and of the export.
pub(crate) fn hooks(switches: &Switches) -> Hooks {
    let (pool, queue) = (switches.clone(), switches.clone());
    let connection = Arc::new(Semaphore::new(1));
    Hooks {
        request: Some(Arc::new(move |request| {
            let (number, connection) = (pool.number(Fault::SmallPool), connection.clone());
            Box::pin(async move {
                if let Some(milliseconds) = number {
                    // It is never closed.
                    let permit = connection.acquire_owned().await;
                    #[allow(clippy::disallowed_methods)] // it outlives the call, and belongs to none
                    tokio::spawn(async move {
                        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
                        drop(permit);
                    });
                }
                request
            })
        })),
        span: Some(Arc::new(move |span, waiting| match queue.number(Fault::DroppedSpans) {
            Some(longest) if waiting >= longest => None,
            _ => Some(span),
        })),
        // One that is blocked is all of them, on a machine with any number of cores.
        worker_threads: Some(1),
    }
}

/// The whole service, with the faults in front of its handlers and the page of switches beside them.
pub(crate) fn app(state: AppState, service: &Service, switches: Switches, listening: SocketAddr) -> Router {
    switches.start();
    let page = switches.page(listening, &[]);
    let state = Arc::new(state);
    let broken = Broken { state: state.clone(), switches };
    service.router(routes(state).layer(from_fn_with_state(broken, dispatch)), page)
}

#[derive(Clone)]
struct Broken {
    state: Arc<AppState>,
    switches: Switches,
}

/// Hands a roll or a batch to the fault that is on, and everything else to the handlers.
async fn dispatch(State(broken): State<Broken>, request: Request, next: Next) -> Response {
    let path = if request.method() == Method::GET { request.uri().path() } else { "" };
    match (path, broken.switches.first_of(&OF_A_BATCH)) {
        ("/roll-async", Some(fault)) => broken.respond_batch(fault, request).await.into_response(),
        ("/roll", Some(Fault::HiddenError)) => broken.respond_roll(request).await.into_response(),
        _ => next.run(request).await,
    }
}

impl Broken {
    /// The extractors of both handlers.
    async fn extract<T: DeserializeOwned + Parameters<Arc<AppState>>>(
        &self,
        request: Request,
    ) -> Result<(T, Deadline), Response> {
        let (mut parts, _) = request.into_parts();
        let query = Query::from_request_parts(&mut parts, &self.state).await.map_err(IntoResponse::into_response)?;
        Ok((query.0, parts.extensions.get().copied().unwrap_or_default()))
    }

    /// As the handler `roll`; a roll that fails has a face all the same.
    async fn respond_roll(&self, request: Request) -> Result<Json<OneRolled>, Response> {
        let (query, deadline) = self.extract::<RollQuery>(request).await?;
        let state = &self.state;
        let rolled = async {
            let stream = decided(state.chance.next_request(None));
            let _admission = state.limit.admit(1).ok_or(Error::QueueFull)?;
            let die = state.find_die(&query.die, deadline).await?;
            let failed = state.chance.throw(&die, stream, 0).face.is_none();
            state.roll_die(&if failed { wrong(&die) } else { die }, stream).await
        };
        record_roll(state, &query, rolled).await.map(Json).map_err(IntoResponse::into_response)
    }

    /// As the handler `roll_async`, with other rolls.
    async fn respond_batch(&self, fault: Fault, request: Request) -> Result<Json<BatchRolled>, Response> {
        let (query, deadline) = self.extract::<RollAsyncQuery>(request).await?;
        let rolled = self.roll_batch(fault, &query, deadline);
        record_batch(&self.state, &query, rolled).await.map(Json).map_err(IntoResponse::into_response)
    }

    async fn roll_batch(&self, fault: Fault, query: &RollAsyncQuery, deadline: Deadline) -> Result<BatchRolled, Error> {
        let state = self.state.clone();
        let stream = state.chance.next_request(query.seed);
        let admission = state.limit.admit(query.times).ok_or(Error::QueueFull)?.into();
        let turns = Semaphore::new(query.concurrency() as usize).into();
        let started;
        let rolled = if fault == Fault::OneCallPerRoll {
            started = Instant::now();
            let rolls =
                Rolls { die: unknown(&query.die), stream, times: query.times, turns, state, _admission: admission };
            rolls.one_call_each(deadline).await?
        } else {
            let die = state.find_die(&query.die, deadline).await?;
            started = Instant::now();
            let rolls = Rolls { die, stream, times: query.times, turns, state, _admission: admission };
            match fault {
                Fault::LockAcrossAwait => rolls.locked().await,
                Fault::BlockingSleep => rolls.blocking().await,
                Fault::DetachedRolls => rolls.detached().await,
                Fault::EarlyAnswer => rolls.first_only().await,
                _ => rolls.hiding_errors().await,
            }
        };
        self.state.metrics.batch_finished(started.elapsed());
        BatchRolled::new(query, &rolled, started)
    }
}

/// The rolls of one batch, which may outlive the request.
#[derive(Clone)]
struct Rolls {
    die: Die,
    stream: Stream,
    times: u32,
    /// As many as may run at once.
    turns: Arc<Semaphore>,
    state: Arc<AppState>,
    _admission: Arc<Admission>,
}

/// A die of which the rolls find out themselves.
fn unknown(identifier: &str) -> Die {
    Die { identifier: identifier.into(), specification: Specification { faces: [].into(), error_rate: 0.0 } }
}

/// The same with a seed, so that what its rolls will be can be looked up.
fn decided(stream: Stream) -> Stream {
    Stream { seed: stream.seed.or_else(|| Some(rand::random())), ..stream }
}

/// For `hidden-error`: of a roll that failed, in place of its die.
fn wrong(die: &Die) -> Die {
    let specification = Specification { faces: [NO_FACE].into(), error_rate: 0.0 };
    Die { identifier: die.identifier.clone(), specification }
}

impl Rolls {
    /// `lock-across-await`: a lock that each roll holds until it has ended.
    async fn locked(&self) -> Vec<Rolled> {
        let lock = &Mutex::new(());
        self.all(|index| async move {
            let _guard = lock.lock().await;
            self.one(index, &self.die).await
        })
        .await
    }

    /// `blocking-sleep`: the thread waits, and with it all that it would have run.
    async fn blocking(&self) -> Vec<Rolled> {
        let block = |duration| async move { std::thread::sleep(duration) };
        self.all(|index| async move {
            let _turn = self.turns.acquire().await;
            self.batch(&self.die).roll_one(index, block).instrument(self.span(index)).await
        })
        .await
    }

    /// `one-call-per-roll`: each asks die-service for the same.
    async fn one_call_each(&self, deadline: Deadline) -> Result<Vec<Rolled>, Error> {
        let rolls = (0..self.times).map(|index| async move {
            let _turn = self.turns.acquire().await;
            let span = self.span(index);
            let rolled = async {
                let die = self.state.die_service.find(&self.die.identifier, deadline).await?;
                let rolled = self.batch(&die).roll_one(index, work).await;
                Ok((die, rolled))
            };
            let (die, rolled) = rolled.instrument(span).await?;
            add_completion(index, &rolled);
            Ok((die, rolled))
        });
        let (dice, rolled): (Vec<_>, _) = join_all(rolls).await.into_iter().collect::<Result<_, _>>()?;
        dice.first().into_iter().for_each(set_die);
        Ok(rolled)
    }

    /// `detached-rolls`: a task does not know the span of who spawned it.
    async fn detached(&self) -> Vec<Rolled> {
        self.all(|index| async move {
            let rolls = self.clone();
            #[allow(clippy::disallowed_methods)] // the fault
            let task = tokio::spawn(async move { rolls.one(index, &rolls.die).await });
            // It panicked, or the runtime stops.
            task.await.unwrap_or_else(|_| Rolled { face: None, started: Instant::now(), took: Duration::ZERO })
        })
        .await
    }

    /// `early-answer`: waits for the first of the rolls, whose faces are decided beforehand.
    async fn first_only(&self) -> Vec<Rolled> {
        let rolls = self.decided();
        let started = Instant::now();
        let tasks = (0..self.times).map(|index| {
            let rolls = rolls.clone();
            let roll = async move { rolls.one(index, &rolls.die).await };
            // With `.instrument` the parent would stay open as long as its children.
            #[allow(clippy::disallowed_methods)] // the fault
            tokio::spawn(roll.with_context(Context::current()))
        });
        let _ = select_all(tasks).await;
        let throw = |index| rolls.state.chance.throw(&rolls.die, rolls.stream, index);
        let rolled = (0..self.times).map(throw);
        rolled.map(|throw| Rolled { face: throw.face, started, took: throw.duration }).collect()
    }

    /// `hidden-error`: a roll that fails has a face all the same.
    async fn hiding_errors(&self) -> Vec<Rolled> {
        let rolls = &self.decided();
        let wrong = &wrong(&self.die);
        self.all(|index| async move {
            let failed = rolls.state.chance.throw(&rolls.die, rolls.stream, index).face.is_none();
            rolls.one(index, if failed { wrong } else { &rolls.die }).await
        })
        .await
    }

    fn decided(&self) -> Self {
        Self { stream: decided(self.stream), ..self.clone() }
    }

    /// All at once, as in `batch.rs`.
    async fn all<F: Future<Output = Rolled>>(&self, roll: impl Fn(u32) -> F) -> Vec<Rolled> {
        let roll = &roll;
        let rolls = (0..self.times).map(|index| async move {
            let rolled = roll(index).await;
            add_completion(index, &rolled);
            rolled
        });
        join_all(rolls).await
    }

    /// One roll when it is its turn, as in `batch.rs`.
    async fn one(&self, index: u32, die: &Die) -> Rolled {
        let _turn = self.turns.acquire().await;
        self.batch(die).roll_one(index, work).instrument(self.span(index)).await
    }

    fn span(&self, index: u32) -> Span {
        info_span!(
            "async_roll",
            otel.name = format!("async_roll_{index}"),
            async.roll_index = i64::from(index),
            die.type = &*self.die.identifier,
        )
    }

    fn batch<'a>(&'a self, die: &'a Die) -> Batch<'a> {
        let AppState { chance, limit, metrics, .. } = &*self.state;
        let (stream, times, concurrency) = (self.stream, self.times, self.times);
        Batch { die, stream, times, concurrency, chance, limit, metrics }
    }
}
