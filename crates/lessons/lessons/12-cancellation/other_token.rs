use std::env;

use futures::future::join_all;
use reqwest::Client;
use tokio_util::sync::CancellationToken;
use tracing::field::Empty;
use tracing::{Instrument, Span, info_span};

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
    let token = CancellationToken::new();
    let (left, right) = tokio::join!(fetch(client, "left", item, &token), fetch(client, "right", item, &token));
    let price = left.or(right).unwrap_or_default();
    println!("{item}: {price}");
}

/// The price, or nothing where the other replica was faster.
async fn fetch(client: &Client, replica: &str, item: &str, token: &CancellationToken) -> Option<String> {
    let call = async {
        let price = token.run_until_cancelled(load(client, replica, item)).await;
        Span::current().record("cancelled", price.is_none());
        token.cancel();
        price?.ok()
    };
    call.instrument(info_span!("fetch", replica, item, cancelled = Empty)).await
}

async fn load(client: &Client, replica: &str, item: &str) -> reqwest::Result<String> {
    let prices = env::var("UPSTREAM_URL").unwrap_or_default();
    client.get(format!("{prices}/{replica}/{item}")).send().await?.text().await
}
