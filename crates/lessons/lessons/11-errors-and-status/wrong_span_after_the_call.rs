use std::env;

use opentelemetry::trace::Status;
use reqwest::{Client, StatusCode};
use tracing::{Instrument, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

#[tokio::main]
async fn main() {
    let telemetry = learning::start();

    let items = env::var("ITEMS").unwrap_or("lamp-1,pen-2".to_owned());
    let client = Client::new();
    let order = async {
        for item in items.split(',') {
            look_up(&client, item).await;
        }
    };
    order.instrument(info_span!("order")).await;

    drop(telemetry);
}

/// Whether the warehouse has an item.
async fn look_up(client: &Client, item: &str) {
    let warehouse = env::var("UPSTREAM_URL").unwrap_or_default();
    let response = client.get(format!("{warehouse}/items/{item}")).send().await;
    let span = info_span!("look_up", item);
    match response.and_then(|response| response.error_for_status()) {
        Ok(_) => println!("{item}: here"),
        Err(error) if error.status() == Some(StatusCode::NOT_FOUND) => println!("{item}: not sold"),
        Err(error) => {
            span.set_status(Status::error(error.to_string()));
            println!("{item}: {error}");
        }
    }
}
