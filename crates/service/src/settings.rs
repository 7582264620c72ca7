//! Settings: one clap struct per program, where each is a flag and an environment variable of the same name.
//!
//! [`start`] is the whole of a `main`: read the settings, run, turn an error into one line and an exit status.
//! A bad value stops the program before it binds anything, with one line that names the setting, the value and what
//! is allowed.

use std::ffi::OsString;
use std::io::Write;
use std::process::{ExitCode, Termination};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command, CommandFactory, FromArgMatches};
use reqwest::Url;

pub use telemetry::settings::within;
use telemetry::visible;

/// The settings that every service has.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)] // clap names a group after the struct, and telemetry's has the same name
pub struct Settings {
    /// What to do instead of serving
    #[arg(value_enum)]
    pub action: Option<Action>,

    /// After SIGTERM, SIGINT or SIGHUP, milliseconds within which requests in flight may finish
    #[arg(long, env = "SHUTDOWN_GRACE_MS", default_value_t = 8000, value_parser = within(0..=600_000_u64))]
    pub shutdown_grace_ms: u64,

    /// Before that, milliseconds in which /ready responds 503 and new connections are still accepted
    #[arg(long, env = "SHUTDOWN_DELAY_MS", default_value_t = 0, value_parser = within(0..=600_000_u64))]
    pub shutdown_delay_ms: u64,

    /// Telemetry
    #[command(flatten)]
    pub telemetry: telemetry::settings::Settings,
}

/// What a program can do instead of serving.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Action {
    /// Request `/health` of the running service and exit 0 or 1. Images without a shell use it as their health check.
    Healthcheck,
}

/// The setting that moves a whole system, for the programs that are its clients.
#[derive(Debug, Clone, Copy, clap::Args)]
#[group(skip)]
pub struct PortOffset {
    /// As given to the launcher: added to the usual ports. An address that is named, by a flag or a variable, is used as it is
    #[arg(long, env = "PORT_OFFSET", default_value_t = 0, value_parser = within(0..=MAX_PORT_OFFSET))]
    pub port_offset: u16,
}

/// The largest offset that keeps the last port of the system (8108) within 65535.
pub const MAX_PORT_OFFSET: u16 = u16::MAX - 8108;

impl PortOffset {
    /// `named`, or where the program that usually listens on `port` is on this machine.
    ///
    /// # Errors
    /// None that a setting could cause.
    pub fn url(self, named: &Option<Url>, port: u16) -> anyhow::Result<Url> {
        let usual = || base_url(&format!("http://127.0.0.1:{}", port.saturating_add(self.port_offset)));
        named.clone().map_or_else(usual, Ok).map_err(anyhow::Error::msg)
    }
}

