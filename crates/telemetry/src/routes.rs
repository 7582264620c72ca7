//! What every service answers besides its own routes, and the order in which the layers lie.

use axum::extract::Request;
use axum::http::HeaderValue;
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::get;
use axum::{Json, Router};
use http::{StatusCode, header};
use prometheus::Registry;
use tower_http::set_header::SetResponseHeaderLayer;
use utoipa::openapi::OpenApi;
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::life::Readiness;
use crate::metrics::scrape;
use crate::problem::Problem;
use crate::server::{ServerTelemetry, trace};

/// Pages and answers load nothing from elsewhere; Swagger UI styles itself inline.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'";

/// The finished service: `routes` under the server layer, and beside them, unrecorded, `quiet` routes and those of
/// operation: `/metrics`, `/health`, `/ready`, `/openapi.json`, `/docs`.
pub(crate) fn with_operations(
    routes: Router,
    api: OpenApi,
    quiet: Router,
    telemetry: ServerTelemetry,
    registry: Registry,
    readiness: Readiness,
) -> Router {
    // The same headers on every answer. Layers in one tuple are one service; in a row each would be boxed again.
    let headers = || {
        (
            fixed_header(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
            fixed_header(header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            fixed_header(header::REFERRER_POLICY, "no-referrer"),
        )
    };
    // Around the fallbacks too: the trace layer sees every request that is not quiet, unknown paths as well.
    let recorded = routes
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer((headers(), middleware::from_fn_with_state(telemetry, trace)));

    let quiet = quiet
        .route("/metrics", get(async move || scrape(&registry)))
        .route("/health", get(async || "ok"))
        .route("/ready", get(async move || readiness.answer()))
        .route("/openapi.json", get(async move || Json(api)))
        .method_not_allowed_fallback(method_not_allowed)
        .merge(Router::from(SwaggerUi::new("/docs").config(Config::from("/openapi.json"))))
        .layer((headers(), middleware::from_fn(explain)));

    recorded.merge(quiet)
}

fn fixed_header(name: header::HeaderName, value: &'static str) -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value))
}

async fn not_found(request: Request) -> Problem {
    let path: String = request.uri().path().chars().take(200).collect();
    Problem::new(StatusCode::NOT_FOUND, format!("There is nothing at '{path}'; /docs shows what there is"))
}

/// axum adds `Allow`.
async fn method_not_allowed(request: Request) -> Problem {
    let method: String = request.method().as_str().chars().take(40).collect();
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        format!("Method {method} is not allowed here; the header 'Allow' says which are"),
    )
}

/// Writes the body of a problem on a route that has no span.
async fn explain(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let mut response = next.run(request).await;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        problem.render(&mut response, &path, None);
    }
    response
}
