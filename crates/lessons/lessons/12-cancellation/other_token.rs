use std::env;

use futures::future::join_all;
use tokio_util::sync::CancellationToken;
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
    let token = CancellationToken::new();
    let (left, right) = tokio::join!(fetch("left", item, &token), fetch("right", item, &token));
    let price = left.or(right).unwrap_or_default();
    println!("{item}: {price}");
}

/// The price, or nothing where the other replica was faster.
async fn fetch(replica: &str, item: &str, token: &CancellationToken) -> Option<String> {
    let prices = env::var("UPSTREAM_URL").unwrap_or_default();
    let call = async {
        let response = token.run_until_cancelled(reqwest::get(format!("{prices}/{replica}/{item}"))).await;
        Span::current().record("cancelled", response.is_none());
        token.cancel();
        Some(response?.map_or("no price".to_owned(), |response| response.status().to_string()))
    };
    call.instrument(info_span!("fetch", replica, item, cancelled = Empty)).await
}
