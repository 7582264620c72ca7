//! The settings of generate-traffic. Each is a flag and an environment variable; the comments are its `--help`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::ensure;
use reqwest::Url;
use service::settings::{PortOffset, base_url, within};
use telemetry::settings::{SamplerName, Settings, TracesExporter};

/// Simulated users who roll dice through the frontend, as people click.
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "generate-traffic", version)]
#[command(mut_arg("log_format", |arg| arg.default_value("pretty").help("How log lines and the summary are written")))]
pub struct Config {
    /// What to do instead of making traffic
    #[command(subcommand)]
    pub command: Option<Command>,

    /// Address of the frontend; usually http://127.0.0.1:8108
    #[arg(long, env = "FRONTEND_URL", value_parser = base_url)]
    pub frontend_url: Option<Url>,

    /// Where the usual addresses are
    #[command(flatten)]
    pub port_offset: PortOffset,

    /// Users at the same time
    #[arg(long, env = "NUM_USERS", default_value_t = 10, value_parser = within(1..=100_000_u32))]
    pub num_users: u32,

    /// Each user makes a random number of requests, from 1 to this
    #[arg(long, env = "MAX_ROLLS_PER_USER", default_value_t = 20, value_parser = within(1..=1_000_000_u32))]
    pub max_rolls_per_user: u32,

    /// The share of requests that roll a batch
    #[arg(long, env = "ASYNC_PROBABILITY", default_value_t = 0.3, value_parser = within(0.0..=1.0))]
    pub async_probability: f64,

    /// Each batch has a random number of dice, from 1 to this
    #[arg(long, env = "MAX_ASYNC_ROLLS", default_value_t = 10, value_parser = within(1..=1000_u32))]
    pub max_async_rolls: u32,

    /// The dice to choose from, each equally likely; `unknown` does not exist, so some requests fail
    #[arg(long, env = "DICE", value_delimiter = ',', default_value = "fair,risky,extreme,unknown")]
    pub dice: Vec<String>,

    /// Milliseconds that a user thinks between two requests: from-to, or one number
    #[arg(long, env = "THINK_TIME_MS", default_value = "500-2000", value_parser = think_time)]
    pub think_time_ms: ThinkTime,

    /// Milliseconds that a user waits for a response
    #[arg(long, env = "REQUEST_TIMEOUT_MS", default_value_t = 30_000, value_parser = within(1..=3_600_000_u64))]
    pub request_timeout_ms: u64,

    /// Makes the run repeatable: the same seed, the same users with the same requests
    #[arg(long, env = "SEED")]
    pub seed: Option<u64>,

    /// Requests per second, at fixed times whatever the responses do, instead of users who think
    #[arg(long, env = "RATE", value_parser = within(0.01..=100_000.0))]
    pub rate: Option<f64>,

    /// Seconds after which no further request begins; without it users make all theirs, and a rate goes on until Ctrl-C
    #[arg(long, env = "DURATION", value_parser = within(0.001..=31_536_000.0))]
    pub duration: Option<f64>,

    /// With a rate: the most requests under way at once
    #[arg(long, env = "MAX_IN_FLIGHT", default_value_t = 1000, value_parser = within(1..=100_000_usize))]
    pub max_in_flight: usize,

    /// File to write the manifest to: which spans a lossless backend must hold afterwards, one trace a line
    #[arg(long, env = "MANIFEST")]
    pub manifest: Option<PathBuf>,

    /// As a service has them
    #[command(flatten)]
    pub telemetry: Settings,
}

/// How long a user thinks between two requests: from and to, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ThinkTime(pub(crate) u64, pub(crate) u64);

/// What else the program does.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Command {
    /// Compare a manifest with what the trace backend holds; exit status 1 when anything was lost
    Verify(crate::manifest::Config),
}

fn think_time(text: &str) -> Result<ThinkTime, &'static str> {
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    match (from.parse(), to.parse()) {
        (Ok(from), Ok(to)) if from <= to && to <= 3_600_000 => Ok(ThinkTime(from, to)),
        _ => Err("allowed: milliseconds from-to, such as 500-2000, or one number; at most 3600000"),
    }
}

impl Config {
    /// Checks that need several settings.
    ///
    /// # Errors
    /// When a manifest is wanted, but not every span is exported: it would promise what cannot be there.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let otel = &self.telemetry.otel;
        let all = matches!(otel.otel_traces_sampler, SamplerName::AlwaysOn | SamplerName::ParentbasedAlwaysOn);
        let exported = otel.otel_traces_exporter == TracesExporter::Otlp && !otel.otel_sdk_disabled;
        ensure!(
            self.manifest.is_none() || (all && exported),
            "MANIFEST (--manifest) needs every span exported: leave OTEL_TRACES_SAMPLER, OTEL_TRACES_EXPORTER and \
             OTEL_SDK_DISABLED at their defaults"
        );
        Ok(())
    }

    /// Where the frontend is.
    pub(crate) fn frontend(&self) -> anyhow::Result<Url> {
        self.port_offset.url(&self.frontend_url, 8108)
    }

    /// The settings of telemetry: its own spans go to the viewer of the same system, unless a setting says where.
    pub(crate) fn telemetry(&self) -> anyhow::Result<Settings> {
        let mut settings = self.telemetry.clone();
        let endpoint = &mut settings.otel.otel_exporter_otlp_endpoint;
        if self.port_offset.port_offset > 0 {
            *endpoint = Some(self.port_offset.url(endpoint, 4318)?);
        }
        Ok(settings)
    }

    pub(crate) fn duration(&self) -> Option<Duration> {
        self.duration.map(Duration::from_secs_f64)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use telemetry::settings::LogFormat;

    use super::*;

    fn config(flags: &[&str]) -> Result<Config, clap::Error> {
        Config::try_parse_from(["generate-traffic"].iter().chain(flags))
    }

    #[test]
    fn think_time_is_a_number_or_a_rising_range() {
        assert_eq!(think_time("500-2000"), Ok(ThinkTime(500, 2000)));
        assert_eq!(think_time("0"), Ok(ThinkTime(0, 0)));
        for bad in ["", "-", "2000-500", "1-", "a-b", "1-2-3", "0-3600001", "-5"] {
            assert!(think_time(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn defaults_are_those_of_the_documentation() {
        let config = config(&[]).unwrap();
        assert_eq!((config.num_users, config.max_rolls_per_user, config.max_async_rolls), (10, 20, 10));
        assert_eq!((config.async_probability, config.request_timeout_ms), (0.3, 30_000));
        assert_eq!(config.dice, ["fair", "risky", "extreme", "unknown"]);
        assert_eq!(config.telemetry.log_format, LogFormat::Pretty);
    }

    #[test]
    fn manifest_is_refused_where_spans_are_not_exported() {
        assert!(config(&["--manifest", "m"]).unwrap().check().is_ok());
        for flag in ["--otel-traces-sampler=traceidratio", "--otel-traces-exporter=none", "--otel-sdk-disabled=true"] {
            assert!(config(&[flag]).unwrap().check().is_ok(), "{flag} alone");
            assert!(config(&["--manifest", "m", flag]).unwrap().check().is_err(), "{flag}");
        }
    }
}
