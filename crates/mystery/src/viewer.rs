//! The viewer of the running system, as `answer` asks it.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use reqwest::{StatusCode, Url};
use tempo_client::{Client, MAX_SPANS, SEARCH_PATH, parse_search};
use trace_check::Trace;

/// A response takes no longer than this.
const LIMIT: Duration = Duration::from_secs(10);

/// Traces that a search returns at most.
const MOST: usize = 20;

/// Characters of a reason that is shown.
const MOST_REASON: usize = 300;

/// A held trace.
#[derive(Debug, Clone)]
pub struct Held {
    /// 32 hex digits.
    pub id: String,
    /// Its spans.
    pub trace: Trace,
}

/// The trace viewer, or another backend with Tempo's query API.
#[derive(Debug, Clone)]
pub struct Viewer {
    client: Client,
}

impl Viewer {
    /// The one at this address.
    ///
    /// # Errors
    /// When there is no HTTP client.
    pub fn new(base: Url) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().no_proxy().timeout(LIMIT).build().context("no HTTP client")?;
        Ok(Self { client: Client { http, base } })
    }

    /// Its address, without a slash at the end.
    pub fn address(&self) -> &str {
        self.client.base.as_str().trim_end_matches('/')
    }

    /// The trace of this id, if the viewer has it.
    ///
    /// # Errors
    /// When the viewer does not respond.
    pub async fn trace(&self, id: &str) -> anyhow::Result<Option<Held>> {
        let trace = self.client.trace(id).await?;
        ensure!(trace.spans.len() <= MAX_SPANS, "trace {id} has more than {MAX_SPANS} spans");
        let held = !trace.spans.is_empty();
        Ok(held.then(|| Held { id: format!("{id:0>32}"), trace: trace.into() }))
    }

    /// The newest traces that match a query, of those that began before `until` (seconds since 1970).
    ///
    /// # Errors
    /// When the viewer does not respond, or does not take the query.
    pub async fn search(&self, query: &str, until: Option<u64>) -> anyhow::Result<Vec<String>> {
        let url = format!("{}/{SEARCH_PATH}", self.address());
        let mut parameters = vec![("q", query.to_owned()), ("limit", MOST.to_string())];
        // A search needs both ends.
        parameters.extend(until.iter().flat_map(|end| [("start", "1".to_owned()), ("end", end.to_string())]));
        let send = async {
            let response = self.client.http.get(url).query(&parameters).send().await?;
            Ok::<_, reqwest::Error>((response.status(), response.bytes().await?))
        };
        let gone = || format!("no search at {} (TEMPO_URL)", self.address());
        let (status, body) = send.await.map_err(reqwest::Error::without_url).with_context(gone)?;
        match status {
            StatusCode::OK => parse_search(&body).with_context(gone),
            StatusCode::BAD_REQUEST => {
                let reason: String = String::from_utf8_lossy(&body).trim().chars().take(MOST_REASON).collect();
                bail!("the viewer does not take the query: {reason}")
            }
            status => bail!("{}: it responds {status}", gone()),
        }
    }

    /// The traces of [`Viewer::search`].
    ///
    /// # Errors
    /// As there.
    pub async fn find(&self, query: &str, until: Option<u64>) -> anyhow::Result<Vec<Held>> {
        let mut found = Vec::new();
        for id in self.search(query, until).await? {
            found.extend(self.trace(&id).await?);
        }
        Ok(found)
    }
}
