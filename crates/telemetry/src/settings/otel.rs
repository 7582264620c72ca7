//! The `OTEL_*` variables that work. Source: "OpenTelemetry Environment Variable Specification" and "OTLP Exporter
//! Configuration" of the OpenTelemetry specification.
//!
//! The SDK ignores some of them and only warns about values that it does not know; here a value that is not valid stops
//! the program.

use http::HeaderMap;
use reqwest::Url;

use super::{absolute_url, boolean, headers, metrics_exporter, pairs, within};

/// The variables of the OpenTelemetry specification that work here.
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

    /// Who gets metrics: Prometheus, from /metrics, whatever this says
    #[arg(long, env = "OTEL_METRICS_EXPORTER", default_value = "prometheus", value_parser = metrics_exporter)]
    pub otel_metrics_exporter: MetricsExporter,

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

    /// Most spans in one export; 512, or the size of a smaller queue, unless set
    #[arg(long, env = "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", value_parser = within(1..=1_000_000_usize))]
    pub otel_bsp_max_export_batch_size: Option<usize>,

    /// Milliseconds between two exports while the batch is not full
    #[arg(long, env = "OTEL_BSP_SCHEDULE_DELAY", default_value_t = 5000, value_parser = within(1..=3_600_000_u64))]
    pub otel_bsp_schedule_delay: u64,

    /// Milliseconds after which an export of spans is given up
    #[arg(long, env = "OTEL_BSP_EXPORT_TIMEOUT", default_value_t = 30_000, value_parser = within(1..=3_600_000_u64))]
    pub otel_bsp_export_timeout: u64,

    /// Log records that may wait for export; more are dropped and counted
    #[arg(long, env = "OTEL_BLRP_MAX_QUEUE_SIZE", default_value_t = 2048, value_parser = within(1..=10_000_000_usize))]
    pub otel_blrp_max_queue_size: usize,

    /// Most log records in one export; 512, or the size of a smaller queue, unless set
    #[arg(long, env = "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", value_parser = within(1..=1_000_000_usize))]
    pub otel_blrp_max_export_batch_size: Option<usize>,

    /// Milliseconds between two exports of log records while the batch is not full
    #[arg(long, env = "OTEL_BLRP_SCHEDULE_DELAY", default_value_t = 1000, value_parser = within(1..=3_600_000_u64))]
    pub otel_blrp_schedule_delay: u64,

    /// Milliseconds after which an export of log records is given up
    #[arg(long, env = "OTEL_BLRP_EXPORT_TIMEOUT", default_value_t = 30_000, value_parser = within(1..=3_600_000_u64))]
    pub otel_blrp_export_timeout: u64,

    /// Most attributes of a span, a span event or a link, where the settings below say nothing else; more are dropped
    #[arg(long, env = "OTEL_ATTRIBUTE_COUNT_LIMIT", default_value_t = 128, value_parser = within(0..=MAX_COUNT))]
    pub otel_attribute_count_limit: u32,

    /// Most attributes of a span
    #[arg(long, env = "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", value_parser = within(0..=MAX_COUNT))]
    pub otel_span_attribute_count_limit: Option<u32>,

    /// Most events of a span
    #[arg(long, env = "OTEL_SPAN_EVENT_COUNT_LIMIT", default_value_t = 128, value_parser = within(0..=MAX_COUNT))]
    pub otel_span_event_count_limit: u32,

    /// Most links of a span
    #[arg(long, env = "OTEL_SPAN_LINK_COUNT_LIMIT", default_value_t = 128, value_parser = within(0..=MAX_COUNT))]
    pub otel_span_link_count_limit: u32,

    /// Most attributes of a span event
    #[arg(long, env = "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", value_parser = within(0..=MAX_COUNT))]
    pub otel_event_attribute_count_limit: Option<u32>,

    /// Most attributes of a link
    #[arg(long, env = "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", value_parser = within(0..=MAX_COUNT))]
    pub otel_link_attribute_count_limit: Option<u32>,
}

/// The largest integer that every OpenTelemetry SDK takes.
const MAX_COUNT: u32 = i32::MAX as u32;

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

/// Values of `OTEL_METRICS_EXPORTER`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricsExporter {
    /// Prometheus requests /metrics.
    Prometheus,
    /// The same: /metrics is a route of the service, and costs nothing where nobody requests it.
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
