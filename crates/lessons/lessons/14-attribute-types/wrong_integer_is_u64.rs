use std::env;

use futures::future::join_all;
use opentelemetry::{Array, StringValue, Value as AttributeValue};
use reqwest::Client;
use serde_json::Value;
use tracing::field::Empty;
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
    let span = info_span!("GET /users/{id}", user.id = id, balance = Empty);
    let call = async {
        let account = load(client, id).await.unwrap_or_default();
        Span::current().record("balance", account["balance"].as_f64());
        Span::current().set_attribute("orders", texts(&account["orders"]));
        println!("{id}: {account}");
    };
    call.instrument(span).await;
}

/// Such as `{"balance": -12.5, "orders": ["lamp-417", "pen-200"]}`.
async fn load(client: &Client, id: u64) -> reqwest::Result<Value> {
    let accounts = env::var("UPSTREAM_URL").unwrap_or_default();
    client.get(format!("{accounts}/users/{id}")).send().await?.json().await
}

/// A list as an attribute: a field of `tracing` cannot hold one.
fn texts(list: &Value) -> AttributeValue {
    let texts = list.as_array().into_iter().flatten().filter_map(Value::as_str);
    AttributeValue::Array(Array::String(texts.map(|text| StringValue::from(text.to_owned())).collect()))
}
