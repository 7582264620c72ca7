//! The smallest service with a typed query.
//!
//! ```text
//! OTEL_TRACES_EXPORTER=none cargo run -p dice-service --example small-service
//! curl 'http://127.0.0.1:8080/greeting?name=Ada'
//! curl 'http://127.0.0.1:8080/greeting'      # 422, and what is missing
//! curl 'http://127.0.0.1:8080/openapi.json'
//! ```

use std::process::ExitCode;

use axum::Router;
use serde::Deserialize;
use service::settings::{Settings, within};
use service::{Parameters, Problems, Query, Service};
use telemetry::{Telemetry, attributes};
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

#[derive(clap::Parser)]
struct Config {
    /// Port to listen on; 0 takes any free one
    #[arg(long, env = "PORT", default_value_t = 8080, value_parser = within(0..=u16::MAX))]
    port: u16,

    #[command(flatten)]
    service: Settings,
}

fn main() -> ExitCode {
    service::settings::start(run)
}

fn run(config: Config) -> anyhow::Result<()> {
    if config.service.action.is_some() {
        return service::healthcheck(config.port);
    }
    let telemetry = Telemetry::init("small-service", "1", &config.service.telemetry)?;
    let service = Service::new(telemetry.handle(), &config.service);
    telemetry.run(async move {
        let listener = service::bind("127.0.0.1", config.port).await?;
        tracing::info!(address = listener.local_addr()?.to_string(), "Small service starting up");
        let router = service.router(OpenApiRouter::new().routes(routes!(greeting)), Router::new());
        service.serve(listener, router).await
    })
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Greeting {
    /// Who is greeted, for example Ada
    name: String,
}

impl<S> Parameters<S> for Greeting {}

/// A greeting
#[utoipa::path(get, path = "/greeting", params(Greeting), responses((status = 200, body = String), Problems))]
async fn greeting(Query(query): Query<Greeting>) -> String {
    attributes::set("greeting.name", query.name.clone());
    format!("hello, {}\n", query.name)
}
