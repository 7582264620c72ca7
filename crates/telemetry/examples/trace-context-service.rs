//! The service that the W3C's Trace Context validation harness drives.
//!
//! `POST /test` takes a JSON array of `{"url": …, "arguments": […]}` and posts each one's `arguments` to its `url`. The
//! harness sends requests with good and bad `traceparent` and `tracestate` headers, and looks at the headers of the
//! posts that come back.
//!
//! ```text
//! PORT=5000 OTEL_TRACES_EXPORTER=none cargo run -p telemetry --example trace-context-service
//! SERVICE_ENDPOINT=http://127.0.0.1:5000/test python3 trace-context/test/test.py   # github.com/w3c/trace-context
//! ```

use std::process::ExitCode;
use std::time::Duration;

use axum::extract::State;
use axum::{Json, Router};
use http::StatusCode;
use telemetry::settings::Settings;
use telemetry::{Client, Problem, Telemetry};
use utoipa_axum::router::OpenApiRouter;

#[derive(clap::Parser)]
struct Config {
    /// Port to listen on; 0 takes any free one
    #[arg(long, env = "PORT", default_value_t = 5000, value_parser = telemetry::config::within(0..=u16::MAX))]
    port: u16,

    #[command(flatten)]
    telemetry: Settings,
}

#[derive(serde::Deserialize)]
struct Call {
    url: String,
    arguments: serde_json::Value,
}

fn main() -> ExitCode {
    telemetry::config::start(run)
}

fn run(config: Config) -> anyhow::Result<()> {
    let telemetry = Telemetry::start("trace-context-service", "1", &config.telemetry)?;
    let service = telemetry.handle();
    telemetry.run(async move {
        let listener = telemetry::bind("127.0.0.1", config.port).await?;
        tracing::info!(address = listener.local_addr()?.to_string(), "Trace context service starting up");
        let client = service.client(&"https://any.example".parse()?)?; // any URL may be asked for, so with certificates
        let routes = OpenApiRouter::new().route("/test", axum::routing::post(test)).with_state(client);
        let app = service.app(routes, Router::new());
        service.serve(listener, app).await
    })
}

async fn test(State(client): State<Client>, body: axum::body::Bytes) -> Result<Json<usize>, Problem> {
    let calls: Vec<Call> = serde_json::from_slice(&body).map_err(|error| {
        Problem::new(StatusCode::BAD_REQUEST, format!("not an array of {{\"url\", \"arguments\"}}: {error}"))
    })?;
    for call in &calls {
        let url = reqwest::Url::parse(&call.url)
            .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, format!("{}: {error}", call.url)))?;
        let mut request = reqwest::Request::new(reqwest::Method::POST, url);
        *request.timeout_mut() = Some(Duration::from_secs(10));
        *request.body_mut() = Some(call.arguments.to_string().into());
        request.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
        client.send(request).await.map_err(|error| {
            Problem::new(StatusCode::BAD_GATEWAY, format!("{} did not answer", call.url)).caused_by(error)
        })?;
    }
    Ok(Json(calls.len()))
}
