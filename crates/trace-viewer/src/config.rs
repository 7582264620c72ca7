//! The settings: each is a flag and an environment variable of the same name, and all are checked before anything
//! binds.

use std::net::IpAddr;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command, CommandFactory, FromArgMatches, Parser, ValueEnum};

/// Keeps recent traces in memory and shows them.
#[derive(Debug, Clone, Parser)]
#[command(version)]
pub struct Config {
    /// Address to listen on.
    #[arg(long, env = "HOST", default_value = "127.0.0.1", value_parser = host)]
    pub host: IpAddr,

    /// Port of the pages and the query API; 0 takes any free one, which the first log line names.
    #[arg(long, env = "PORT", default_value_t = 3200, value_parser = port)]
    pub port: u16,

    /// Port that receives OTLP over HTTP (/v1/traces, /v1/logs); 0 takes any free one.
    #[arg(long, env = "OTLP_PORT", default_value_t = 4318, value_parser = port)]
    pub otlp_port: u16,

    /// Spans kept at most; the oldest whole traces go first. One trace may take half of this.
    #[arg(long, env = "MAX_SPANS", default_value_t = 200_000, value_parser = at_least::<2>)]
    pub max_spans: usize,

    /// Bytes of memory that spans and log lines may take together; the oldest whole traces go first.
    #[arg(long, env = "MAX_BYTES", default_value_t = 256 << 20, value_parser = at_least::<{ 1 << 20 }>)]
    pub max_bytes: usize,

    /// How log lines are written.
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t = LogFormat::Json)]
    pub log_format: LogFormat,

    /// Which log lines are written: a level, or a filter such as `info,trace_viewer=debug`.
    #[arg(long, env = "RUST_LOG", default_value = "info", value_parser = log_filter)]
    pub rust_log: String,
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line, for machines.
    Json,
    /// One readable line, for people.
    Pretty,
}

/// Reads the settings from flags and environment.
///
/// # Errors
/// The status to exit with, after `--help` was answered or a bad setting was named in one line on stderr.
pub fn read() -> Result<Config, ExitCode> {
    let mut command = without_empty_variables(Config::command());
    let parsed = command.try_get_matches_from_mut(std::env::args_os());
    let config = parsed.and_then(|matches| Config::from_arg_matches(&matches));
    config.map_err(|error| {
        if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
            // A reader that has gone (`--help | head -1`) is no error.
            let _ = error.print();
            return ExitCode::SUCCESS;
        }
        eprintln!("error: {}", one_line(&error));
        ExitCode::from(2)
    })
}

/// An empty variable counts as unset, as compose files write it (`PORT: ${PORT:-}`); clap would read it as a value.
fn without_empty_variables(command: Command) -> Command {
    command.mut_args(|arg: Arg| match arg.get_env() {
        Some(name) if std::env::var_os(name).is_some_and(|value| value.is_empty()) => {
            arg.env(clap::builder::Resettable::<clap::builder::OsStr>::Reset)
        }
        _ => arg,
    })
}

/// clap explains an error over several lines; this keeps the setting, the value and what is allowed.
fn one_line(error: &clap::Error) -> String {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => Some(texts.join(", ")),
        _ => None,
    };
    let (Some(argument), Some(value)) = (context(ContextKind::InvalidArg), context(ContextKind::InvalidValue)) else {
        return error.to_string().lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
    };
    let flag = argument.split([' ', '=']).next().unwrap_or_default();
    let setting = flag.trim_start_matches('-').replace('-', "_").to_uppercase();
    let reason = std::error::Error::source(error).map(ToString::to_string);
    let allowed = context(ContextKind::ValidValue).map(|values| format!("allowed: {values}"));
    let why = reason.or(allowed).unwrap_or_else(|| "a value is missing".to_owned());
    format!("{setting} ({flag}): '{value}' is not valid: {why}")
}

fn host(text: &str) -> Result<IpAddr, &'static str> {
    text.parse().map_err(|_| "allowed: an IP address such as 127.0.0.1 or 0.0.0.0")
}

fn port(text: &str) -> Result<u16, &'static str> {
    text.parse().map_err(|_| "allowed: a number from 0 to 65535")
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
    use super::*;

    fn fault(args: &[&str]) -> String {
        let args = [&["trace-viewer"], args].concat();
        one_line(&Config::try_parse_from(args).expect_err("a bad value"))
    }

    #[test]
    fn a_bad_value_is_named_with_what_is_allowed() {
        let cases = [
            ("--port", "70000", "PORT (--port): '70000' is not valid: allowed: a number from 0 to 65535"),
            ("--otlp-port", "-x", "OTLP_PORT (--otlp-port): '-x' is not valid: allowed: a number from 0 to 65535"),
            ("--max-spans", "1", "MAX_SPANS (--max-spans): '1' is not valid: allowed: a number from 2 up"),
            ("--log-format", "xml", "LOG_FORMAT (--log-format): 'xml' is not valid: allowed: json, pretty"),
        ];
        for (flag, value, expected) in cases {
            assert_eq!(fault(&[&format!("{flag}={value}")]), expected);
        }
        assert!(fault(&["--host=localhost:80"]).contains("an IP address"));
        assert!(fault(&["--rust-log=a=b=c"]).contains("RUST_LOG"));
        assert!(!fault(&["--nonsense"]).contains('\n'));
    }
}
