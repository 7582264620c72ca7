use std::env;

use futures::stream::{FuturesUnordered, StreamExt};
use reqwest::Client;
use tracing::{Instrument, info_span};

#[tokio::main]
async fn main() {
    let telemetry = learning::start();

    let client = Client::new();
    let items = env::var("ITEMS").unwrap_or("lamp-1,pen-2".to_owned());
    let order = async {
        let mut fetches: FuturesUnordered<_> = items.split(',').map(|item| fetch(&client, item)).collect();
        while fetches.next().await.is_some() {}
    };
    order.instrument(info_span!("order")).await;

    drop(telemetry);
}

/// Fetches one item from the warehouse.
async fn fetch(client: &Client, item: &str) {
    let warehouse = env::var("UPSTREAM_URL").unwrap_or_default();
    let call = async {
        match client.get(format!("{warehouse}/items/{item}")).send().await {
            Ok(response) => println!("{item}: {}", response.status()),
            Err(error) => println!("{item}: {error}"),
        }
    };
    call.instrument(info_span!("fetch", item)).await;
}
