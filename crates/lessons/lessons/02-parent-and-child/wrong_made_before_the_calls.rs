use std::env;

use tracing::{Instrument, info_span};

#[tokio::main]
async fn main() {
    let telemetry = learning::start();

    let order = env::var("ORDER").unwrap_or("lamp-1".to_owned());
    let checkout = info_span!("checkout", order);
    let (reserve, charge) = checkout.in_scope(|| (info_span!("reserve"), info_span!("charge")));
    call("reserve", &order).instrument(reserve).await;
    call("charge", &order).instrument(charge).await;
    drop(checkout);

    drop(telemetry);
}

/// Calls the warehouse or the bank.
async fn call(step: &str, order: &str) {
    let upstream = env::var("UPSTREAM_URL").unwrap_or_default();
    match reqwest::get(format!("{upstream}/{step}/{order}")).await {
        Ok(response) => println!("{step} {order}: {}", response.status()),
        Err(error) => println!("{step} {order}: {error}"),
    }
}
