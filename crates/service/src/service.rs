//! What every service has besides its own routes: the layers and their order, the operational routes, the upstreams,
//! and the way it is served.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router, middleware};
use http::{HeaderName, HeaderValue, StatusCode, header};
use hyper_util::server::graceful::GracefulShutdown;
use prometheus::Registry;
use reqwest::Url;
use telemetry::Handle;
use tokio::net::TcpListener;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::set_header::SetResponseHeaderLayer;
use utoipa::PartialSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::breaker::{BreakerMetrics, BreakerSettings, Observer, with_breaker};
use crate::deadline;
use crate::probes::Phases;
use crate::problem::{Problem, ProblemBody, REQUEST_URI, panicked};
use crate::serve::{Server, stop_signal};
use crate::settings::Settings;
use crate::upstream::Upstream;

/// Pages load nothing from elsewhere, send forms nowhere else, and have no inline script or style.
const CONTENT_SECURITY_POLICY: &str =
    "default-src 'self'; object-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// Swagger UI styles itself inline, and has pictures in its style sheet.
const POLICY_OF_DOCS: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; object-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// One service of this process, before and while it is served. Cheap to clone; clones are the same service.
#[derive(Clone)]
pub struct Service {
    telemetry: Handle,
    phases: Phases,
    delay: Duration,
    grace: Duration,
    breaker_metrics: Arc<Mutex<Option<BreakerMetrics>>>,
}

impl Service {
    /// A service that reports to `telemetry`.
    pub fn new(telemetry: Handle, settings: &Settings) -> Self {
        Self {
            telemetry,
            phases: Phases::default(),
            delay: Duration::from_millis(settings.shutdown_delay_ms),
            grace: Duration::from_millis(settings.shutdown_grace_ms),
            breaker_metrics: Arc::default(),
        }
    }

    /// Where the service registers its own metrics.
    pub fn registry(&self) -> &Registry {
        self.telemetry.registry()
    }

    /// The whole service: `routes` under all layers, and beside them, without spans and HTTP metrics, the `untraced`
    /// ones (static assets) and the operational ones: `/metrics`, `/health`, `/ready`, `/openapi.json`, `/docs`.
    pub fn router(&self, routes: OpenApiRouter, untraced: Router) -> Router {
        let (routes, mut api) = routes.split_for_parts();
        api.info = utoipa::openapi::Info::new(self.telemetry.service, self.telemetry.version);
        let components = api.components.get_or_insert_default();
        components.schemas.insert("ProblemBody".to_owned(), ProblemBody::schema());

        // The first of a tuple is the outermost. Layers in one tuple are one service; in a row each would be boxed again.
        let traced = routes.fallback(not_found).method_not_allowed_fallback(method_not_allowed).layer((
            security_headers(CONTENT_SECURITY_POLICY),
            middleware::from_fn_with_state(self.telemetry.server(), telemetry::trace),
            middleware::from_fn(in_time),
            CatchPanicLayer::custom(panicked),
        ));

        let (registry, phases) = (self.registry().clone(), self.phases.clone());
        let untraced = untraced
            .route("/metrics", get(async move || telemetry::metrics::text(&registry)))
            .route("/health", get(async || "ok"))
            .route("/ready", get(async move || phases.ready()))
            .route("/openapi.json", get(async move || Json(api)))
            .method_not_allowed_fallback(method_not_allowed)
            .merge(Router::from(SwaggerUi::new("/docs").config(Config::from("/openapi.json"))))
            .layer((security_headers(POLICY_OF_DOCS), middleware::from_fn(untimed), CatchPanicLayer::custom(panicked)));

        traced.merge(untraced)
    }

    /// The service at `base`, behind a circuit breaker that is called `target` in metrics and log lines.
    ///
    /// A request without a response is a failure, and a response whose status `is_failure`: a status that the other side
    /// means (a die that fails by design) must not open the breaker.
    ///
    /// # Errors
    /// When TLS cannot be set up, or something else has registered the breaker's metrics.
    pub fn upstream(
        &self,
        target: &'static str,
        base: &Url,
        breaker: &BreakerSettings,
        is_failure: fn(StatusCode) -> bool,
    ) -> anyhow::Result<Upstream> {
        let metrics = {
            let mut registered = self.breaker_metrics.lock().unwrap_or_else(PoisonError::into_inner);
            match &*registered {
                Some(metrics) => metrics.clone(),
                None => registered.insert(BreakerMetrics::new(self.registry())?).clone(),
            }
        };
        let observer = Arc::new(Observer::new(target, breaker, metrics));
        let client = with_breaker(self.telemetry.client(base)?, breaker, is_failure, observer.clone())?;
        Ok(Upstream { client, breaker: observer })
    }

    /// Serves `router` until SIGTERM or SIGINT. Then `/ready` says no for `SHUTDOWN_DELAY_MS`, and requests in flight
    /// finish within `SHUTDOWN_GRACE_MS`.
    ///
    /// # Errors
    /// When the signals cannot be watched.
    pub async fn serve(&self, listener: TcpListener, router: Router) -> anyhow::Result<()> {
        self.serve_until(listener, router, stop_signal()?).await;
        Ok(())
    }

    /// As [`serve`](Self::serve), until `stop` resolves instead of a signal: several services in one process, as tests
    /// have them, stop one by one.
    pub async fn serve_until(&self, listener: TcpListener, router: Router, stop: impl Future<Output = ()>) {
        let (phases, delay, grace) = (self.phases.clone(), self.delay, self.grace);
        Server { router, phases, delay, grace, connections: GracefulShutdown::new() }.run(listener, stop).await;
    }
}

/// Around a traced handler: its problems have an `instance`, and it stops when its caller's time is over.
async fn in_time(request: Request, next: Next) -> Response {
    REQUEST_URI.scope(request.uri().clone(), async { deadline::limit(request, next).await.into_response() }).await
}

/// Around an untraced one.
async fn untimed(request: Request, next: Next) -> Response {
    REQUEST_URI.scope(request.uri().clone(), next.run(request)).await
}

type FixedHeader = SetResponseHeaderLayer<HeaderValue>;

/// The same on every response of a router.
fn security_headers(policy: &'static str) -> (FixedHeader, FixedHeader, FixedHeader) {
    let fixed = |name: HeaderName, value| SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value));
    (
        fixed(header::CONTENT_SECURITY_POLICY, policy),
        fixed(header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        fixed(header::REFERRER_POLICY, "no-referrer"),
    )
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
