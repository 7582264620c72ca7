//! The parts of the system: who they are, where they are, and which setting says so.

use reqwest::Url;

use super::config::Config;
use super::report::Fault;

/// Every part that can be asked.
#[derive(Debug)]
pub(crate) struct Places {
    pub(crate) frontend: Place,
    pub(crate) dice_roller: Place,
    pub(crate) die_service: Place,
    pub(crate) collector: Place,
    pub(crate) tempo: Place,
    pub(crate) prometheus: Place,
    pub(crate) loki: Place,
    pub(crate) grafana: Place,
}

/// One part.
#[derive(Debug)]
pub(crate) struct Place {
    /// What people call it; a service has the name that its spans carry.
    pub(crate) name: &'static str,
    /// Where it is.
    pub(crate) url: Url,
    /// The environment variable that names another place.
    pub(crate) setting: &'static str,
    /// Whether it must be there; otherwise it may be no part of this system.
    pub(crate) required: bool,
}

impl Places {
    /// The parts that `config` names, the others at their usual places.
    ///
    /// # Errors
    /// None that a setting could cause.
    pub(crate) fn of(config: &Config) -> anyhow::Result<Self> {
        let service = |name, url: &Url, setting| Place { name, url: url.clone(), setting, required: true };
        let backend = |name, url: &Option<Url>, usual: u16, setting| {
            let required = url.is_some() || config.stack;
            let url = url.clone().map_or_else(|| Url::parse(&format!("http://127.0.0.1:{usual}")), Ok)?;
            anyhow::Ok(Place { name, url, setting, required })
        };
        Ok(Self {
            frontend: service("frontend", &config.frontend_url, "FRONTEND_URL"),
            dice_roller: service("dice-roller", &config.dice_roller_url, "DICE_ROLLER_URL"),
            die_service: service("die-service", &config.die_service_url, "DIE_SERVICE_URL"),
            collector: backend("the collector", &config.collector_url, 13133, "COLLECTOR_URL")?,
            tempo: backend("the trace backend", &config.tempo_url, 3200, "TEMPO_URL")?,
            prometheus: backend("Prometheus", &config.prometheus_url, 9090, "PROMETHEUS_URL")?,
            loki: backend("Loki", &config.loki_url, 3100, "LOKI_URL")?,
            grafana: backend("Grafana", &config.grafana_url, 3000, "GRAFANA_URL")?,
        })
    }

    /// The three services, in the order of a request.
    pub(crate) fn services(&self) -> [&Place; 3] {
        [&self.frontend, &self.dice_roller, &self.die_service]
    }
}

impl Place {
    /// Where it is, as it may be shown: a password in the address stays out.
    pub(crate) fn origin(&self) -> String {
        self.url.origin().ascii_serialization()
    }

    /// The address of `path`, which begins without a slash.
    pub(crate) fn at(&self, path: &str) -> String {
        format!("{}/{path}", self.url.as_str().trim_end_matches('/'))
    }

    /// It does not answer, or not as it should.
    pub(crate) fn fault(&self, found: String) -> Fault {
        let (name, origin, setting) = (self.name, self.origin(), self.setting);
        Fault {
            found,
            cause: format!("{name} does not run, is in trouble, or is not what listens at {origin}"),
            remedy: format!(
                "start it (`cargo run`, or `docker compose up --wait`), look at its log lines, or name another place with {setting}"
            ),
        }
    }
}
