//! A request in a runtime and with an exporter of its own.

use std::future::Future;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use trace_check::Trace;
use tracing::{Instrument, Span, field::Empty, info_span};
use tracing_subscriber::layer::SubscriberExt;

use crate::fanout::{Batch, Rolls};

/// The spans that `work` leaves.
pub(crate) fn spans_of(work: impl Future<Output = ()>) -> Vec<SpanData> {
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("fan-out"));
    let _subscriber = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(work);
    exporter.get_finished_spans().expect("spans")
}

pub(crate) fn trace_of(work: impl Future<Output = ()>) -> Trace {
    Trace::from_memory("dice-roller", spans_of(work))
}

/// One request, and what is left of it after its response.
pub(crate) async fn request<R: Rolls>(batch: Batch<R>) {
    let Batch { rolls, fetches: number, hides_error, never_ends } = batch;
    let span =
        info_span!("GET /roll-async", otel.kind = "server", otel.status_code = Empty, otel.status_description = Empty);
    if never_ends {
        std::mem::forget(span.clone());
    }
    #[allow(clippy::async_yields_async)] // what is left goes on after the response
    let handler = async {
        let fetches = async move {
            for _ in 0..number {
                tokio::time::sleep(std::time::Duration::from_millis(2))
                    .instrument(info_span!("GET", otel.kind = "client"))
                    .await;
            }
        };
        let rest = (rolls)(Box::pin(fetches)).await;
        if !hides_error {
            Span::current().record("otel.status_code", "ERROR");
            Span::current().record("otel.status_description", "roll 7 failed");
        }
        rest
    };
    let rest = handler.instrument(span).await;
    rest.await;
}
