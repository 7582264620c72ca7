//! The log signal by OTLP (`OTEL_LOGS_EXPORTER=otlp`): the same events as on stdout, as log records.
//!
//! Body = message, attributes = fields, and the ids of the span that is current where the event happens, which the SDK
//! takes from the same context as `logs.rs` does. Lists stay lists.

use std::fmt::Debug;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use opentelemetry::logs::{AnyValue, LogRecord, Logger, LoggerProvider, Severity};
use opentelemetry_otlp::{Protocol, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::{
    BatchConfigBuilder, BatchLogProcessor, LogBatch, LogExporter, LogProcessor, SdkLogRecord, SdkLogger,
    SdkLoggerProvider,
};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;

use crate::delivery::{Delivery, Gate, Loss};
use crate::logs::{is_list, level_name};
use crate::settings::{LogsExporter, Otel};
use crate::traces::export_client;

/// Records that may wait, and most in one export: the same load as the spans, about one line a span.
const QUEUE: usize = 65_536;
const BATCH: usize = 4096;

/// The logger provider, and the gate that knows at the end what did not leave.
pub(crate) struct LogRecords {
    provider: SdkLoggerProvider,
    gate: Gate,
    delivery: Delivery,
}

impl LogRecords {
    /// None unless `OTEL_LOGS_EXPORTER=otlp`.
    ///
    /// # Errors
    /// When the exporter cannot be built.
    pub(crate) fn new(otel: &Otel, resource: Resource, delivery: &Delivery) -> anyhow::Result<Option<Self>> {
        if otel.otel_logs_exporter == LogsExporter::None || otel.otel_sdk_disabled {
            return Ok(None);
        }
        let export = otel.logs();
        let exporter = opentelemetry_otlp::LogExporter::builder()
            .with_http()
            .with_http_client(export_client(export.timeout)?)
            .with_endpoint(export.url)
            .with_headers(export.headers)
            .with_timeout(export.timeout)
            .with_protocol(Protocol::HttpBinary)
            .build()
            .context("the OTLP log exporter could not be built")?;
        let gate = Gate::new(QUEUE);
        let exporter = CountedExporter { inner: exporter, gate: gate.clone(), delivery: delivery.clone() };
        let config = BatchConfigBuilder::default()
            .with_max_queue_size(QUEUE)
            .with_max_export_batch_size(BATCH)
            .with_scheduled_delay(Duration::from_millis(otel.otel_bsp_schedule_delay))
            .build();
        let inner = BatchLogProcessor::builder(exporter).with_batch_config(config).build();
        let counted = Counted { inner, gate: gate.clone(), delivery: delivery.clone() };
        let provider = SdkLoggerProvider::builder().with_resource(resource).with_log_processor(counted).build();
        Ok(Some(Self { provider, gate, delivery: delivery.clone() }))
    }

    pub(crate) fn layer(&self) -> LogRecordLayer {
        LogRecordLayer { logger: self.provider.logger("tracing") }
    }

    /// Exports what is left, within `limit`, and counts what did not leave.
    pub(crate) fn shutdown(&self, limit: Duration) {
        let _ = self.provider.shutdown_with_timeout(limit);
        self.delivery.logs_dropped(Loss::Shutdown, self.gate.inside());
    }
}

/// Makes a log record of each event.
pub(crate) struct LogRecordLayer {
    logger: SdkLogger,
}

impl<S: Subscriber> Layer<S> for LogRecordLayer {
    fn on_event(&self, event: &Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        let metadata = event.metadata();
        // The exporter's own events would make further records, for ever.
        if metadata.target().starts_with("opentelemetry") {
            return;
        }
        let mut record = self.logger.create_log_record();
        record.set_timestamp(SystemTime::now());
        record.set_severity_number(severity(metadata.level()));
        record.set_severity_text(level_name(metadata.level()));
        record.add_attribute("logger", metadata.target());
        event.record(&mut Attributes(&mut record));
        self.logger.emit(record);
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

/// Writes the fields of an event into a record.
struct Attributes<'a>(&'a mut SdkLogRecord);

impl Attributes<'_> {
    fn add(&mut self, field: &Field, value: impl Into<AnyValue>) {
        if field.name() == "message" {
            self.0.set_body(value.into());
        } else {
            self.0.add_attribute(field.name(), value);
        }
    }
}

impl Visit for Attributes<'_> {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, i64::try_from(value).unwrap_or(i64::MAX));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let text = format!("{value:?}");
        if !is_list(&text) {
            return self.add(field, text);
        }
        let numbers = serde_json::from_str::<Vec<i64>>(&text).ok();
        let numbers = numbers.map(|list| list.into_iter().map(AnyValue::Int).collect::<Vec<_>>());
        let texts = || serde_json::from_str::<Vec<String>>(&text).unwrap_or_default();
        let list = numbers.unwrap_or_else(|| texts().into_iter().map(AnyValue::from).collect());
        self.add(field, AnyValue::ListAny(Box::new(list)));
    }
}

/// As the span processor of the same name: lets in what fits, counts the rest.
#[derive(Debug)]
struct Counted {
    inner: BatchLogProcessor,
    gate: Gate,
    delivery: Delivery,
}

impl LogProcessor for Counted {
    fn emit(&self, record: &mut SdkLogRecord, scope: &opentelemetry::InstrumentationScope) {
        if self.gate.enter() {
            self.inner.emit(record, scope);
        } else {
            self.delivery.logs_dropped(Loss::QueueFull, 1);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

#[derive(Debug)]
struct CountedExporter {
    inner: opentelemetry_otlp::LogExporter,
    gate: Gate,
    delivery: Delivery,
}

impl LogExporter for CountedExporter {
    async fn export(&self, batch: LogBatch<'_>) -> OTelSdkResult {
        let count = batch.iter().count();
        let result = self.inner.export(batch).await;
        if result.is_err() {
            self.delivery.logs_dropped(Loss::ExportFailed, count);
        }
        self.gate.leave(count);
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}
