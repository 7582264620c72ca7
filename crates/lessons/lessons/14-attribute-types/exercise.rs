use std::env;

use futures::future::join_all;
use reqwest::Client;
use serde_json::Value;
use tracing::field::Empty;
use tracing::{Instrument, Span, info_span};

#[tokio::main]
async fn main() {
    let telemetry = learning::start();

    let users = env::var("USERS").unwrap_or("4711,4712".to_owned());
    let client = Client::new();
    join_all(users.split(',').filter_map(|id| id.parse().ok()).map(|id| show(&client, id))).await;

    drop(telemetry);
}

/// Shows one account. TODO: one name for all these spans, and attributes that one can calculate with.
async fn show(client: &Client, id: u64) {
    let name = format!("GET /users/{id}");
    let span = info_span!("show", otel.name = name, user.id = id, balance = Empty, orders = Empty);
    let call = async {
        let account = load(client, id).await.unwrap_or_default();
        Span::current().record("balance", account["balance"].to_string());
        Span::current().record("orders", account["orders"].to_string());
        println!("{id}: {account}");
    };
    call.instrument(span).await;
}

/// Such as `{"balance": -12.5, "orders": ["lamp-417", "pen-200"]}`.
async fn load(client: &Client, id: u64) -> reqwest::Result<Value> {
    let accounts = env::var("UPSTREAM_URL").unwrap_or_default();
    client.get(format!("{accounts}/users/{id}")).send().await?.json().await
}
