//! The parts of the system: their names, their addresses, and the setting of each address.

use reqwest::Url;

use crate::config::Config;
use crate::report::Failure;
use crate::{Service, Services};

/// Every part that is checked.
#[derive(Debug)]
pub(crate) struct Targets {
    pub(crate) frontend: Target,
    pub(crate) dice_roller: Target,
    pub(crate) die_service: Target,
    pub(crate) collector: Target,
    pub(crate) tempo: Target,
    pub(crate) prometheus: Target,
    pub(crate) loki: Target,
    pub(crate) grafana: Target,
}

/// One part.
#[derive(Debug)]
pub(crate) struct Target {
    /// What people call it; a service has the name that its spans carry.
    pub(crate) name: &'static str,
    /// Where it is.
    pub(crate) url: Url,
    /// The environment variable that sets another address.
    pub(crate) setting: &'static str,
    /// Whether it must be there; otherwise it may be no part of this system.
    pub(crate) required: bool,
}

impl Targets {
    /// The parts that `config` names, the others at their usual addresses.
    ///
    /// # Errors
    /// None that a setting could cause.
    pub(crate) fn new(config: &Config, services: &Services) -> anyhow::Result<Self> {
        let local = |port: u16| Url::parse(&format!("http://127.0.0.1:{port}"));
        let service = |service: &Service, url: &Option<Url>| {
            let url = url.clone().map_or_else(|| local(service.port), Ok)?;
            anyhow::Ok(Target { name: service.name, url, setting: service.url_setting, required: true })
        };
        let backend = |name, url: &Option<Url>, usual: u16, setting| {
            let required = url.is_some() || config.stack;
            let url = url.clone().map_or_else(|| local(usual), Ok)?;
            anyhow::Ok(Target { name, url, setting, required })
        };
        Ok(Self {
            frontend: service(&services.frontend, &config.frontend_url)?,
            dice_roller: service(&services.dice_roller, &config.dice_roller_url)?,
            die_service: service(&services.die_service, &config.die_service_url)?,
            collector: backend("the collector", &config.collector_url, 13133, "COLLECTOR_URL")?,
            tempo: backend(
                "the trace backend",
                &config.tempo_url,
                services.trace_viewer.port,
                services.trace_viewer.url_setting,
            )?,
            prometheus: backend("Prometheus", &config.prometheus_url, 9090, "PROMETHEUS_URL")?,
            loki: backend("Loki", &config.loki_url, 3100, "LOKI_URL")?,
            grafana: backend("Grafana", &config.grafana_url, 3000, "GRAFANA_URL")?,
        })
    }

    /// The three services, in the order of a request.
    pub(crate) fn services(&self) -> [&Target; 3] {
        [&self.frontend, &self.dice_roller, &self.die_service]
    }
}

impl Target {
    /// Where it is, as it may be shown: a password in the address stays out.
    pub(crate) fn origin(&self) -> String {
        self.url.origin().ascii_serialization()
    }

    /// The address of `path`, which begins without a slash.
    pub(crate) fn at(&self, path: &str) -> String {
        format!("{}/{path}", self.url.as_str().trim_end_matches('/'))
    }

    /// It does not respond, or not as it should.
    pub(crate) fn failure(&self, found: String) -> Failure {
        let (name, origin, setting) = (self.name, self.origin(), self.setting);
        Failure {
            found,
            cause: format!("{name} does not run, is in trouble, or is not what listens at {origin}"),
            remedy: format!(
                "start it (`cargo run`, or `docker compose up --wait`), look at its log lines, or name another place with {setting}"
            ),
        }
    }
}
