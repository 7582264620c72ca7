//! Another service that this one sends requests to: with a time limit, a circuit breaker, and the caller's deadline
//! handed on.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Response};
use reqwest::{Request, Url};
use telemetry::{ClientError, attributes};
use tower::Service;
use tower_resilience_circuitbreaker::CircuitBreakerError;

use crate::breaker::{self, ClientWithBreaker, Observer};
use crate::deadline::{Deadline, TIMEOUT_HEADER};

/// One upstream; made by [`Service::upstream`](crate::Service::upstream). Clones share connections and breaker.
#[derive(Clone)]
pub struct Upstream {
    pub(crate) client: ClientWithBreaker,
    pub(crate) breaker: Arc<Observer>,
}

/// Why a request brought no response.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// The breaker is open: the request was not sent.
    #[error("the circuit breaker is open")]
    BreakerOpen {
        /// When the breaker will let a request through again.
        retry_after: Duration,
    },
    /// It was sent, and no response came.
    #[error(transparent)]
    Call(#[from] ClientError),
}

impl UpstreamError {
    /// The value of metric labels: `circuit_open`, or [`ClientError::kind`].
    pub fn kind(&self) -> &'static str {
        match self {
            UpstreamError::BreakerOpen { .. } => "circuit_open",
            UpstreamError::Call(error) => error.kind(),
        }
    }
}

/// A GET that hands on how long the caller waits (`x-request-timeout-ms`).
pub fn get_request(url: Url, timeout: Duration, deadline: Deadline) -> Request {
    let mut request = Request::new(Method::GET, url);
    *request.timeout_mut() = Some(timeout);
    let left = u64::try_from(deadline.within(timeout).as_millis()).unwrap_or(u64::MAX);
    request.headers_mut().insert(&TIMEOUT_HEADER, left.into());
    request
}

impl Upstream {
    /// Sends a GET to `url` and waits for at most `timeout`, the body included. A response of any status is `Ok`.
    ///
    /// What the caller has left by `deadline` is handed on, and the router stops the handler with it. It is not the
    /// request's own limit: a caller in a hurry would look like an upstream that does not respond, and open the breaker
    /// for all.
    ///
    /// # Errors
    /// [`UpstreamError`] where no response came.
    pub async fn get(&self, url: Url, timeout: Duration, deadline: Deadline) -> Result<Response<Bytes>, UpstreamError> {
        let request = get_request(url, timeout, deadline);
        let mut client = self.client.clone();
        let response = match breaker::ready(&mut client).await {
            Ok(client) => client.call(request).await,
            Err(error) => Err(error),
        };
        response.map_err(|error| match error {
            CircuitBreakerError::Inner(error) => error.into(),
            CircuitBreakerError::OpenCircuit => {
                attributes::set("circuit_breaker.target", self.breaker.target);
                attributes::set("circuit_breaker.state", "open");
                UpstreamError::BreakerOpen { retry_after: self.breaker.retry_after() }
            }
        })
    }
}
