//! The settings: each is a flag and an environment variable of the same name.

use std::net::IpAddr;

use axum::http::uri::Authority;
use service::settings::within;
use telemetry::settings::LogFormat;

/// Keeps recent traces in memory and shows them.
#[derive(Debug, Clone, clap::Parser)]
#[command(version)]
pub struct Config {
    /// Address to listen on.
    #[arg(long, env = "HOST", default_value = "127.0.0.1", value_parser = host)]
    pub host: IpAddr,

    /// Port of the pages and the query API; 0 takes any free one, which the first log line names.
    #[arg(long, env = "PORT", default_value_t = 3200, value_parser = within(0..=u16::MAX))]
    pub port: u16,

    /// Port that receives OTLP over HTTP (/v1/traces, /v1/logs); 0 takes any free one.
    #[arg(long, env = "OTLP_PORT", default_value_t = 4318, value_parser = within(0..=u16::MAX))]
    pub otlp_port: u16,

    /// Port that receives OTLP over gRPC; 0 takes any free one.
    #[arg(long, env = "OTLP_GRPC_PORT", default_value_t = 4317, value_parser = within(0..=u16::MAX))]
    pub otlp_grpc_port: u16,

    /// Names under which pages and queries are served, beside addresses and loopback names: a list with commas.
    #[arg(long, env = "ALLOWED_HOSTS", value_delimiter = ',', value_parser = host_name)]
    pub allowed_hosts: Vec<String>,

    /// Origins whose pages may send OTLP, beside those on loopback: a list with commas.
    #[arg(long, env = "CORS_ALLOWED_ORIGINS", value_delimiter = ',', value_parser = origin)]
    pub cors_allowed_origins: Vec<String>,

    /// Spans kept at most; the oldest whole traces are dropped first. One trace may take half of this.
    #[arg(long, env = "MAX_SPANS", default_value_t = 200_000, value_parser = at_least::<2>)]
    pub max_spans: usize,

    /// Bytes of memory that spans and log lines may take together; the oldest whole traces are dropped first.
    #[arg(long, env = "MAX_BYTES", default_value_t = 256 << 20, value_parser = at_least::<{ 1 << 20 }>)]
    pub max_bytes: usize,

    /// Milliseconds after which a query of the API is stopped and gets 503.
    #[arg(long, env = "QUERY_TIMEOUT_MS", default_value_t = 5000, value_parser = within(1..=600_000_u64))]
    pub query_timeout_ms: u64,

    /// How log lines are written.
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t = LogFormat::Json)]
    pub log_format: LogFormat,

    /// Which log lines are written: a level, or a filter such as `info,trace_viewer=debug`.
    #[arg(long, env = "RUST_LOG", default_value = "info", value_parser = log_filter)]
    pub rust_log: String,
}

fn host(text: &str) -> Result<IpAddr, &'static str> {
    text.parse().map_err(|_| "allowed: an IP address such as 127.0.0.1 or 0.0.0.0")
}

fn host_name(text: &str) -> Result<String, &'static str> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    let valid = !text.is_empty() && text.chars().all(is_name);
    valid.then(|| text.to_owned()).ok_or("allowed: names such as viewer.example, without port")
}

fn origin(text: &str) -> Result<String, &'static str> {
    let authority = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let valid = authority.is_some_and(|authority| !authority.contains('/') && authority.parse::<Authority>().is_ok());
    valid.then(|| text.to_owned()).ok_or("allowed: origins such as https://app.example or http://app.example:8080")
}

fn at_least<const LEAST: usize>(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if number >= LEAST => Ok(number),
        _ => Err(format!("allowed: a number from {LEAST} up")),
    }
}

fn log_filter(text: &str) -> Result<String, String> {
    match tracing_subscriber::EnvFilter::try_new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!("{error}; allowed: a level such as info, or target=level,…")),
    }
}

#[cfg(test)]
mod tests {
    use service::settings::parse;

    use super::*;

    #[test]
    fn invalid_value_error_says_what_is_allowed() {
        let cases = [
            ("--port=70000", "allowed: a number from 0 to 65535"),
            ("--otlp-port=-x", "allowed: a number from 0 to 65535"),
            ("--allowed-hosts=a,b:80", "allowed: names such as viewer.example"),
            ("--cors-allowed-origins=app.example", "allowed: origins such as https://app.example"),
            ("--cors-allowed-origins=https://app.example/", "allowed: origins such as https://app.example"),
            ("--max-spans=1", "allowed: a number from 2 up"),
            ("--query-timeout-ms=0", "allowed: a number from 1 to 600000"),
            ("--host=localhost:80", "allowed: an IP address"),
            ("--rust-log=a=b=c", "allowed: a level"),
        ];
        for (flag, expected) in cases {
            let error = parse::<Config>(["trace-viewer".into(), flag.into()]).expect_err("a bad value").to_string();
            assert!(error.contains(expected), "{flag}: {error}");
        }
    }
}
