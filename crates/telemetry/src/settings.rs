//! The settings of telemetry, checked before anything starts: the standard OpenTelemetry environment, and how log lines
//! are written. Each is a flag and an environment variable of the same name.
//!
//! The SDK ignores some of these variables and only warns about values that it does not know; here each works
//! or stops the program with a reason. Source: "OpenTelemetry Environment Variable Specification" and "OTLP Exporter
//! Configuration" of the OpenTelemetry specification.

use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;
use reqwest::Url;

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

/// The `OTEL_*` variables that this system understands.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "OpenTelemetry")]
pub struct Otel {
    /// Switch all spans off; the incoming trace context is then passed on untouched
    #[arg(long, env = "OTEL_SDK_DISABLED", default_value = "false", value_parser = boolean, action = clap::ArgAction::Set)]
    pub otel_sdk_disabled: bool,

    /// `service.name` of the resource, instead of the service's own
    #[arg(long, env = "OTEL_SERVICE_NAME")]
    pub otel_service_name: Option<String>,

    /// More of the resource: `key=value,key=value`, percent-encoded
    #[arg(long, env = "OTEL_RESOURCE_ATTRIBUTES", default_value = "", value_parser = pairs)]
    pub otel_resource_attributes: Pairs,

    /// Where spans go
    #[arg(long, env = "OTEL_TRACES_EXPORTER", value_enum, default_value_t = TracesExporter::Otlp)]
    pub otel_traces_exporter: TracesExporter,

    /// Where log events go besides stdout
    #[arg(long, env = "OTEL_LOGS_EXPORTER", value_enum, default_value_t = LogsExporter::None)]
    pub otel_logs_exporter: LogsExporter,

    /// Which spans are recorded
    #[arg(long, env = "OTEL_TRACES_SAMPLER", value_enum, default_value_t = SamplerName::ParentbasedAlwaysOn)]
    pub otel_traces_sampler: SamplerName,

    /// The share of traces that a ratio sampler keeps
    #[arg(long, env = "OTEL_TRACES_SAMPLER_ARG", default_value_t = 1.0, value_parser = within(0.0..=1.0))]
    pub otel_traces_sampler_arg: f64,

    /// Which headers carry the context between services
    #[arg(long, env = "OTEL_PROPAGATORS", value_enum, value_delimiter = ',', default_values_t = [PropagatorName::Tracecontext, PropagatorName::Baggage])]
    pub otel_propagators: Vec<PropagatorName>,

