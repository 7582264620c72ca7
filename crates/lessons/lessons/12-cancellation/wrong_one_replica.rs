use std::env;

use futures::future::join_all;
use tracing::field::Empty;
use tracing::{Instrument, Span, info_span};

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
    let price = fetch("left", item).await;
    println!("{item}: {price}");
}

async fn fetch(replica: &str, item: &str) -> String {
    let prices = env::var("UPSTREAM_URL").unwrap_or_default();
    let call = async {
        let response = reqwest::get(format!("{prices}/{replica}/{item}")).await;
        Span::current().record("cancelled", response.is_err()); // TODO: of the call that is dropped, too
        response.map_or("no price".to_owned(), |response| response.status().to_string())
    };
    call.instrument(info_span!("fetch", replica, item, cancelled = Empty)).await
}
