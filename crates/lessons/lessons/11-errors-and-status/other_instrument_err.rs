use std::env;

use reqwest::{Client, StatusCode};
use tracing::{Instrument, info_span, instrument};

#[tokio::main]
async fn main() {
    let telemetry = learning::start();

    let items = env::var("ITEMS").unwrap_or("lamp-1,pen-2".to_owned());
    let client = Client::new();
    let order = async {
        for item in items.split(',') {
            println!("{item}: {:?}", look_up(&client, item).await);
        }
    };
    order.instrument(info_span!("order")).await;

    drop(telemetry);
}

/// Whether the warehouse has an item.
#[instrument(skip(client), err)]
async fn look_up(client: &Client, item: &str) -> reqwest::Result<bool> {
    let warehouse = env::var("UPSTREAM_URL").unwrap_or_default();
    let response = client.get(format!("{warehouse}/items/{item}")).send().await?;
    if response.status() == StatusCode::NOT_FOUND {
        return Ok(false);
    }
    response.error_for_status().map(|_| true)
}
