use std::env;

use tracing::instrument;

#[tokio::main]
async fn main() {
    let telemetry = learning::start();

    let order = env::var("ORDER").unwrap_or("lamp-1".to_owned());
    checkout(&order).await;

    drop(telemetry);
}

#[instrument]
async fn checkout(order: &str) {
    reserve(order).await;
    charge(order).await;
}

#[instrument]
async fn reserve(order: &str) {
    call("reserve", order).await;
}

#[instrument]
async fn charge(order: &str) {
    call("charge", order).await;
}

/// Calls the warehouse or the bank.
async fn call(step: &str, order: &str) {
    let upstream = env::var("UPSTREAM_URL").unwrap_or_default();
    match reqwest::get(format!("{upstream}/{step}/{order}")).await {
        Ok(response) => println!("{step} {order}: {}", response.status()),
        Err(error) => println!("{step} {order}: {error}"),
    }
}
