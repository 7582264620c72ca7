use std::collections::HashMap;
use std::env;

use futures::future::join_all;
use http::HeaderMap;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry_http::HeaderInjector;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use reqwest::Client;
use tracing::{Instrument, Span, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

#[tokio::main]
async fn main() {
    let sampler = Sampler::ParentBased(Box::new(Sampler::AlwaysOn)); // no trace begins here
    let provider = SdkTracerProvider::builder()
        .with_resource(learning::resource())
        .with_sampler(sampler)
        .with_batch_exporter(learning::exporter())
        .build();
    learning::install(&provider);

    // The requests of the shops: the traceparent of each.
    let requests = env::var("REQUESTS").unwrap_or_default();
    let client = Client::new();
    join_all(requests.split(',').map(|traceparent| pick(&client, traceparent))).await;

    let _ = provider.shutdown();
}

/// Serves one request of a shop.
async fn pick(client: &Client, traceparent: &str) {
    let headers = HashMap::from([("traceparent".to_owned(), traceparent.to_owned())]);
    let span = info_span!("pick", otel.kind = "server");
    let _ = span.set_parent(TraceContextPropagator::new().extract(&headers));
    let call = async {
        let stock = env::var("UPSTREAM_URL").unwrap_or_default();
        let mut headers = HeaderMap::new();
        let context = Span::current().context();
        TraceContextPropagator::new().inject_context(&context, &mut HeaderInjector(&mut headers));
        match client.get(format!("{stock}/stock")).headers(headers).send().await {
            Ok(response) => println!("{}", response.status()),
            Err(error) => println!("{error}"),
        }
    };
    call.instrument(span).await;
}
