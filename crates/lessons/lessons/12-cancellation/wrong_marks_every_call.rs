use std::env;

use futures::future::join_all;
use reqwest::Client;
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
    let price = tokio::select! {
        price = fetch(client, "left", item) => price,
        price = fetch(client, "right", item) => price,
    };
    println!("{item}: {price}");
}

/// The price of an item, in a span that says whether the call was cancelled.
async fn fetch(client: &Client, replica: &str, item: &str) -> String {
    let call = async {
        let price = load(client, replica, item).await;
        price.unwrap_or_default()
    };
    call.instrument(info_span!("fetch", replica, item, cancelled = true)).await
}

async fn load(client: &Client, replica: &str, item: &str) -> reqwest::Result<String> {
    let prices = env::var("UPSTREAM_URL").unwrap_or_default();
    client.get(format!("{prices}/{replica}/{item}")).send().await?.text().await
}
