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

    let items = env::var("ITEMS").unwrap_or("lamp-1,pen-2".to_owned());
    let quote = async {
        for item in items.split(',') {
            price(item).instrument(info_span!("price", item)).await;
        }
    };
    quote.instrument(info_span!("quote")).await;

    drop(telemetry);
}

/// Requests the price of one item, and gives the discount on it.
async fn price(item: &str) {
    let shop = env::var("UPSTREAM_URL").unwrap_or_default();
    match CLIENT.get(format!("{shop}/prices/{item}")).send().await {
        Ok(_) => discount(item),
        Err(error) => println!("{item}: {error}"),
    }
}

fn discount(item: &str) {
    info_span!("discount", item).in_scope(|| println!("{item}: 10 % off"));
}