    /// OTLP receiver, usually http://localhost:4318; `/v1/traces` and `/v1/logs` are appended
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_parser = absolute_url)]
    pub otel_exporter_otlp_endpoint: Option<Url>,

    /// OTLP receiver of spans, used as it is
    #[arg(long, env = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", value_parser = absolute_url)]
    pub otel_exporter_otlp_traces_endpoint: Option<Url>,

    /// OTLP receiver of log records, used as it is
    #[arg(long, env = "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", value_parser = absolute_url)]
    pub otel_exporter_otlp_logs_endpoint: Option<Url>,

    /// Headers of every export: `key=value,key=value`, percent-encoded
    #[arg(long, env = "OTEL_EXPORTER_OTLP_HEADERS", default_value = "", value_parser = headers, hide_env_values = true)]
    pub otel_exporter_otlp_headers: Headers,

    /// Headers of span exports, beside the general ones
    #[arg(long, env = "OTEL_EXPORTER_OTLP_TRACES_HEADERS", default_value = "", value_parser = headers, hide_env_values = true)]
    pub otel_exporter_otlp_traces_headers: Headers,

    /// Headers of log exports, beside the general ones
    #[arg(long, env = "OTEL_EXPORTER_OTLP_LOGS_HEADERS", default_value = "", value_parser = headers, hide_env_values = true)]
    pub otel_exporter_otlp_logs_headers: Headers,

    /// Milliseconds that one export may take
    #[arg(long, env = "OTEL_EXPORTER_OTLP_TIMEOUT", default_value_t = 10_000, value_parser = within(1..=3_600_000_u64))]
    pub otel_exporter_otlp_timeout: u64,

    /// Milliseconds that one export of spans may take, instead of the general setting
    #[arg(long, env = "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", value_parser = within(1..=3_600_000_u64))]
    pub otel_exporter_otlp_traces_timeout: Option<u64>,

    /// Milliseconds that one export of log records may take, instead of the general setting
    #[arg(long, env = "OTEL_EXPORTER_OTLP_LOGS_TIMEOUT", value_parser = within(1..=3_600_000_u64))]
    pub otel_exporter_otlp_logs_timeout: Option<u64>,

    /// OTLP's wire format; this build speaks one
    #[arg(long, env = "OTEL_EXPORTER_OTLP_PROTOCOL", default_value = "http/protobuf", value_parser = ["http/protobuf"])]
    pub otel_exporter_otlp_protocol: String,

    /// OTLP's wire format for spans
    #[arg(long, env = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", value_parser = ["http/protobuf"])]
    pub otel_exporter_otlp_traces_protocol: Option<String>,

    /// OTLP's wire format for log records
    #[arg(long, env = "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", value_parser = ["http/protobuf"])]
    pub otel_exporter_otlp_logs_protocol: Option<String>,

    /// Compression of exports
    #[arg(long, env = "OTEL_EXPORTER_OTLP_COMPRESSION", value_enum, default_value_t = Compression::None)]
    pub otel_exporter_otlp_compression: Compression,

    /// Compression of span exports, instead of the general setting
    #[arg(long, env = "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", value_enum)]
    pub otel_exporter_otlp_traces_compression: Option<Compression>,

    /// Compression of log record exports, instead of the general setting
    #[arg(long, env = "OTEL_EXPORTER_OTLP_LOGS_COMPRESSION", value_enum)]
    pub otel_exporter_otlp_logs_compression: Option<Compression>,

    /// Spans that may wait for export; more are dropped and counted
    #[arg(long, env = "OTEL_BSP_MAX_QUEUE_SIZE", default_value_t = 2048, value_parser = within(1..=10_000_000_usize))]
    pub otel_bsp_max_queue_size: usize,

    /// Most spans in one export
    #[arg(long, env = "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", default_value_t = 512, value_parser = within(1..=1_000_000_usize))]
    pub otel_bsp_max_export_batch_size: usize,

    /// Milliseconds between two exports while the batch is not full
    #[arg(long, env = "OTEL_BSP_SCHEDULE_DELAY", default_value_t = 5000, value_parser = within(1..=3_600_000_u64))]
    pub otel_bsp_schedule_delay: u64,

    /// Milliseconds after which an export of spans is given up
    #[arg(long, env = "OTEL_BSP_EXPORT_TIMEOUT", default_value_t = 30_000, value_parser = within(1..=3_600_000_u64))]
    pub otel_bsp_export_timeout: u64,

    /// Log records that may wait for export; more are dropped and counted
    #[arg(long, env = "OTEL_BLRP_MAX_QUEUE_SIZE", default_value_t = 2048, value_parser = within(1..=10_000_000_usize))]
    pub otel_blrp_max_queue_size: usize,

    /// Most log records in one export
    #[arg(long, env = "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", default_value_t = 512, value_parser = within(1..=1_000_000_usize))]
    pub otel_blrp_max_export_batch_size: usize,

    /// Milliseconds between two exports of log records while the batch is not full
    #[arg(long, env = "OTEL_BLRP_SCHEDULE_DELAY", default_value_t = 1000, value_parser = within(1..=3_600_000_u64))]
    pub otel_blrp_schedule_delay: u64,

    /// Milliseconds after which an export of log records is given up
    #[arg(long, env = "OTEL_BLRP_EXPORT_TIMEOUT", default_value_t = 30_000, value_parser = within(1..=3_600_000_u64))]
    pub otel_blrp_export_timeout: u64,
}

/// Values of `OTEL_EXPORTER_OTLP_COMPRESSION`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Compression {
    /// Bodies are compressed with gzip.
    Gzip,
    /// Bodies are sent as they are.
    None,
}

/// Values of `OTEL_TRACES_EXPORTER`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum TracesExporter {
    /// OTLP over HTTP.
    Otlp,
    /// Readable text on stdout, for debugging.
    Console,
    /// Spans and ids exist, nothing leaves.
    None,
}

