use std::env;

use futures::future::join_all;
use opentelemetry::trace::TraceContextExt;
use reqwest::Client;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::sync::oneshot;
use tracing::{Instrument, Span, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

const SIZE: usize = 3;

/// An order that waits for its batch.
struct Waiting {
    order: String,
    span: Span,
    sent: oneshot::Sender<()>,
}

#[tokio::main]
async fn main() {
    let telemetry = learning::start();

    let orders = env::var("ORDERS").unwrap_or("lamp-1,pen-2,map-3".to_owned());
    let (list, waiting) = mpsc::channel(100);
    let worker = tokio::spawn(work(waiting));
    join_all(orders.split(',').map(|order| take(order, list.clone()).instrument(info_span!("order", order)))).await;
    drop(list);
    let _ = worker.await;

    drop(telemetry);
}

async fn take(order: &str, list: Sender<Waiting>) {
    let (sent, done) = oneshot::channel();
    let _ = list.send(Waiting { order: order.to_owned(), span: Span::current(), sent }).await;
    let _ = done.await;
}

/// Sends batches until there are no more orders. No span is current in this task.
async fn work(mut waiting: Receiver<Waiting>) {
    let client = Client::new();
    let mut batch = Vec::new();
    while let Some(order) = waiting.recv().await {
        batch.push(order);
        if batch.len() == SIZE {
            send(&client, std::mem::take(&mut batch)).await;
        }
    }
}

async fn send(client: &Client, batch: Vec<Waiting>) {
    let courier = env::var("UPSTREAM_URL").unwrap_or_default();
    let span = info_span!("batch");
    for waiting in &batch {
        span.add_link(waiting.span.context().span().span_context().clone());
    }
    let names: Vec<_> = batch.iter().map(|waiting| waiting.order.clone()).collect();
    let request = client.post(format!("{courier}/batch")).body(names.join(","));
    let _ = request.send().instrument(span).await;
    batch.into_iter().for_each(|waiting| _ = waiting.sent.send(()));
}
