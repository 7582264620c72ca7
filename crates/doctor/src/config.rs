//! The settings of the doctor. Each is a flag and an environment variable; the comments are its `--help`.

use std::fs::File;
use std::path::PathBuf;

use reqwest::Url;
use service::settings::{PortOffset, base_url, within};

/// Sends one batch through the system, and proves hop by hop that every signal of it arrives.
///
/// Of the backends, one that was named must be there; one that was not, and that nothing listens for at its usual
/// address, is not part of this system; with a port offset none is that was not named. With Grafana there, a few more requests keep its panels moving; some of them fail
/// by design. Exit status: 0 when every hop holds that is there, 1 when one is broken, 2 for a bad setting.
#[derive(Debug, Clone, clap::Args)]
pub struct Config {
    /// Address of the frontend; usually http://127.0.0.1:8108
    #[arg(long, env = "FRONTEND_URL", value_parser = base_url)]
    pub(crate) frontend_url: Option<Url>,

    /// Address of dice-roller; usually http://127.0.0.1:8107
    #[arg(long, env = "DICE_ROLLER_URL", value_parser = base_url)]
    pub(crate) dice_roller_url: Option<Url>,

    /// Address of die-service; usually http://127.0.0.1:8106
    #[arg(long, env = "DIE_SERVICE_URL", value_parser = base_url)]
    pub(crate) die_service_url: Option<Url>,

    /// Address of Tempo, or of the trace viewer; usually http://127.0.0.1:3200
    #[arg(long, env = "TEMPO_URL", value_parser = base_url)]
    pub(crate) tempo_url: Option<Url>,

    /// Address of Prometheus; usually http://127.0.0.1:9090
    #[arg(long, env = "PROMETHEUS_URL", value_parser = base_url)]
    pub(crate) prometheus_url: Option<Url>,

    /// Address of Loki; usually http://127.0.0.1:3100
    #[arg(long, env = "LOKI_URL", value_parser = base_url)]
    pub(crate) loki_url: Option<Url>,

    /// Address of Grafana; usually http://127.0.0.1:3000
    #[arg(long, env = "GRAFANA_URL", value_parser = base_url)]
    pub(crate) grafana_url: Option<Url>,

    /// Address of the collector's health check; usually http://127.0.0.1:13133
    #[arg(long, env = "COLLECTOR_URL", value_parser = base_url)]
    pub(crate) collector_url: Option<Url>,

    /// Where the usual addresses of the services and of the trace viewer are
    #[command(flatten)]
    pub(crate) port_offset: PortOffset,

    /// Everything that docker-compose.yml starts must be there, named or not
    #[arg(long)]
    pub(crate) stack: bool,

    /// Nothing else uses the system: metrics must have moved by exactly what was sent, not at least
    #[arg(long)]
    pub(crate) exclusive: bool,

    /// Seconds that each hop may take to come right after the one before it did
    #[arg(long, env = "WAIT", default_value_t = 15.0, value_parser = within(0.0..=3600.0))]
    pub(crate) wait: f64,

    /// Also compare this manifest, written by `generate-traffic --manifest`, with the trace backend, and list what was lost
    #[arg(long, env = "MANIFEST", value_parser = readable)]
    pub(crate) manifest: Option<PathBuf>,

    /// Write the report as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

fn readable(text: &str) -> Result<PathBuf, String> {
    File::open(text).map(|_| text.into()).map_err(|error| format!("{error}; allowed: a file that can be read"))
}
