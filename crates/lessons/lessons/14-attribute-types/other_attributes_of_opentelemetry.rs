use std::env;

use futures::future::join_all;
use opentelemetry::{Array, Value as AttributeValue};
use reqwest::Client;
use serde_json::Value;
use tracing::{Instrument, Span, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

#[tokio::main]
async fn main() {
    let telemetry = learning::start();

    let users = env::var("USERS").unwrap_or("4711,4712".to_owned());
    let client = Client::new();
    join_all(users.split(',').filter_map(|id| id.parse().ok()).map(|id| show(&client, id))).await;

    drop(telemetry);
}

/// Shows one account.
async fn show(client: &Client, id: u64) {
    let call = async {
        let span = Span::current();
        span.set_attribute("user.id", i64::try_from(id).unwrap_or(i64::MAX));
        let account = load(client, id).await.unwrap_or_default();
        span.set_attribute("balance", account["balance"].as_f64().unwrap_or_default());
        let orders = account["orders"].as_array().into_iter().flatten();
        let orders = orders.map(|order| order.as_str().unwrap_or_default().to_owned().into()).collect();
        span.set_attribute("orders", AttributeValue::Array(Array::String(orders)));
        println!("{id}: {account}");
    };
    call.instrument(info_span!("show", otel.name = "GET /users/{id}")).await;
}

async fn load(client: &Client, id: u64) -> reqwest::Result<Value> {
    let accounts = env::var("UPSTREAM_URL").unwrap_or_default();
    client.get(format!("{accounts}/users/{id}")).send().await?.json().await
}
