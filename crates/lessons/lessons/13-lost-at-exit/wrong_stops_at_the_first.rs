use std::env;

use reqwest::Client;
use tracing::{Instrument, info_span};

#[tokio::main]
async fn main() -> reqwest::Result<()> {
    let telemetry = learning::start();

    let result = job().instrument(info_span!("job")).await;

    drop(telemetry); // sends the last spans
    result
}

/// Sends all parcels of the day.
async fn job() -> reqwest::Result<()> {
    let parcels = env::var("PARCELS").unwrap_or("lamp-1,pen-2".to_owned());
    let client = Client::new();
    for parcel in parcels.split(',') {
        send(&client, parcel).instrument(info_span!("send", parcel)).await?;
    }
    Ok(())
}

async fn send(client: &Client, parcel: &str) -> reqwest::Result<()> {
    let courier = env::var("UPSTREAM_URL").unwrap_or_default();
    let response = client.post(format!("{courier}/parcels/{parcel}")).send().await?;
    response.error_for_status()?;
    Ok(())
}
