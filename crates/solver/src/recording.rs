//! What a person can look at: traces of the viewer, and the metrics of services.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use reqwest::Url;
use tempo_client::{Client, SEARCH_PATH, parse_search};
use trace_check::Trace;

/// The newest traces that are looked at.
const TRACES: usize = 120;

/// A response takes no longer than this.
const LIMIT: Duration = Duration::from_secs(10);

/// Spans that are there no later than this after a trace was found: it may be the time that they are under way, and
/// that they wait for their export.
const ARRIVAL: Duration = Duration::from_secs(2);

/// Where to look.
#[derive(Debug, Clone)]
pub struct System {
    /// The address of the viewer.
    pub viewer: Url,
    /// The name and the address of each service.
    pub services: Vec<(String, Url)>,
}

/// A trace of the viewer.
#[derive(Debug, Clone)]
pub struct Observed {
    /// 32 hex digits.
    pub id: String,
    /// Its spans.
    pub trace: Trace,
}

/// All that was looked at.
#[derive(Debug, Clone, Default)]
pub struct Recording {
    /// The newest first.
    pub traces: Vec<Observed>,
    /// How many spans each service says that it has dropped.
    pub dropped: BTreeMap<String, f64>,
}

impl System {
    /// The system on this machine with that port offset.
    ///
    /// # Errors
    /// When the offset moves a port beyond the last.
    pub fn local(port_offset: u16) -> anyhow::Result<Self> {
        let at = |port: u16| {
            let port = port.checked_add(port_offset).context("the port offset is too large")?;
            Ok::<_, anyhow::Error>(Url::parse(&format!("http://127.0.0.1:{port}"))?)
        };
        let services = [("die-service", 8106), ("dice-roller", 8107), ("frontend", 8108)];
        let services = services.into_iter().map(|(name, port)| Ok((name.to_owned(), at(port)?)));
        Ok(Self { viewer: at(3200)?, services: services.collect::<anyhow::Result<_>>()? })
    }

    /// Looks at the newest traces once their spans have arrived.
    ///
    /// # Errors
    /// When the viewer or a service does not respond.
    pub async fn record(&self) -> anyhow::Result<Recording> {
        // One TLS implementation for every client of the process; a second call changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().timeout(LIMIT).build()?;
        let base = self.viewer.as_str().trim_end_matches('/');
        let url = format!("{base}/{SEARCH_PATH}?limit={TRACES}");
        let found = http.get(url).send().await?.error_for_status()?.bytes().await?;
        tokio::time::sleep(ARRIVAL).await;
        let client = Client { http: http.clone(), base: self.viewer.clone() };
        let mut recording = Recording::default();
        for id in parse_search(&found).context("the viewer's search")? {
            recording.traces.push(Observed { trace: client.trace(&id).await?.into(), id });
        }
        for (name, url) in &self.services {
            let metrics = http.get(url.join("metrics")?).send().await?.error_for_status()?.text().await?;
            recording
                .dropped
                .insert(name.clone(), sum(&metrics, "telemetry_spans_dropped_total{reason=\"queue_full\""));
        }
        Ok(recording)
    }
}

/// The sum of a counter over its labels.
fn sum(metrics: &str, name: &str) -> f64 {
    let values = metrics.lines().filter_map(|line| line.strip_prefix(name)?.rsplit(' ').next()?.parse::<f64>().ok());
    values.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counter_is_summed_over_its_labels() {
        let text = "# TYPE a_total counter\na_total{reason=\"x\"} 2\na_total{reason=\"y z\"} 3\na_total_other 4\nb 5\n";
        assert_eq!(sum(text, "a_total{"), 5.0);
        assert_eq!(sum(text, "c_total"), 0.0);
    }
}
