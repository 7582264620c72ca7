//! A circuit breaker around the calls to one other service, that can be seen in all three signals.
//!
//! Closed, it lets every call through; after a number of failures in a row it opens, and calls fail at once; after a
//! pause it lets one trial call through, whose outcome closes or opens it again. The state machine is
//! `tower-resilience-circuitbreaker`'s; it gives the place of a trial call back when that is cancelled.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use http::StatusCode;
use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};
use tower::ServiceExt;
use tower::util::BoxCloneSyncService;
use tower_resilience_circuitbreaker::{CircuitBreakerError, CircuitBreakerLayer, CircuitState};
use tracing::Span;

use crate::client::{Answer, CallError};
use crate::span::SpanFacts;

/// A call that has not been started yet.
struct Call(BoxFuture<'static, Result<Answer, CallError>>);

/// When a breaker opens, and for how long.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct BreakerSettings {
    /// Consecutive failures after which the circuit breaker opens
    #[arg(long, env = "BREAKER_FAILURES", default_value_t = 5, value_parser = crate::config::within(1..=1_000_000_usize))]
    pub breaker_failures: usize,

    /// Milliseconds that it stays open before a trial call
    #[arg(long, env = "BREAKER_OPEN_MS", default_value_t = 1000, value_parser = crate::config::within(1..=3_600_000_u64))]
    pub breaker_open_ms: u64,
}

/// The breaker of one target; clones share its state.
#[derive(Clone)]
pub struct Breaker {
    service: BoxCloneSyncService<Call, Answer, CircuitBreakerError<CallError>>,
    watch: Arc<Watch>,
}

/// What the outside sees of the breaker.
struct Watch {
    target: &'static str,
    open_for: Duration,
    opened: Mutex<Option<Instant>>,
    state: IntGaugeVec,
    transitions: IntCounterVec,
}

impl Breaker {
    /// A breaker for calls to `target`, with its metrics in `registry`.
    ///
    /// A call without an answer is a failure; so is an answer whose status `failed` says so. A status that the other
    /// side means (a die that fails by design) must not open the breaker.
    ///
    /// # Errors
    /// When `registry` has these metrics already.
    pub fn new(
        target: &'static str,
        settings: BreakerSettings,
        failed: fn(StatusCode) -> bool,
        registry: &Registry,
    ) -> anyhow::Result<Self> {
        let state = Opts::new("circuit_breaker_state", "0 closed, 1 half-open, 2 open");
        let transitions = Opts::new("circuit_breaker_transitions_total", "Changes of the circuit breaker's state");
        let watch = Arc::new(Watch {
            target,
            open_for: Duration::from_millis(settings.breaker_open_ms),
            opened: Mutex::default(),
            state: IntGaugeVec::new(state, &["target"])?,
            transitions: IntCounterVec::new(transitions, &["target", "to"])?,
        });
        registry.register(Box::new(watch.state.clone()))?;
        registry.register(Box::new(watch.transitions.clone()))?;
        watch.state.with_label_values(&[target]).set(0);
        for state in [CircuitState::Closed, CircuitState::HalfOpen, CircuitState::Open] {
            watch.transitions.with_label_values(&[target, name(state)]);
        }

        let watcher = watch.clone();
        let layer = CircuitBreakerLayer::builder()
            .consecutive_failures(settings.breaker_failures)
            .wait_duration_in_open(watch.open_for)
            .permitted_calls_in_half_open(1)
            .on_state_transition(move |_, to| watcher.changed(to))
            .failure_classifier(move |outcome: &Result<Answer, CallError>| match outcome {
                Ok(answer) => failed(answer.status),
                Err(_) => true,
            })
            .build()?;
        // The service's request is the call itself, not yet started: rejected, it is never polled.
        let service = layer.layer_fn(tower::service_fn(|Call(future)| future));
        Ok(Self { service: BoxCloneSyncService::new(service), watch })
    }

    /// Makes `call`, or fails at once while open.
    pub(crate) async fn call(
        &self,
        call: impl Future<Output = Result<Answer, CallError>> + Send + 'static,
    ) -> Result<Answer, CallError> {
        match self.service.clone().oneshot(Call(Box::pin(call))).await {
            Ok(answer) => Ok(answer),
            Err(CircuitBreakerError::Inner(error)) => Err(error),
            Err(CircuitBreakerError::OpenCircuit) => {
                Span::current().set("circuit_breaker.target", self.watch.target);
                Span::current().set("circuit_breaker.state", "open");
                Err(CallError::BreakerOpen { retry_after: self.watch.retry_after() })
            }
        }
    }
}

impl Watch {
    fn changed(&self, to: CircuitState) {
        let opened = (to == CircuitState::Open).then(Instant::now);
        *self.opened.lock().unwrap_or_else(PoisonError::into_inner) = opened;
        let (target, state) = (self.target, name(to));
        self.state.with_label_values(&[target]).set(match to {
            CircuitState::Closed => 0,
            CircuitState::HalfOpen => 1,
            CircuitState::Open => 2,
        });
        self.transitions.with_label_values(&[target, state]).inc();
        Span::current().event("circuit breaker changed", [("target", target.into()), ("to", state.into())]);
        match to {
            CircuitState::Open => tracing::warn!(target_service = target, to = state, "Circuit breaker changed"),
            _ => tracing::info!(target_service = target, to = state, "Circuit breaker changed"),
        }
    }

    fn retry_after(&self) -> Duration {
        let opened = *self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        opened.map_or(Duration::ZERO, |opened| self.open_for.saturating_sub(opened.elapsed()))
    }
}

fn name(state: CircuitState) -> &'static str {
    match state {
        CircuitState::Closed => "closed",
        CircuitState::HalfOpen => "half_open",
        CircuitState::Open => "open",
    }
}