/// Reads the settings of `C` from flags and environment, calls `run`, and reports what went wrong.
///
/// Exit status: 0 after a clean stop (or what `run` returns), 1 when `run` failed, 2 when a setting was not valid.
pub fn start<C: CommandFactory + FromArgMatches, T: Termination>(run: fn(C) -> anyhow::Result<T>) -> ExitCode {
    let config = match parse::<C>(std::env::args_os()) {
        Ok(config) => config,
        Err(error) => return report(&error),
    };
    match run(config) {
        Ok(done) => done.report(),
        // A check that needs several settings.
        Err(error) if error.is::<clap::Error>() => error.downcast_ref().map_or(ExitCode::FAILURE, report),
        Err(error) => {
            report_line(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// To stderr, as one line, whatever `error` quotes. Nobody may read it any more, which must not be a panic.
fn report_line(error: &str) {
    let _ = writeln!(std::io::stderr(), "error: {}", visible(error));
}

/// Reads the settings of `C` from `args` (the first is the program's name) and the environment.
///
/// # Errors
/// clap's own, which is also how `--help` and `--version` are answered; [`report`] prints it.
pub fn parse<C: CommandFactory + FromArgMatches>(args: impl IntoIterator<Item = OsString>) -> clap::error::Result<C> {
    let mut command = without_empty_variables(C::command());
    let matches = command.try_get_matches_from_mut(args)?;
    C::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
}

/// Reads the settings of `C` as a process will that has `environment` beside the variables of this one.
///
/// # Errors
/// As [`parse`], with which that process would stop.
pub fn parse_with<C: CommandFactory + FromArgMatches>(environment: &[(&str, String)]) -> clap::error::Result<C> {
    let command = C::command();
    let flag = |arg: &Arg| {
        let name = arg.get_env()?;
        let (_, value) = environment.iter().find(|(set, _)| name == *set)?;
        Some(format!("--{}={value}", arg.get_long()?).into())
    };
    let flags: Vec<OsString> = command.get_arguments().filter_map(flag).collect();
    parse(std::iter::once(command.get_name().into()).chain(flags))
}

/// Prints clap's answer: `--help` and `--version` as they are, anything else as one line.
pub fn report(error: &clap::Error) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        // A reader that has gone (`--help | head -1`) is no error.
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    report_line(&one_line(error));
    ExitCode::from(2)
}

/// An empty variable counts as unset, as the OpenTelemetry specification has it and as compose files write it
/// (`PORT: ${PORT:-}`); clap would read it as a value.
fn without_empty_variables(command: Command) -> Command {
    let unset_if_empty = |arg: Arg| match arg.get_env() {
        Some(name) if std::env::var_os(name).is_some_and(|value| value.is_empty()) => {
            arg.env(clap::builder::Resettable::<clap::builder::OsStr>::Reset)
        }
        _ => arg,
    };
    command.mut_args(unset_if_empty).mut_subcommands(without_empty_variables)
}

/// clap explains an error over several lines; this keeps the setting, the value and what is allowed.
fn one_line(error: &clap::Error) -> String {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) if !texts.is_empty() => Some(texts.join(", ")),
        _ => None,
    };
    let rendered = error.to_string();
    let first = rendered.lines().next().unwrap_or_default().trim_start_matches("error: ");
    match (text(ContextKind::InvalidArg), text(ContextKind::InvalidValue)) {
        (Some(arg), Some(value)) => {
            let flag = arg.split([' ', '<', '=']).next().unwrap_or_default();
            let setting = flag.trim_start_matches('-').replace('-', "_").to_uppercase();
            let allowed = text(ContextKind::ValidValue).map(|values| format!("allowed: {values}"));
            let reason = std::error::Error::source(error).map(ToString::to_string);
            let why = reason.or(allowed).unwrap_or_else(|| "it cannot be parsed".to_owned());
            format!("{setting} ({flag}): '{value}' is not valid: {why}")
        }
        // "the following required arguments were not provided:", and then clap begins a new line.
        (Some(missing), None) if first.ends_with(':') => format!("{first} {missing}"),
        _ => first.to_owned(),
    }
}

/// A clap value parser for the address of another service: an absolute URL that paths can be joined to.
///
/// # Errors
/// What is wrong with the text.
pub fn base_url(text: &str) -> Result<Url, String> {
    let mut url = telemetry::settings::absolute_url(text)?;
    if !url.path().ends_with('/') {
        // `Url::join` would replace the last segment of `http://host/prefix`.
        url.set_path(&format!("{}/", url.path()));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use telemetry::settings::LogFormat;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Example {
        #[arg(long, env = "TELEMETRY_TEST_PORT", default_value_t = 7, value_parser = within(1..=65_535_u16))]
        port: u16,
        #[arg(long, value_enum, default_value_t = LogFormat::Json)]
        log_format: LogFormat,
    }

    #[derive(Debug, clap::Parser)]
    struct Needy {
        #[arg(long)]
        _file: String,
    }

    fn example(args: &[&str]) -> Result<Example, String> {
        let args = std::iter::once("example").chain(args.iter().copied()).map(OsString::from);
        parse::<Example>(args).map_err(|error| one_line(&error))
    }

    #[test]
    fn a_bad_value_is_one_line_with_setting_value_and_what_is_allowed() {
        assert_eq!(
            example(&["--port", "70000"]).unwrap_err(),
            "PORT (--port): '70000' is not valid: allowed: a number from 1 to 65535"
        );
        assert_eq!(
            example(&["--log-format", "xml"]).unwrap_err(),
            "LOG_FORMAT (--log-format): 'xml' is not valid: allowed: json, pretty"
        );
        assert!(example(&["--nonsense"]).unwrap_err().contains("--nonsense"));
        let missing = one_line(&parse::<Needy>(["needy".into()]).unwrap_err());
        assert!(missing.ends_with("--file <FILE>"), "{missing}");
    }

    #[test]
    fn paths_can_be_joined_to_a_base_url() {
        let joined = |base: &str| base_url(base).unwrap().join("dice").unwrap().to_string();
        assert_eq!(joined("http://h:1"), "http://h:1/dice");
        assert_eq!(joined("http://h/prefix"), "http://h/prefix/dice");
        for bad in ["", "h:1", "/dice", "ftp://h", "http://h?x=1", "http://"] {
            assert!(base_url(bad).unwrap_err().contains("allowed"), "{bad}");
        }
    }

    #[test]
    fn defaults_hold_without_flags() {
        let config = example(&[]).unwrap();
        assert_eq!((config.port, config.log_format), (7, LogFormat::Json));
    }
}
