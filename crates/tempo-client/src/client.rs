//! The client.

use reqwest::{StatusCode, Url};

use crate::{Trace, trace_path};

/// A client of one backend. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
}

/// Why there is no trace to read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There was no response.
    #[error("no trace backend answers at {base} (TEMPO_URL)")]
    Connection {
        /// The address of the backend.
        base: Url,
        /// Why.
        source: reqwest::Error,
    },
    /// The backend refused.
    #[error("{base} responds with {status}")]
    Status {
        /// The address of the backend.
        base: Url,
        /// Neither 2xx nor 404.
        status: StatusCode,
    },
    /// The body is no trace.
    #[error("{base} does not answer as Tempo does")]
    Json {
        /// The address of the backend.
        base: Url,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

impl Client {
    /// A client of the backend at `base`. Timeouts and proxies are those of `http`.
    pub fn new(http: reqwest::Client, base: Url) -> Self {
        Self { http, base }
    }

    /// All spans of this trace that the backend has; none of a trace that it does not know.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn trace(&self, trace_id: &str) -> Result<Trace, Error> {
        let base = || self.base.clone();
        let connection = |error: reqwest::Error| Error::Connection { base: base(), source: error.without_url() };
        let url = format!("{}/{}", self.base.as_str().trim_end_matches('/'), trace_path(trace_id));
        let response = self.http.get(url).header("accept", "application/json").send().await.map_err(connection)?;
        match response.status() {
            StatusCode::NOT_FOUND => Ok(Trace::default()),
            status if !status.is_success() => Err(Error::Status { base: base(), status }),
            _ => {
                let body = response.bytes().await.map_err(connection)?;
                Trace::parse(&body).map_err(|source| Error::Json { base: base(), source })
            }
        }
    }
}
