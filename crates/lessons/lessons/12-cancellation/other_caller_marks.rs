use std::env;

use futures::future::join_all;
use tracing::field::Empty;
use tracing::{Instrument, info_span};

#[tokio::main]
async fn main() {
    let telemetry = learning::start();

    let items = env::var("ITEMS").unwrap_or("lamp-1,pen-2".to_owned());
    let order = async {
        join_all(items.split(',').map(price)).await;
    };
    order.instrument(info_span!("order")).await;

    drop(telemetry);
}

/// Asks both replicas, takes the first response, and cancels the other call.
async fn price(item: &str) {
    // As long as it is held, a span can be written to, and has not ended.
    let left = info_span!("fetch", replica = "left", item, cancelled = Empty);
    let right = info_span!("fetch", replica = "right", item, cancelled = Empty);
    let price = tokio::select! {
        price = fetch("left", item).instrument(left.clone()) => {
            right.record("cancelled", true);
            price
        }
        price = fetch("right", item).instrument(right.clone()) => {
            left.record("cancelled", true);
            price
        }
    };
    println!("{item}: {price}");
}

async fn fetch(replica: &str, item: &str) -> String {
    let prices = env::var("UPSTREAM_URL").unwrap_or_default();
    let response = reqwest::get(format!("{prices}/{replica}/{item}")).await;
    response.map_or("no price".to_owned(), |response| response.status().to_string())
}
