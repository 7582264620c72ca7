//! What the variables of `otel.rs` mean together: where each signal is exported to, and what a span may have.

use std::time::Duration;

use http::HeaderMap;
use opentelemetry_sdk::trace::SpanLimits;
use reqwest::Url;

use super::{Compression, Headers, Otel, invalid};

impl Otel {
    /// A batch larger than its queue would never be full.
    pub(super) fn check_batches(&self) -> clap::error::Result<()> {
        for (processor, batch, queue) in [
            ("BSP", self.otel_bsp_max_export_batch_size, self.otel_bsp_max_queue_size),
            ("BLRP", self.otel_blrp_max_export_batch_size, self.otel_blrp_max_queue_size),
        ] {
            if let Some(batch) = batch.filter(|batch| *batch > queue) {
                let setting = format!("OTEL_{processor}_MAX_EXPORT_BATCH_SIZE");
                let why = format!("allowed: at most the queue, OTEL_{processor}_MAX_QUEUE_SIZE, which is {queue}");
                return Err(invalid(&setting, &batch.to_string(), why));
            }
        }
        Ok(())
    }

    /// What a span may have. The SDK reads three of these variables by itself, but does not know the other three.
    pub(crate) fn span_limits(&self) -> SpanLimits {
        let attributes = self.otel_attribute_count_limit;
        SpanLimits {
            max_attributes_per_span: self.otel_span_attribute_count_limit.unwrap_or(attributes),
            max_events_per_span: self.otel_span_event_count_limit,
            max_links_per_span: self.otel_span_link_count_limit,
            max_attributes_per_event: self.otel_event_attribute_count_limit.unwrap_or(attributes),
            max_attributes_per_link: self.otel_link_attribute_count_limit.unwrap_or(attributes),
        }
    }

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
            max_export_batch_size: self.otel_bsp_max_export_batch_size.unwrap_or(512).min(self.otel_bsp_max_queue_size),
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
            max_export_batch_size: self
                .otel_blrp_max_export_batch_size
                .unwrap_or(512)
                .min(self.otel_blrp_max_queue_size),
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
