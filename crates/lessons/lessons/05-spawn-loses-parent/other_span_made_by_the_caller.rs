use std::env;
use std::sync::LazyLock;

use reqwest::Client;
use tracing::{Instrument, info_span};

/// One for all calls: it keeps connections open.
static CLIENT: LazyLock<Client> = LazyLock::new(Client::new);

#[tokio::main]
async fn main() {
    let telemetry = learning::start();
    LazyLock::force(&CLIENT); // here, because it takes a while: the first call would be longer

    let parcels = env::var("PARCELS").unwrap_or("lamp-1,pen-2".to_owned());
    let order = async {
        let mut tasks = Vec::new();
        for parcel in parcels.split(',') {
            tasks.push(tokio::spawn(book(parcel.to_owned()).instrument(info_span!("book", parcel))));
        }
        for task in tasks {
            task.await.expect("the task does not panic");
        }
    };
    order.instrument(info_span!("order")).await;

    drop(telemetry);
}

/// Books a courier for one parcel.
async fn book(parcel: String) {
    let courier = env::var("UPSTREAM_URL").unwrap_or_default();
    match CLIENT.get(format!("{courier}/parcels/{parcel}")).send().await {
        Ok(response) => println!("{parcel}: {}", response.status()),
        Err(error) => println!("{parcel}: {error}"),
    }
}
