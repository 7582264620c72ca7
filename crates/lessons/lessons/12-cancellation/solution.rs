use std::env;

use futures::future::join_all;
use tracing::field::Empty;
use tracing::{Instrument, Span, info_span};

#[tokio::main]
async fn main() {
    let telemetry = learning::start();

    let items = env::var("ITEMS").unwrap_or("lamp-1,pen-2".to_owned());
    let order = async {
        join_all(items.split(',').map(price)).await;
    };
    order.instrument(info_span!("order")).await;

    drop(telemetry);
}

/// Asks both replicas, takes the first response, and cancels the other call.
async fn price(item: &str) {
    let price = tokio::select! {
        price = fetch("left", item) => price,
        price = fetch("right", item) => price,
    };
    println!("{item}: {price}");
}

async fn fetch(replica: &str, item: &str) -> String {
    let prices = env::var("UPSTREAM_URL").unwrap_or_default();
    let call = async {
        let mut mark = Mark { span: Span::current(), cancelled: true };
        let response = reqwest::get(format!("{prices}/{replica}/{item}")).await;
        mark.cancelled = false;
        response.map_or("no price".to_owned(), |response| response.status().to_string())
    };
    call.instrument(info_span!("fetch", replica, item, cancelled = Empty)).await
}

/// Writes on a span whether its work was cancelled. A future that is dropped drops what it holds, and this is when.
struct Mark {
    span: Span,
    cancelled: bool,
}

impl Drop for Mark {
    fn drop(&mut self) {
        self.span.record("cancelled", self.cancelled);
    }
}
