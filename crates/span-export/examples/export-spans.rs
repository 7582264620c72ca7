//! Exports one span, and says what became of it.
//!
//! ```text
//! cargo run -p span-export --example export-spans -- http://127.0.0.1:4318/v1/traces
//! ```
#![allow(clippy::print_stdout)] // it is what this program is for

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::trace::{Tracer, TracerProvider};
use opentelemetry_sdk::trace::SdkTracerProvider;
use span_export::SpanExport;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let endpoint = std::env::args().nth(1).unwrap_or_else(|| "http://127.0.0.1:4318/v1/traces".to_owned());
    // Only where reqwest has the feature `rustls-no-provider`, as in this workspace.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::blocking::Client::builder()
        .timeout(Duration::from_secs(10))
        .redirect(reqwest::redirect::Policy::none())
        .build()?;
    let processor = SpanExport::builder(Arc::new(client), &endpoint)
        .on_export(|count| println!("{count} exported"))
        .on_drop(|reason, count| println!("{count} dropped: {reason:?}"))
        .build()?;
    let provider = SdkTracerProvider::builder().with_span_processor(processor).build();
    provider.tracer("export-spans").in_span("hello", |_| ());
    provider.shutdown()?;
    Ok(())
}
