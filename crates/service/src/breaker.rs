//! The circuit breaker of one upstream, which shows in all three signals.
//!
//! Closed, it lets every request through; after a number of failures in a row it opens, and requests fail at once; after
//! a pause it lets one trial request through, whose outcome closes or opens it again. The state machine is
//! `tower-resilience-circuitbreaker`'s; it gives the place of a trial back when that is cancelled.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Response, StatusCode};
use opentelemetry::KeyValue;
use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};
use reqwest::Request;
use telemetry::{Client, ClientError, attributes};
use tower::Service;
use tower::util::BoxCloneSyncService;
use tower_resilience_circuitbreaker::{CircuitBreakerError, CircuitBreakerLayer, CircuitState};

/// How long a request waits at most for the breaker before it asks again.
const READY_AGAIN: Duration = Duration::from_millis(10);

/// When a breaker opens, and for how long.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct BreakerSettings {
    /// Consecutive failures after which the circuit breaker opens
    #[arg(long, env = "BREAKER_FAILURES", default_value_t = 5, value_parser = crate::settings::within(1..=1_000_000_usize))]
    pub breaker_failures: usize,

    /// Milliseconds that it stays open before a trial request
    #[arg(long, env = "BREAKER_OPEN_MS", default_value_t = 1000, value_parser = crate::settings::within(1..=3_600_000_u64))]
    pub breaker_open_ms: u64,
}

/// The client of one upstream with the breaker in front of it; clones share the state.
pub(crate) type ClientWithBreaker = BoxCloneSyncService<Request, Response<Bytes>, CircuitBreakerError<ClientError>>;

/// `client`, and in front of it a breaker that counts a request without a response as a failure, and a response whose
/// status `is_failure`.
pub(crate) fn with_breaker(
    client: Client,
    settings: &BreakerSettings,
    is_failure: fn(StatusCode) -> bool,
    observer: Arc<Observer>,
) -> anyhow::Result<ClientWithBreaker> {
    let layer = CircuitBreakerLayer::builder()
        .consecutive_failures(settings.breaker_failures)
        .wait_duration_in_open(observer.open_for)
        .permitted_calls_in_half_open(1)
        .on_state_transition(move |_, to| observer.changed(to))
        .failure_classifier(move |outcome: &Result<Response<Bytes>, ClientError>| match outcome {
            Ok(response) => is_failure(response.status()),
            Err(_) => true,
        })
        .build()?;
    let send = tower::service_fn(move |request| {
        let client = client.clone();
        async move { client.send(request).await }
    });
    Ok(BoxCloneSyncService::new(layer.layer_fn(send)))
}

/// Waits until the breaker can say whether a request may pass.
///
/// Unlike `oneshot` it does not rely on being woken. Where another request holds the lock of the breaker's state,
/// tower-resilience-circuitbreaker 0.14 waits with a timer of 1 ms; if that has run out before its first poll, as happens on
/// a busy machine, nothing wakes the request any more. Polled again, it goes on.
pub(crate) async fn ready<S: Service<Request>>(service: &mut S) -> Result<&mut S, S::Error> {
    loop {
        let ready = poll_fn(|context| service.poll_ready(context));
        if let Ok(ready) = tokio::time::timeout(READY_AGAIN, ready).await {
            return ready.map(|()| service);
        }
    }
}

/// The metrics of all breakers that share a registry.
#[derive(Clone)]
pub(crate) struct BreakerMetrics {
    state: IntGaugeVec,
    transitions: IntCounterVec,
}

impl BreakerMetrics {
    pub(crate) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let state = Opts::new("circuit_breaker_state", "0 closed, 1 half-open, 2 open");
        let transitions = Opts::new("circuit_breaker_transitions_total", "Changes of the circuit breaker's state");
        let metrics = Self {
            state: IntGaugeVec::new(state, &["target"])?,
            transitions: IntCounterVec::new(transitions, &["target", "to"])?,
        };
        registry.register(Box::new(metrics.state.clone()))?;
        registry.register(Box::new(metrics.transitions.clone()))?;
        Ok(metrics)
    }
}

/// Reports the changes of one breaker, and knows how long it stays open.
pub(crate) struct Observer {
    pub(crate) target: &'static str,
    open_for: Duration,
    opened: Mutex<Option<Instant>>,
    metrics: BreakerMetrics,
}

impl Observer {
    /// Its metrics show from the start.
    pub(crate) fn new(target: &'static str, settings: &BreakerSettings, metrics: BreakerMetrics) -> Self {
        metrics.state.with_label_values(&[target]).set(0);
        for state in [CircuitState::Closed, CircuitState::HalfOpen, CircuitState::Open] {
            metrics.transitions.with_label_values(&[target, name(state)]);
        }
        Self { target, open_for: Duration::from_millis(settings.breaker_open_ms), opened: Mutex::default(), metrics }
    }

    fn changed(&self, to: CircuitState) {
        let opened = (to == CircuitState::Open).then(Instant::now);
        *self.opened.lock().unwrap_or_else(PoisonError::into_inner) = opened;
        let (target, state) = (self.target, name(to));
        self.metrics.state.with_label_values(&[target]).set(match to {
            CircuitState::Closed => 0,
            CircuitState::HalfOpen => 1,
            CircuitState::Open => 2,
        });
        self.metrics.transitions.with_label_values(&[target, state]).inc();
        let event = vec![KeyValue::new("target", target), KeyValue::new("to", state)];
        attributes::add_event("circuit breaker changed", event);
        match to {
            CircuitState::Open => {
                tracing::warn!(name: "circuit_breaker.changed", target_service = target, to = state, "Circuit breaker changed");
            }
            _ => {
                tracing::info!(name: "circuit_breaker.changed", target_service = target, to = state, "Circuit breaker changed");
            }
        }
    }

    /// When the next trial request is let through.
    pub(crate) fn retry_after(&self) -> Duration {
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

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::{Ready, ready as done};
    use std::task::{Context, Poll};

    use super::*;

    /// Is ready when it is polled for the second time, and wakes nobody: what the breaker does when it is not polled within
    /// a millisecond, which no test can force.
    struct NeverWakes {
        polled: bool,
    }

    impl Service<Request> for NeverWakes {
        type Response = ();
        type Error = Infallible;
        type Future = Ready<Result<(), Infallible>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            if std::mem::replace(&mut self.polled, true) { Poll::Ready(Ok(())) } else { Poll::Pending }
        }

        fn call(&mut self, _: Request) -> Self::Future {
            done(Ok(()))
        }
    }

    #[tokio::test]
    async fn breaker_that_wakes_nobody_is_polled_again() {
        let mut service = NeverWakes { polled: false };
        let limit = Duration::from_secs(20);
        let began = Instant::now();
        let _ = tokio::time::timeout(limit, ready(&mut service)).await; // at its end this polls once more
        assert!(began.elapsed() < limit, "a request would wait for ever");
    }
}
