use std::env;

use futures::future::join_all;
use opentelemetry::trace::{SpanContext, TraceContextExt};
use reqwest::Client;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tracing::{Instrument, Span, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

#[tokio::main]
async fn main() {
    let telemetry = learning::start();

    let orders = env::var("ORDERS").unwrap_or("lamp-1,pen-2".to_owned());
    let client = Client::new();
    let (log, lines) = mpsc::channel(100);
    let writer = tokio::spawn(write(lines));
    let tour = async {
        join_all(orders.split(',').map(|order| deliver(&client, order, &log))).await;
    };
    tour.instrument(info_span!("tour")).await;
    drop(log);
    let _ = writer.await;

    drop(telemetry);
}

async fn deliver(client: &Client, order: &str, log: &Sender<(SpanContext, String)>) {
    let courier = env::var("UPSTREAM_URL").unwrap_or_default();
    let ids = ids();
    let call = async {
        let message = match client.get(format!("{courier}/deliver/{order}")).send().await {
            Ok(response) => format!("{order}: {}", response.status()),
            Err(error) => format!("{order}: {error}"),
        };
        let _ = log.send((ids, message)).await;
    };
    call.instrument(info_span!("deliver", order)).await;
}

/// Writes the lines of all deliveries. Each has the ids of the span that it belongs to.
async fn write(mut lines: Receiver<(SpanContext, String)>) {
    while let Some((ids, message)) = lines.recv().await {
        let (trace_id, span_id) = (ids.trace_id().to_string(), ids.span_id().to_string());
        println!("{}", serde_json::json!({ "message": message, "trace_id": trace_id, "span_id": span_id }));
    }
}

/// The trace id and the span id of the current span.
fn ids() -> SpanContext {
    Span::current().context().span().span_context().clone()
}
