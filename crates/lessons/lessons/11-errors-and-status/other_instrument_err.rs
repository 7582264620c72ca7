use std::env;

use reqwest::StatusCode;
use tracing::{Instrument, info_span, instrument};

#[tokio::main]
async fn main() {
    let telemetry = learning::start();

    let items = env::var("ITEMS").unwrap_or("lamp-1,pen-2".to_owned());
    let order = async {
        for item in items.split(',') {
            println!("{item}: {:?}", look_up(item).await);
        }
    };
    order.instrument(info_span!("order")).await;

    drop(telemetry);
}

/// Whether the warehouse has an item.
#[instrument(err)]
async fn look_up(item: &str) -> reqwest::Result<bool> {
    let warehouse = env::var("UPSTREAM_URL").unwrap_or_default();
    let response = reqwest::get(format!("{warehouse}/items/{item}")).await?;
    if response.status() == StatusCode::NOT_FOUND {
        return Ok(false);
    }
    response.error_for_status().map(|_| true)
}
