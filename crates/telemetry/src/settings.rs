//! The settings of telemetry, checked before anything starts: the standard OpenTelemetry environment, and how log lines
//! are written. Each is a flag and an environment variable of the same name.
//!
//! Reading order: this file, `settings/otel.rs` (the `OTEL_*` variables that work), `settings/effect.rs` (what they mean
//! together), `settings/others.rs` (those that do not work: each stops the program or leaves a warning). SIGNALS.md has
//! a table of all.

mod effect;
mod otel;
mod others;

use std::ops::RangeInclusive;
use std::str::FromStr;

use clap::error::ErrorKind;
use http::{HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;
use reqwest::Url;

pub(crate) use effect::Destination;
pub use otel::{
    Compression, Headers, LogsExporter, MetricsExporter, Otel, Pairs, PropagatorName, SamplerName, TracesExporter,
};
pub(crate) use others::ignored;

/// What every service can be told about its telemetry.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)] // its id would be that of another `Settings` that includes it
pub struct Settings {
    /// How log lines are written
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t = LogFormat::Json)]
    pub log_format: LogFormat,

    /// Which log lines are written: a level, or a list such as `info,dice_roller=debug`
    #[arg(long, env = "RUST_LOG", default_value = "info", value_parser = targets)]
    pub rust_log: tracing_subscriber::filter::Targets,

    /// How spans are queued and exported
    #[arg(long, env = "SPAN_PROCESSOR", value_enum, default_value_t = SpanProcessorName::Batch)]
    pub span_processor: SpanProcessorName,

    /// The standard OpenTelemetry environment
    #[command(flatten)]
    pub otel: Otel,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line, for machines.
    Json,
    /// One readable line, for people.
    Pretty,
}

/// Values of `SPAN_PROCESSOR`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum SpanProcessorName {
    /// The SDK's batch processor with the exporter of opentelemetry-otlp: the standard way.
    Batch,
    /// The crate span-export, for 100,000 spans a second.
    Direct,
}

impl Settings {
    /// Checks what one value alone does not show: a batch larger than its queue, and variables of the OpenTelemetry
    /// specification that cannot work here. [`Telemetry::init`](crate::Telemetry::init) does so too.
    ///
    /// # Errors
    /// One line with the setting, its value and what is allowed.
    pub fn check(&self) -> clap::error::Result<()> {
        self.otel.check_batches()?;
        others::check()
    }
}

/// An error about the value of a setting, in the words that all such errors have.
pub fn invalid(setting: &str, value: &str, why: impl std::fmt::Display) -> clap::Error {
    clap::Error::raw(ErrorKind::ValueValidation, format!("{setting}: '{value}' is not valid: {why}"))
}

/// A clap value parser for a number within `range`; its error says what is allowed.
///
/// Unlike clap's own ranges it also takes floats, and names both bounds.
pub fn within<T>(range: RangeInclusive<T>) -> impl Fn(&str) -> Result<T, String> + Clone
where
    T: FromStr + PartialOrd + std::fmt::Display + Clone,
{
    move |text| match text.parse::<T>() {
        Ok(number) if range.contains(&number) => Ok(number),
        _ => Err(format!("allowed: a number from {} to {}", range.start(), range.end())),
    }
}

/// A clap value parser for an absolute `http` or `https` URL without a query, used as it is.
///
/// # Errors
/// What is wrong with the text.
pub fn absolute_url(text: &str) -> Result<Url, String> {
    let allowed = "allowed: an absolute URL such as http://127.0.0.1:8106";
    let url = Url::parse(text).map_err(|error| format!("{error}; {allowed}"))?;
    let plain = matches!(url.scheme(), "http" | "https") && url.has_host() && url.query().is_none();
    if plain { Ok(url) } else { Err(allowed.to_owned()) }
}

fn targets(text: &str) -> Result<tracing_subscriber::filter::Targets, String> {
    text.parse().map_err(|error| format!("{error}; allowed: a level, or a list such as info,dice_roller=debug"))
}

fn boolean(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("allowed: true, false".to_owned()),
    }
}

fn metrics_exporter(text: &str) -> Result<MetricsExporter, &'static str> {
    match text {
        "prometheus" => Ok(MetricsExporter::Prometheus),
        "none" => Ok(MetricsExporter::None),
        _ => Err("allowed: prometheus, none; metrics are at /metrics, and no exporter sends them"),
    }
}

/// W3C baggage syntax without properties, as the specification has it for `OTEL_RESOURCE_ATTRIBUTES`.
fn pairs(text: &str) -> Result<Pairs, String> {
    let decode = |part: &str| {
        percent_decode_str(part.trim()).decode_utf8().map(|part| part.into_owned()).map_err(|error| error.to_string())
    };
    let pair = |member: &str| match member.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((decode(key)?, decode(value)?)),
        _ => Err(format!("'{}' is not key=value; allowed: key=value,key=value", member.trim())),
    };
    let members = text.split(',').filter(|member| !member.trim().is_empty());
    members.map(pair).collect::<Result<_, _>>().map(Pairs)
}

fn headers(text: &str) -> Result<Headers, String> {
    let header = |(name, value): (String, String)| {
        let header_name = HeaderName::try_from(&name).map_err(|_| format!("'{name}' is not a header name"))?;
        let value = HeaderValue::try_from(value).map_err(|_| format!("the value of '{name}' is not a header value"))?;
        Ok((header_name, value))
    };
    pairs(text)?.0.into_iter().map(header).collect::<Result<_, _>>().map(Headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_decoded_and_malformed_ones_named() {
        let parsed = pairs("a=1, b = x%20y ,,").unwrap();
        assert_eq!(parsed.0, [("a".into(), "1".into()), ("b".into(), "x y".into())]);
        assert!(pairs("a=1,b").unwrap_err().contains("'b' is not key=value"));
        assert!(headers("bad name=1").is_err());
        assert!(headers("authorization=Bearer%20x").is_ok());
    }
}
