//! The settings of the launcher itself. All others stay in the environment, which the services inherit.

use reqwest::Url;
use service::settings::{MAX_PORT_OFFSET, base_url, within};
use telemetry::settings::LogFormat;

/// Where the system listens, and what it writes.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Config {
    /// Address that all processes listen on, or a name of it
    #[arg(long, env = "HOST", default_value = "127.0.0.1")]
    pub(crate) host: String,

    /// Added to every port (3200, 4317, 4318, 8106, 8107, 8108), so that two systems run side by side
    #[arg(long, env = "PORT_OFFSET", default_value_t = 0, value_parser = within(0..=MAX_PORT_OFFSET))]
    pub(crate) port_offset: u16,

    /// Port that receives spans (OTLP over HTTP), before the offset; 0 takes any free one
    #[arg(long, env = "OTLP_PORT", default_value_t = 4318, value_parser = within(0..=u16::MAX))]
    pub(crate) otlp_port: u16,

    /// Port that receives spans (OTLP over gRPC), before the offset; 0 takes any free one
    #[arg(long, env = "OTLP_GRPC_PORT", default_value_t = 4317, value_parser = within(0..=u16::MAX))]
    pub(crate) otlp_grpc_port: u16,

    /// OTLP receiver to use instead of the trace viewer, which is not started then
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_parser = base_url)]
    pub(crate) otel_exporter_otlp_endpoint: Option<Url>,

    /// The same for spans only, used as it is
    #[arg(long, env = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", value_parser = base_url)]
    pub(crate) otel_exporter_otlp_traces_endpoint: Option<Url>,

    /// After Ctrl-C, milliseconds within which requests in flight may finish, in each service
    #[arg(long, env = "SHUTDOWN_GRACE_MS", default_value_t = 8000, value_parser = within(0..=600_000_u64))]
    pub(crate) shutdown_grace_ms: u64,

    /// After Ctrl-C, milliseconds for which each service still accepts connections before it drains
    #[arg(long, env = "SHUTDOWN_DELAY_MS", default_value_t = 0, value_parser = within(0..=600_000_u64))]
    pub(crate) shutdown_delay_ms: u64,

    /// Log lines for people, or the services' own JSON lines
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t = LogFormat::Pretty)]
    pub(crate) log_format: LogFormat,

    /// No colours, even on a terminal (see no-color.org: any value counts)
    #[arg(long, env = "NO_COLOR", num_args = 0, default_missing_value = "1", hide_env_values = true)]
    pub(crate) no_color: Option<String>,
}
