use std::env;

use futures::future::join_all;
use reqwest::Client;
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
    let price = tokio::select! {
        price = fetch(client, "left", item) => price,
        price = fetch(client, "right", item) => price,
    };
    println!("{item}: {price}");
}

/// The price of an item, in a span that says whether the call was cancelled.
async fn fetch(client: &Client, replica: &str, item: &str) -> String {
    let call = async {
        let mut mark = Mark { span: Span::current(), cancelled: true };
        let price = load(client, replica, item).await;
        mark.cancelled = false;
        price.unwrap_or_default()
    };
    call.instrument(info_span!("fetch", replica, item, cancelled = Empty)).await
}

async fn load(client: &Client, replica: &str, item: &str) -> reqwest::Result<String> {
    let prices = env::var("UPSTREAM_URL").unwrap_or_default();
    client.get(format!("{prices}/{replica}/{item}")).send().await?.text().await
}

/// Writes on a span whether its work was cancelled. A future that is dropped drops what it holds, and this is when.
struct Mark {
    span: Span,
    cancelled: bool,
}

impl Drop for Mark {
    fn drop(&mut self) {
        self.span.record("cancelled", self.cancelled);
    }
}
