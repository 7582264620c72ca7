use std::env;

use futures::future::join_all;
use reqwest::Client;
use tracing::field::Empty;
use tracing::{Instrument, info_span};

#[tokio::main]
async fn main() {
    let telemetry = learning::start();

    let items = env::var("ITEMS").unwrap_or("lamp-1,pen-2".to_owned());
    let client = Client::new();
    let order = async {
        join_all(items.split(',').map(|item| price(&client, item))).await;
    };
    order.instrument(info_span!("order")).await;

    drop(telemetry);
}

/// Requests a price from both replicas, takes the first response, and cancels the other call.
async fn price(client: &Client, item: &str) {
    // As long as it is held, a span can be written to, and has not ended.
    let left = info_span!("fetch", replica = "left", item, cancelled = Empty);
    let right = info_span!("fetch", replica = "right", item, cancelled = Empty);
    let price = tokio::select! {
        price = fetch(client, "left", item).instrument(left.clone()) => {
            right.record("cancelled", true);
            price
        }
        price = fetch(client, "right", item).instrument(right.clone()) => {
            left.record("cancelled", true);
            price
        }
    };
    println!("{item}: {price}");
}

/// The price of an item.
async fn fetch(client: &Client, replica: &str, item: &str) -> String {
    load(client, replica, item).await.unwrap_or_default()
}

async fn load(client: &Client, replica: &str, item: &str) -> reqwest::Result<String> {
    let prices = env::var("UPSTREAM_URL").unwrap_or_default();
    client.get(format!("{prices}/{replica}/{item}")).send().await?.text().await
}
