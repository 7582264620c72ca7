//! The log signal by OTLP (`OTEL_LOGS_EXPORTER=otlp`): the same events as on stdout, as log records.
//!
//! Body = message, attributes = fields, and the ids of the span that is current where the event happens, which the SDK
//! takes from the same context as `logs.rs` does. Lists stay lists.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use futures::executor::block_on;
use opentelemetry::InstrumentationScope;
use opentelemetry::logs::{AnyValue, LogRecord, Logger, LoggerProvider, Severity};
use opentelemetry_otlp::{Protocol, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::{LogBatch, LogExporter, LogProcessor, SdkLogRecord, SdkLogger, SdkLoggerProvider};
use tracing::field::{Field, Visit};
use tracing::{Event, Level};

use crate::FLUSH_LIMIT;
use crate::batcher::Batcher;
use crate::delivery::Delivery;
use crate::logs::{is_list, level_name};
use crate::settings::{LogsExporter, Otel};
use crate::traces::export_client;

/// The logger provider, and the queue that knows at the end what did not leave.
pub(crate) struct LogRecords {
    provider: SdkLoggerProvider,
    queue: Arc<Batcher<Record>>,
}

type Record = (SdkLogRecord, InstrumentationScope);

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
        let mut exporter = opentelemetry_otlp::LogExporter::builder()
            .with_http()
            .with_http_client(export_client(&export)?)
            .with_endpoint(export.url)
            .with_headers(export.headers)
            .with_timeout(export.timeout)
            .with_protocol(Protocol::HttpBinary)
            .build()
            .context("the OTLP log exporter could not be built")?;
        exporter.set_resource(&resource);
        let export = move |batch: Vec<Record>| {
            let records: Vec<_> = batch.iter().map(|(record, scope)| (record, scope)).collect();
            if block_on(exporter.export(LogBatch::new(&records))).is_ok() { 0 } else { records.len() }
        };
        let delivery = delivery.clone();
        let lost = move |loss, count| delivery.logs_dropped(loss, count);
        let queue = Arc::new(Batcher::start("log-exporter", otel.bounds(), export, lost)?);
        let provider = SdkLoggerProvider::builder().with_resource(resource).with_log_processor(Batched(queue.clone()));
        Ok(Some(Self { provider: provider.build(), queue }))
    }

    pub(crate) fn emitter(&self) -> EmitRecords {
        EmitRecords { logger: self.provider.logger("tracing") }
    }

    /// Exports what is left, within `limit`, and counts what did not leave.
    pub(crate) fn shutdown(&self, limit: Duration) {
        self.queue.shutdown(limit);
    }
}

/// Makes a log record of each event.
pub(crate) struct EmitRecords {
    logger: SdkLogger,
}

impl EmitRecords {
    pub(crate) fn emit(&self, event: &Event<'_>) {
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

/// Hands each record to the queue.
struct Batched(Arc<Batcher<Record>>);

impl Debug for Batched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Batched")
    }
}

impl LogProcessor for Batched {
    fn emit(&self, record: &mut SdkLogRecord, scope: &InstrumentationScope) {
        self.0.push((record.clone(), scope.clone()));
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.flush(FLUSH_LIMIT);
        Ok(())
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown(timeout);
        Ok(())
    }
}
