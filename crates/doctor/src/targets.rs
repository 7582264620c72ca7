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
        let target = |name, url: &Option<Url>, usual: u16, setting, always: bool| {
            let required = always || url.is_some() || config.stack;
            let url = url.clone().map_or_else(|| Url::parse(&format!("http://127.0.0.1:{usual}")), Ok)?;
            anyhow::Ok(Target { name, url, setting, required })
        };
        let service = |service: &Service, url| target(service.name, url, service.port, service.url_setting, true);
        let viewer = &services.trace_viewer;
        Ok(Self {
            frontend: service(&services.frontend, &config.frontend_url)?,
            dice_roller: service(&services.dice_roller, &config.dice_roller_url)?,
            die_service: service(&services.die_service, &config.die_service_url)?,
            collector: target("the collector", &config.collector_url, 13133, "COLLECTOR_URL", false)?,
            tempo: target("the trace backend", &config.tempo_url, viewer.port, viewer.url_setting, false)?,
            prometheus: target("Prometheus", &config.prometheus_url, 9090, "PROMETHEUS_URL", false)?,
            loki: target("Loki", &config.loki_url, 3100, "LOKI_URL", false)?,
            grafana: target("Grafana", &config.grafana_url, 3000, "GRAFANA_URL", false)?,
        })
    }

    /// The three services, callers first.
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
        Failure::new(
            found,
            format!("{name} does not run, is in trouble, or is not what listens at {origin}"),
            format!("start it (`cargo run`, or `docker compose up --wait`), look at its log lines, or set {setting}"),
        )
    }
}
