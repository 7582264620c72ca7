use std::env;

use futures::future::try_join_all;
use opentelemetry::trace::Status;
use reqwest::Client;
use tracing::field::Empty;
use tracing::{Instrument, Span, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

#[tokio::main]
async fn main() {
    let telemetry = learning::start();

    page().instrument(info_span!("page", shown = Empty)).await;

    drop(telemetry);
}

/// Shows the boxes that could be fetched. TODO: one that fails must not take the others with it.
async fn page() {
    let boxes = env::var("BOXES").unwrap_or("lamp-1,pen-2".to_owned());
    let boxes: Vec<_> = boxes.split(',').collect();
    let client = Client::new();
    let fetched = try_join_all(boxes.iter().map(|name| fetch(&client, name))).await;
    let shown = fetched.unwrap_or_default();
    Span::current().record("shown", shown.len() as i64);
    println!("{}", shown.join("\n"));
}

/// Fetches one box. Its span says when that fails.
async fn fetch(client: &Client, name: &str) -> reqwest::Result<String> {
    let services = env::var("UPSTREAM_URL").unwrap_or_default();
    let call = async {
        let response = client.get(format!("{services}/boxes/{name}")).send().await?;
        response.error_for_status()?.text().await
    };
    let recorded = async {
        let result = call.await;
        if let Err(error) = &result {
            Span::current().set_status(Status::error(error.to_string()));
        }
        result
    };
    recorded.instrument(info_span!("fetch", box_name = name)).await
}
