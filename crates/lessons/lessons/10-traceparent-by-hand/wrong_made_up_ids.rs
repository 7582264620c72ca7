use std::env;

use futures::future::join_all;
use opentelemetry::trace::TraceContextExt;
use reqwest::Client;
use tracing::{Instrument, Span, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

#[tokio::main]
async fn main() {
    let telemetry = learning::start();

    let items = env::var("ITEMS").unwrap_or("lamp-1,pen-2".to_owned());
    let client = Client::new();
    let order = async {
        join_all(items.split(',').map(|item| reserve(&client, item))).await;
    };
    order.instrument(info_span!("order")).await;

    drop(telemetry);
}

/// Reserves one item at the warehouse.
async fn reserve(client: &Client, item: &str) {
    let warehouse = env::var("UPSTREAM_URL").unwrap_or_default();
    let url = format!("{warehouse}/reserve/{item}");
    let call = async {
        let request = client.post(url).header("traceparent", traceparent());
        match request.send().await {
            Ok(response) => println!("{item}: {}", response.status()),
            Err(error) => println!("{item}: {error}"),
        }
    };
    call.instrument(info_span!("reserve", item, otel.kind = "client")).await;
}

/// The header that makes the current span the parent of what the other service does.
fn traceparent() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_nanos();
    format!("00-{now:032x}-{:016x}-01", now as u64)
}
