//! The service that the W3C's Trace Context validation harness drives, and the smallest one with this telemetry.
//!
//! `POST /test` takes a JSON array of `{"url": …, "arguments": […]}` and posts each one's `arguments` to its `url`. The
//! harness sends requests with good and bad `traceparent` and `tracestate` headers, and looks at the headers of the
//! posts that come back.
//!
//! ```text
//! PORT=5000 OTEL_TRACES_EXPORTER=none cargo run -p dice-telemetry --example trace-context-service
//! SERVICE_ENDPOINT=http://127.0.0.1:5000/test python3 trace-context/test/test.py   # github.com/w3c/trace-context
//! ```

use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router, middleware};
use clap::Parser;
use http::{HeaderValue, Method, StatusCode, header};
use reqwest::Request;
use telemetry::settings::{Settings, within};
use telemetry::{Client, ErrorDescription, Telemetry};
use tokio::net::TcpListener;

#[derive(clap::Parser)]
struct Config {
    /// Port to listen on; 0 takes any free one
    #[arg(long, env = "PORT", default_value_t = 5000, value_parser = within(0..=u16::MAX))]
    port: u16,

    #[command(flatten)]
    telemetry: Settings,
}

#[derive(serde::Deserialize)]
struct Call {
    url: String,
    arguments: serde_json::Value,
}

fn main() -> anyhow::Result<()> {
    let config = Config::parse();
    let telemetry = Telemetry::init("trace-context-service", "1", &config.telemetry)?;
    let handle = telemetry.handle();
    telemetry.run(async move {
        let client = handle.client(&"https://any.example".parse()?)?; // any URL may be given, so with certificates
        let app = Router::new()
            .route("/test", post(test))
            .with_state(client)
            .layer(middleware::from_fn_with_state(handle.server(), telemetry::trace));
        let listener = TcpListener::bind(("127.0.0.1", config.port)).await?;
        tracing::info!(address = listener.local_addr()?.to_string(), "Trace context service starting up");
        Ok(axum::serve(listener, app).with_graceful_shutdown(async { drop(tokio::signal::ctrl_c().await) }).await?)
    })
}

async fn test(State(client): State<Client>, body: axum::body::Bytes) -> Result<Json<usize>, Response> {
    let calls: Vec<Call> = serde_json::from_slice(&body).map_err(|error| {
        failure(StatusCode::BAD_REQUEST, format!("not an array of {{\"url\", \"arguments\"}}: {error}"))
    })?;
    for call in &calls {
        let url =
            call.url.parse().map_err(|error| failure(StatusCode::BAD_REQUEST, format!("{}: {error}", call.url)))?;
        let mut request = Request::new(Method::POST, url);
        *request.timeout_mut() = Some(Duration::from_secs(10));
        *request.body_mut() = Some(call.arguments.to_string().into());
        request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        client.send(request).await.map_err(|error| failure(StatusCode::BAD_GATEWAY, error.to_string()))?;
    }
    Ok(Json(calls.len()))
}

fn failure(status: StatusCode, description: String) -> Response {
    let mut response = (status, description.clone()).into_response();
    response.extensions_mut().insert(ErrorDescription(description));
    response
}
