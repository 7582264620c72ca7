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
    /// Whether something at its usual address belongs to this system; with a port offset it does not.
    pub(crate) usual: bool,
    /// The command that starts it.
    start: String,
    /// Its name in docker-compose.yml; none for what `cargo run` starts.
    container: Option<&'static str>,
}

/// In which way a part does not respond as it should.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Trouble {
    /// Nothing listens there.
    Absent,
    /// It listens, and does not respond in time.
    Silent,
    /// It responds, with something else.
    Wrong,
}

impl Targets {
    /// The parts that `config` names, the others at their usual addresses.
    ///
    /// # Errors
    /// None that a setting could cause.
    pub(crate) fn new(config: &Config, services: &Services) -> anyhow::Result<Self> {
        let (offset, stack) = (config.port_offset, config.stack);
        let cargo_run = match offset.port_offset {
            0 => "cargo run".to_owned(),
            moved => format!("cargo run -- --port-offset {moved}"),
        };
        let compose = |container| (format!("docker compose up -d {container}"), Some(container));
        let service = |service: &Service, url: &Option<Url>, container, required: bool| {
            let (start, container) = if stack { compose(container) } else { (cargo_run.clone(), None) };
            let (name, setting, required) = (service.name, service.url_setting, required || url.is_some());
            anyhow::Ok(Target {
                name,
                url: offset.url(url, service.port)?,
                setting,
                required,
                usual: true,
                start,
                container,
            })
        };
        let backend = |name, url: &Option<Url>, usual: u16, setting, container| {
            let (start, container) = compose(container);
            let usual_url = || Url::parse(&format!("http://127.0.0.1:{usual}"));
            let (required, usual) = (stack || url.is_some(), offset.port_offset == 0);
            let url = url.clone().map_or_else(usual_url, Ok)?;
            anyhow::Ok(Target { name, url, setting, required, usual, start, container })
        };
        let tempo = service(&services.trace_viewer, &config.tempo_url, "tempo", stack)?;
        Ok(Self {
            frontend: service(&services.frontend, &config.frontend_url, "frontend-stage4", true)?,
            dice_roller: service(&services.dice_roller, &config.dice_roller_url, "dice-roller-stage4", true)?,
            die_service: service(&services.die_service, &config.die_service_url, "die-service-stage4", true)?,
            collector: backend("the collector", &config.collector_url, 13133, "COLLECTOR_URL", "otel-collector")?,
            tempo: Target { name: "the trace backend", ..tempo },
            prometheus: backend("Prometheus", &config.prometheus_url, 9090, "PROMETHEUS_URL", "prometheus")?,
            loki: backend("Loki", &config.loki_url, 3100, "LOKI_URL", "loki")?,
            grafana: backend("Grafana", &config.grafana_url, 3000, "GRAFANA_URL", "grafana")?,
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
    pub(crate) fn failure(&self, trouble: Trouble, found: String) -> Failure {
        let (name, origin, setting, start) = (self.name, self.origin(), self.setting, &self.start);
        let logs = match self.container {
            Some(container) => format!("read its last log lines (`docker compose logs --tail 20 {container}`)"),
            None => "read its log lines, where `cargo run` writes them".to_owned(),
        };
        let cause = match trouble {
            Trouble::Absent => format!("{name} does not run, or is not at {origin}"),
            Trouble::Silent => format!("{name} is paused, or has too much to do to respond"),
            Trouble::Wrong => format!("{name} is in trouble, or is not what listens at {origin}"),
        };
        let remedy = match (trouble, self.container) {
            (Trouble::Absent, _) => format!("start it: `{start}`; if it ends again, {logs}; or set {setting}"),
            (Trouble::Silent, Some(container)) => {
                format!(
                    "`docker compose ps {container}` says whether it is paused (`docker compose unpause {container}`); {logs}"
                )
            }
            (Trouble::Silent, None) => format!(
                "`ps -eo pid,stat,args` says whether it is suspended (T: `kill -CONT` and its pid); {logs}; \
                 else stop it and start it again: `{start}`"
            ),
            (Trouble::Wrong, _) => format!("{logs}, or set {setting}"),
        };
        self.blamed(Failure::new(found, cause, remedy))
    }

    /// `failure` with the log lines of this part.
    pub(crate) fn blamed(&self, mut failure: Failure) -> Failure {
        failure.container = self.container;
        failure
    }

    /// The command that starts it.
    pub(crate) fn start(&self) -> &str {
        &self.start
    }
}
