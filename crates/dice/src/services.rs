//! The table of services. Launcher, doctor and the colours of log lines read it; a new service is added here.

use die_service::Catalogue;
use service::settings::parse_with;

/// A program of the system.
#[derive(Debug)]
pub(crate) struct Service {
    /// Its subcommand of `dice`, and the name on its log lines and spans.
    pub(crate) name: &'static str,
    /// Where it listens, before the offset.
    pub(crate) port: u16,
    /// The environment variable by which others find it.
    pub(crate) url_setting: &'static str,
    /// Of its name in log lines: an ANSI colour, close to the one in the trace viewer.
    pub(crate) colour: &'static str,
    /// What a person can try, with `{url}` for its address.
    pub(crate) to_try: &'static [&'static str],
    /// Reads its settings as its process will with this environment, and stops where that would.
    pub(crate) check: fn(&[(&str, String)]) -> anyhow::Result<()>,
}

pub(crate) const TRACE_VIEWER: Service = Service {
    name: "trace-viewer",
    port: 3200,
    url_setting: "TEMPO_URL",
    colour: "36",
    to_try: &["open it to see the traces arrive"],
    check: |environment| Ok(parse_with::<trace_viewer::Config>(environment).map(drop)?),
};

pub(crate) const DIE_SERVICE: Service = Service {
    name: "die-service",
    port: 8106,
    url_setting: "DIE_SERVICE_URL",
    colour: "32",
    to_try: &["curl '{url}/dice'"],
    check: |environment| {
        let config: die_service::Config = parse_with(environment)?;
        config.service.telemetry.check()?;
        Catalogue::load(config.die_specifications.as_deref()).map(drop)
    },
};

pub(crate) const DICE_ROLLER: Service = Service {
    name: "dice-roller",
    port: 8107,
    url_setting: "DICE_ROLLER_URL",
    colour: "33",
    to_try: &["curl '{url}/metrics'"],
    check: |environment| Ok(parse_with::<dice_roller::Config>(environment)?.service.telemetry.check()?),
};

pub(crate) const FRONTEND: Service = Service {
    name: "frontend",
    port: 8108,
    url_setting: "FRONTEND_URL",
    colour: "34",
    to_try: &[
        "open it, roll five dice at once, follow \"View trace\"",
        "curl '{url}/roll?die=fair'",
        "curl '{url}/roll-async?die=fair&times=5'",
    ],
    check: |environment| Ok(parse_with::<frontend::Config>(environment)?.service.telemetry.check()?),
};

/// In the order of their start: each after those that it calls, and the receiver of spans first.
pub(crate) const SERVICES: [&Service; 4] = [&TRACE_VIEWER, &DIE_SERVICE, &DICE_ROLLER, &FRONTEND];

/// The table as the doctor takes it.
pub(crate) const FOR_DOCTOR: doctor::Services = doctor::Services {
    frontend: FRONTEND.for_doctor(),
    dice_roller: DICE_ROLLER.for_doctor(),
    die_service: DIE_SERVICE.for_doctor(),
    trace_viewer: TRACE_VIEWER.for_doctor(),
};

impl Service {
    const fn for_doctor(&self) -> doctor::Service {
        doctor::Service { name: self.name, port: self.port, url_setting: self.url_setting }
    }
}
