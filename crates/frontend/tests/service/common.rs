//! frontend with the services behind it, in one process.
//!
//! dice-roller and die-service have metrics and a tracer of their own, so their SERVER and CLIENT spans are captured
//! apart from frontend's. Log lines, and the spans that `tracing` makes (the rolls), go to frontend's capture, because
//! its subscriber was set last.

use clap::Parser;
use die_service::Catalogue;
use frontend::{AppState, Config, app};
use opentelemetry_sdk::trace::SpanData;

pub(crate) use test_support::NOWHERE;
pub(crate) use test_support::service::{TestService, eventually, get, get_json, serve};

const DICE: &str = r#"{"fair":    {"faces": [1,2,3,4,5,6], "error_rate": 0},
                       "extreme": {"faces": [0,0,6,6,6,6], "error_rate": 0.5},
                       "broken":  {"faces": [1], "error_rate": 1}}"#;

/// All three services.
pub(crate) struct System {
    pub(crate) frontend: TestService,
    /// dice-roller, and die-service behind it.
    pub(crate) upstreams: TestService,
}

impl System {
    /// No simulated work and a fixed seed, unless `roller_flags` say otherwise.
    pub(crate) async fn start(flags: &[&str], roller_flags: &[&str]) -> Self {
        let mut die_service_url = String::new();
        let upstreams = TestService::start("dice-roller", &[], async |service| {
            let state = die_service::AppState::new(Catalogue::parse(DICE)?, service)?;
            die_service_url = serve(die_service::app(state, service)).await;
            let own = ["dice-roller", "--roll-seed=1", "--die-service-url", &die_service_url];
            let config = dice_roller::Config::try_parse_from([&own, roller_flags].concat())?;
            Ok(dice_roller::app(dice_roller::AppState::new(&config, service)?, service))
        })
        .await;
        let frontend = start_alone(&upstreams.url, &die_service_url, flags).await;
        Self { frontend, upstreams }
    }

    /// With rolls that take no time.
    pub(crate) async fn quick() -> Self {
        Self::start(&[], &["--roll-delay-max-ms=0"]).await
    }
}

/// Whatever has captured spans.
pub(crate) trait Spans {
    fn spans(&self) -> Vec<SpanData>;
}

impl Spans for TestService {
    fn spans(&self) -> Vec<SpanData> {
        (**self).spans()
    }
}

impl Spans for System {
    fn spans(&self) -> Vec<SpanData> {
        [self.frontend.spans(), self.upstreams.spans()].concat()
    }
}

/// frontend with upstreams that need not be any.
pub(crate) async fn start_alone(roller_url: &str, die_service_url: &str, flags: &[&str]) -> TestService {
    let config = config(roller_url, die_service_url, flags);
    start_with(&config, &[]).await
}

pub(crate) async fn start_with(config: &Config, telemetry_flags: &[&str]) -> TestService {
    let build = async |service: &service::Service| Ok(app(AppState::new(config, service)?, service));
    TestService::start("frontend", telemetry_flags, build).await
}

pub(crate) fn config(roller_url: &str, die_service_url: &str, flags: &[&str]) -> Config {
    let own = ["frontend", "--dice-roller-url", roller_url, "--die-service-url", die_service_url];
    Config::try_parse_from([&own, flags].concat()).unwrap()
}

pub(crate) async fn get_text(service: &TestService, path: &str) -> (u16, String) {
    let response = get(service, path).await;
    (response.status().as_u16(), response.text().await.unwrap())
}

/// The one span of that name and parent; the root where `parent` is none.
pub(crate) async fn child(captured: &impl Spans, parent: Option<&SpanData>, name: &str) -> SpanData {
    let parent = parent.map(|span| span.span_context.span_id());
    eventually(&format!("a span '{name}'"), || {
        let of_parent = move |span: &SpanData| match parent {
            Some(id) => span.parent_span_id == id,
            None => span.parent_span_id == opentelemetry::SpanId::INVALID,
        };
        let mut spans: Vec<_> =
            captured.spans().into_iter().filter(|span| span.name == name && of_parent(span)).collect();
        assert!(spans.len() < 2, "two spans '{name}'");
        spans.pop()
    })
    .await
}
