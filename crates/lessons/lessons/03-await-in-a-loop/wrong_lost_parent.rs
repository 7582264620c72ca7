use std::env;

use reqwest::Client;
use tokio::task::JoinSet;
use tracing::{Instrument, info_span};

#[tokio::main]
async fn main() {
    let telemetry = learning::start();

    let client = Client::new();
    let items = env::var("ITEMS").unwrap_or("lamp-1,pen-2".to_owned());
    let order = async {
        let mut set = JoinSet::new();
        for item in items.split(',') {
            let (client, item) = (client.clone(), item.to_owned());
            set.spawn(async move { fetch(&client, &item).await });
        }
        set.join_all().await;
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
