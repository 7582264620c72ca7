use std::env;

use futures::future::join_all;
use opentelemetry::{Array, StringValue, Value as AttributeValue};
use serde_json::Value;
use tracing::field::Empty;
use tracing::{Instrument, Span, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

#[tokio::main]
async fn main() {
    let telemetry = learning::start();

    let users = env::var("USERS").unwrap_or("4711,4712".to_owned());
    join_all(users.split(',').filter_map(|id| id.parse().ok()).map(show)).await;

    drop(telemetry);
}

/// Shows one account.
async fn show(id: u64) {
    let span = info_span!("GET /users/{id}", user.id = id as i64, balance = Empty);
    let call = async {
        let account = load(id).await.unwrap_or_default();
        Span::current().record("balance", account["balance"].as_f64());
        Span::current().set_attribute("orders", texts(&account["orders"]));
        println!("{id}: {account}");
    };
    call.instrument(span).await;
}

/// Such as `{"balance": -12.5, "orders": ["lamp-417", "pen-200"]}`.
async fn load(id: u64) -> reqwest::Result<Value> {
    let accounts = env::var("UPSTREAM_URL").unwrap_or_default();
    reqwest::get(format!("{accounts}/users/{id}")).await?.json().await
}

/// A list as an attribute: a field of `tracing` cannot hold one.
fn texts(list: &Value) -> AttributeValue {
    let texts = list.as_array().into_iter().flatten().filter_map(Value::as_str);
    AttributeValue::Array(Array::String(texts.map(|text| StringValue::from(text.to_owned())).collect()))
}