/// Values of `OTEL_LOGS_EXPORTER`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogsExporter {
    /// OTLP over HTTP, besides the lines on stdout.
    Otlp,
    /// Only the lines on stdout.
    None,
}

/// Values of `OTEL_TRACES_SAMPLER`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum SamplerName {
    /// Every trace.
    AlwaysOn,
    /// No trace.
    AlwaysOff,
    /// A share of the traces, by trace id.
    #[value(name = "traceidratio")]
    Traceidratio,
    /// As the caller decided, else every trace.
    ParentbasedAlwaysOn,
    /// As the caller decided, else no trace.
    ParentbasedAlwaysOff,
    /// As the caller decided, else a share of the traces.
    #[value(name = "parentbased_traceidratio")]
    ParentbasedTraceidratio,
}

/// Values of `OTEL_PROPAGATORS`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum PropagatorName {
    /// W3C `traceparent` and `tracestate`.
    Tracecontext,
    /// W3C `baggage`.
    Baggage,
    /// No header at all.
    None,
}

/// `key=value` pairs, in the order given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pairs(pub Vec<(String, String)>);

/// Headers of an export.
#[derive(Debug, Clone, Default)]
pub struct Headers(pub HeaderMap);

impl Otel {
    /// Where spans are exported to.
    pub(crate) fn traces(&self) -> Destination {
        let compression = self.otel_exporter_otlp_traces_compression.unwrap_or(self.otel_exporter_otlp_compression);
        let timeout = self.otel_exporter_otlp_traces_timeout.unwrap_or(self.otel_exporter_otlp_timeout);
        Destination {
            url: self.url(&self.otel_exporter_otlp_traces_endpoint, "v1/traces"),
            headers: self.headers(&self.otel_exporter_otlp_traces_headers),
            timeout: Duration::from_millis(timeout.min(self.otel_bsp_export_timeout)),
            gzip: compression == Compression::Gzip,
            max_queue_size: self.otel_bsp_max_queue_size,
            // A batch larger than the queue would never be full.
            max_export_batch_size: self.otel_bsp_max_export_batch_size.min(self.otel_bsp_max_queue_size),
            schedule_delay: Duration::from_millis(self.otel_bsp_schedule_delay),
        }
    }

    /// Where log records are exported to.
    pub(crate) fn logs(&self) -> Destination {
        let compression = self.otel_exporter_otlp_logs_compression.unwrap_or(self.otel_exporter_otlp_compression);
        let timeout = self.otel_exporter_otlp_logs_timeout.unwrap_or(self.otel_exporter_otlp_timeout);
        Destination {
            url: self.url(&self.otel_exporter_otlp_logs_endpoint, "v1/logs"),
            headers: self.headers(&self.otel_exporter_otlp_logs_headers),
            timeout: Duration::from_millis(timeout.min(self.otel_blrp_export_timeout)),
            gzip: compression == Compression::Gzip,
            max_queue_size: self.otel_blrp_max_queue_size,
            max_export_batch_size: self.otel_blrp_max_export_batch_size.min(self.otel_blrp_max_queue_size),
            schedule_delay: Duration::from_millis(self.otel_blrp_schedule_delay),
        }
    }

    /// A signal's own endpoint is used as it is; to the general one the signal's path is appended.
    fn url(&self, own: &Option<Url>, path: &str) -> String {
        match own {
            Some(url) => url.to_string(),
            None => {
                let general = self.otel_exporter_otlp_endpoint.as_ref().map_or("http://localhost:4318", Url::as_str);
                format!("{}/{path}", general.trim_end_matches('/'))
            }
        }
    }

    /// A signal's own header wins over the general one of that name.
    fn headers(&self, own: &Headers) -> HeaderMap {
        let mut headers = self.otel_exporter_otlp_headers.0.clone();
        headers.extend(own.0.clone());
        headers
    }
}

/// Where and how one signal is exported.
pub(crate) struct Destination {
    pub(crate) url: String,
    pub(crate) headers: HeaderMap,
    pub(crate) timeout: Duration,
    pub(crate) gzip: bool,
    pub(crate) max_queue_size: usize,
    pub(crate) max_export_batch_size: usize,
    pub(crate) schedule_delay: Duration,
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
