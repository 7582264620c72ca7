use std::env;
use std::sync::LazyLock;

use futures::future::join_all;
use reqwest::Client;
use tokio::sync::Mutex;
use tracing::{Instrument, field, info_span, instrument};

/// One for all calls: it keeps connections open.
static CLIENT: LazyLock<Client> = LazyLock::new(Client::new);

#[tokio::main]
async fn main() {
    let telemetry = learning::start();
    LazyLock::force(&CLIENT); // here, because it takes a while: the first call would be longer

    let items = env::var("ITEMS").unwrap_or("lamp-1,pen-2".to_owned());
    let bill = info_span!("bill", sum = field::Empty);
    let sum = Mutex::new(0);
    join_all(items.split(',').map(|item| add(item, &sum))).instrument(bill.clone()).await;
    bill.record("sum", *sum.lock().await);
    drop(bill);

    drop(telemetry);
}

/// Adds the price of one item.
#[instrument(skip(sum))]
async fn add(item: &str, sum: &Mutex<i64>) {
    if let Ok(mut sum) = sum.try_lock() {
        *sum += price(item).await;
    }
}

/// Requests the price of one item, in cents.
#[instrument]
async fn price(item: &str) -> i64 {
    let shop = env::var("UPSTREAM_URL").unwrap_or_default();
    let text = match CLIENT.get(format!("{shop}/prices/{item}")).send().await {
        Ok(response) => response.text().await.unwrap_or_default(),
        Err(error) => error.to_string(),
    };
    println!("{item}: {text}");
    text.parse().unwrap_or(0)
}
