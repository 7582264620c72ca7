//! The log signal by OTLP (`OTEL_LOGS_EXPORTER=otlp`): the same events as on stdout, as log records.
//!
//! The SDK's batch processor and the library's exporter send them, counted as spans are (`delivery.rs`). The layer that
//! makes the records is ours: opentelemetry-appender-tracing 0.33 was tried, and makes text of lists, sets no
//! timestamp, and writes the severity "WARN", which queries for "WARNING" miss.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use opentelemetry::logs::{AnyValue, LogRecord, Logger, LoggerProvider, Severity};
use opentelemetry_otlp::LogExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::{BatchConfigBuilder, BatchLogProcessor, SdkLogger, SdkLoggerProvider};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use crate::delivery::{Account, Counted, Counters};
use crate::logs::{FieldValue, fields, level_name};
use crate::otlp::{self, ExportClient};
use crate::settings::{LogsExporter, Otel};

/// What the exporter and its HTTP client log about themselves: exported, each export would cause further records.
const OF_THE_EXPORTER: [&str; 4] = ["opentelemetry", "hyper", "hyper_util", "reqwest"];

/// The logger provider, and the account of what waits for its export.
pub(crate) struct LogRecords {
    provider: SdkLoggerProvider,
    account: Arc<Account>,
}

impl LogRecords {
    /// None unless `OTEL_LOGS_EXPORTER=otlp`.
    ///
    /// # Errors
    /// When the exporter cannot be built.
    pub(crate) fn new(otel: &Otel, resource: Resource, counters: &Counters) -> anyhow::Result<Option<Self>> {
        if otel.otel_logs_exporter == LogsExporter::None || otel.otel_sdk_disabled {
            return Ok(None);
        }
        let destination = otel.logs();
        let client = ExportClient::new(&destination)?;
        let exporter = otlp::configure(LogExporter::builder().with_http(), &client, &destination)
            .build()
            .context("the OTLP log exporter could not be built")?;
        let config = BatchConfigBuilder::default()
            .with_max_queue_size(destination.max_queue_size)
            .with_max_export_batch_size(destination.max_export_batch_size)
            .with_scheduled_delay(destination.schedule_delay)
            .build();
        let account = Account::new(destination.max_queue_size, counters.clone());
        let exporter = Counted { exporter, client, account: account.clone() };
        let processor = BatchLogProcessor::builder(exporter).with_batch_config(config).build();
        let provider = SdkLoggerProvider::builder().with_resource(resource).with_log_processor(processor).build();
        Ok(Some(Self { provider, account }))
    }

    /// Makes a record of each event that `rust_log` lets through.
    pub(crate) fn layer<S>(&self, rust_log: &Targets) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        let filter = OF_THE_EXPORTER
            .into_iter()
            .fold(rust_log.clone(), |filter, target| filter.with_target(target, LevelFilter::OFF));
        RecordLayer { logger: self.provider.logger("tracing"), account: self.account.clone() }.with_filter(filter)
    }

    /// Exports what is left, within `timeout`, and counts what was not exported.
    pub(crate) fn shutdown(&self, timeout: Duration) {
        let _ = self.provider.shutdown_with_timeout(timeout); // the account says what came of it
        self.account.close();
    }
}

struct RecordLayer {
    logger: SdkLogger,
    account: Arc<Account>,
}

impl<S: Subscriber> Layer<S> for RecordLayer {
    /// The SDK adds the ids of the active span.
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if opentelemetry::Context::is_current_telemetry_suppressed() {
            return; // on the exporter's thread: exported, each export would cause further records
        }
        let metadata = event.metadata();
        let mut record = self.logger.create_log_record();
        record.set_timestamp(SystemTime::now());
        record.set_severity_number(severity(metadata.level()));
        record.set_severity_text(level_name(metadata.level()));
        record.set_target(metadata.target()); // becomes the name of the instrumentation scope
        // An event without a name has one that `tracing` makes of its place in the code.
        if !metadata.name().starts_with("event ") {
            record.set_event_name(metadata.name());
        }
        fields(event, |name, value| match name {
            "message" => record.set_body(field_value(value)),
            name => record.add_attribute(name, field_value(value)),
        });
        if self.account.admit() {
            self.logger.emit(record);
        }
    }
}

fn severity(level: &Level) -> Severity {
    match *level {
        Level::ERROR => Severity::Error,
        Level::WARN => Severity::Warn,
        Level::INFO => Severity::Info,
        Level::DEBUG => Severity::Debug,
        Level::TRACE => Severity::Trace,
    }
}

fn field_value(value: FieldValue<'_>) -> AnyValue {
    match value {
        FieldValue::Bool(value) => value.into(),
        FieldValue::I64(value) => value.into(),
        FieldValue::U64(value) => i64::try_from(value).map_or_else(|_| (value as f64).into(), AnyValue::from),
        FieldValue::F64(value) => value.into(),
        FieldValue::Text(value) => value.to_owned().into(),
        FieldValue::List(values) => AnyValue::ListAny(Box::new(values.into_iter().map(any_value).collect())),
    }
}

/// An entry of a list.
fn any_value(value: serde_json::Value) -> AnyValue {
    match value {
        serde_json::Value::Bool(value) => value.into(),
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(integer) => integer.into(),
            None => number.as_f64().unwrap_or(f64::NAN).into(),
        },
        serde_json::Value::String(text) => text.into(),
        serde_json::Value::Array(values) => AnyValue::ListAny(Box::new(values.into_iter().map(any_value).collect())),
        other => other.to_string().into(),
    }
}
