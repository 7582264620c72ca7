use std::env;
use std::mem;
use std::sync::Mutex;

use futures::future::join_all;
use opentelemetry::trace::TraceContextExt;
use reqwest::Client;
use tokio::sync::oneshot::{self, Sender};
use tracing::{Instrument, Span, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

const SIZE: usize = 3;

/// An order that waits for its batch.
struct Waiting {
    order: String,
    span: Span,
    sent: Sender<()>,
}

#[tokio::main]
async fn main() {
    let telemetry = learning::start();

    let orders = env::var("ORDERS").unwrap_or("lamp-1,pen-2,map-3".to_owned());
    let client = Client::new();
    let list = Mutex::new(Vec::new());
    join_all(orders.split(',').map(|order| take(&client, order, &list).instrument(info_span!("order", order)))).await;

    drop(telemetry);
}

/// Puts an order on the list, sends the batch if it is complete, and waits until the order is sent.
async fn take(client: &Client, order: &str, list: &Mutex<Vec<Waiting>>) {
    let (sent, done) = oneshot::channel();
    let batch = {
        let mut list = list.lock().expect("no task panics");
        list.push(Waiting { order: order.to_owned(), span: Span::current(), sent });
        if list.len() == SIZE { mem::take(&mut *list) } else { Vec::new() }
    };
    if !batch.is_empty() {
        send(client, batch).await;
    }
    let _ = done.await;
}

/// Sends a batch, in a span that links to its orders.
async fn send(client: &Client, batch: Vec<Waiting>) {
    let courier = env::var("UPSTREAM_URL").unwrap_or_default();
    let span = info_span!(parent: None, "batch");
    for waiting in &batch {
        span.add_link(waiting.span.context().span().span_context().clone());
    }
    let names: Vec<_> = batch.iter().map(|waiting| waiting.order.clone()).collect();
    let request = client.post(format!("{courier}/batch")).body(names.join(","));
    match request.send().instrument(span).await {
        Ok(response) => println!("{names:?}: {}", response.status()),
        Err(error) => println!("{names:?}: {error}"),
    }
    batch.into_iter().for_each(|waiting| _ = waiting.sent.send(()));
}
