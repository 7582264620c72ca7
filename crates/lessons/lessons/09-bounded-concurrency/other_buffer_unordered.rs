use std::env;
use std::sync::LazyLock;

use futures::stream::{self, StreamExt};
use reqwest::Client;
use tracing::{Instrument, info_span};

/// One for all calls: it keeps connections open.
static CLIENT: LazyLock<Client> = LazyLock::new(Client::new);

#[tokio::main]
async fn main() {
    let telemetry = learning::start();
    LazyLock::force(&CLIENT); // here, because it takes a while: the first call would be longer

    let parcels = env::var("PARCELS").unwrap_or("lamp-1,pen-2,cup-3".to_owned());
    let number = env::var("VANS").ok().and_then(|number| number.parse().ok()).unwrap_or(2);
    let day = async {
        stream::iter(parcels.split(',')).map(deliver).buffer_unordered(number).collect::<()>().await;
    };
    day.instrument(info_span!("day")).await;

    drop(telemetry);
}

/// Delivers one parcel, with one of the vans.
async fn deliver(parcel: &str) {
    call(parcel).instrument(info_span!("deliver", parcel)).await;
}

async fn call(parcel: &str) {
    let service = env::var("UPSTREAM_URL").unwrap_or_default();
    match CLIENT.post(format!("{service}/deliveries/{parcel}")).send().await {
        Ok(response) => println!("{parcel}: {}", response.status()),
        Err(error) => println!("{parcel}: {error}"),
    }
}
