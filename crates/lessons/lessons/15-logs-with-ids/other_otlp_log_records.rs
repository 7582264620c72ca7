use std::env;

use futures::future::join_all;
use opentelemetry::logs::{LogRecord, Logger, LoggerProvider};
use opentelemetry_otlp::LogExporter;
use opentelemetry_sdk::logs::{SdkLogger, SdkLoggerProvider};
use reqwest::Client;
use tracing::{Instrument, info_span};

#[tokio::main]
async fn main() {
    let telemetry = learning::start();
    let exporter = LogExporter::builder().with_http().build().expect("an OTLP receiver");
    let logs = SdkLoggerProvider::builder().with_resource(learning::resource()).with_batch_exporter(exporter).build();
    let log = logs.logger("learning");
    let client = Client::new();

    let orders = env::var("ORDERS").unwrap_or("lamp-1,pen-2".to_owned());
    let tour = async {
        join_all(orders.split(',').map(|order| deliver(&client, order, &log))).await;
    };
    tour.instrument(info_span!("tour")).await;

    let _ = logs.shutdown();
    drop(telemetry);
}

async fn deliver(client: &Client, order: &str, log: &SdkLogger) {
    let courier = env::var("UPSTREAM_URL").unwrap_or_default();
    let call = async {
        let message = match client.get(format!("{courier}/deliver/{order}")).send().await {
            Ok(response) => format!("{order}: {}", response.status()),
            Err(error) => format!("{order}: {error}"),
        };
        // The record has the ids of the span that is current here.
        let mut record = log.create_log_record();
        record.set_body(message.into());
        log.emit(record);
    };
    call.instrument(info_span!("deliver", order)).await;
}
