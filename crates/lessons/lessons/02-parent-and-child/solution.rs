use std::env;

use tracing::{Instrument, info_span};

#[tokio::main]
async fn main() {
    let telemetry = learning::start();

    let order = env::var("ORDER").unwrap_or("lamp-1".to_owned());
    let checkout = info_span!("checkout", order);
    let calls = async {
        call("reserve", &order).instrument(info_span!("reserve")).await;
        call("charge", &order).instrument(info_span!("charge")).await;
    };
    calls.instrument(checkout).await;

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
