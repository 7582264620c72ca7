//! The full stack, whole and with each of its hops broken in turn.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use test_support::{eventually, skip};

use crate::common::backend::Backend;
use crate::common::prometheus::Prometheus;
use crate::common::service::Service;
use crate::grafana::{self, Backends, Change};
use crate::loki::{Broken, Loki};
use crate::parts::{Services, Settings, doctor};
use crate::server::Server;
use crate::small::{Exemplars, collector, span_metrics};

/// How many doctors run at a time; each mostly waits.
const AT_ONCE: usize = 4;

/// What is broken: the flag that names the broken part in place of the whole one, the hop that must be named, and the
/// words about it.
struct Case {
    flag: String,
    hop: &'static str,
    words: String,
}

impl Case {
    fn new(part: &str, url: &str, hop: &'static str, words: &str) -> Self {
        Self { flag: format!("--{part}-url={url}"), hop, words: words.to_owned() }
    }
}

/// All hops in one test: the stack takes longer to start than any of them to break.
#[test]
fn whole_stack_passes_and_each_broken_hop_is_named() {
    if !skip::has_prometheus("prometheus") {
        return;
    }
    let (viewer, loki) = (Backend::viewer(), Loki::default());
    let whole_loki = loki.serve(Broken::No);
    let logs = format!("{}/otlp/v1/logs", whole_loki.url);
    let services = Services::start(
        &viewer.otlp,
        Settings {
            all: &[("OTEL_LOGS_EXPORTER", "otlp"), ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", &*logs)],
            die_service: &[("OTEL_RESOURCE_ATTRIBUTES", "container.name=die-service-stage4")],
            dice_roller: &[("OTEL_RESOURCE_ATTRIBUTES", "container.name=dice-roller-stage4")],
            frontend: &[("OTEL_RESOURCE_ATTRIBUTES", "container.name=frontend-stage4")],
        },
    );
    let scraping = |span_metrics: &Server, changes: &[(&str, &str)]| {
        let targets = [
            ("die-service-stage4:8106", address(&services.die_service.url)),
            ("dice-roller-stage4:8107", address(&services.dice_roller.url)),
            ("frontend-stage4:8108", address(&services.frontend.url)),
            ("tempo:3200", address(&span_metrics.url)),
        ];
        let prometheus = Prometheus::start(&[&targets[..], changes].concat());
        let metric = "traces_spanmetrics_latency_bucket";
        eventually(metric, || (!prometheus.query(metric).is_empty()).then_some(()));
        prometheus
    };
    let whole_span_metrics = span_metrics(&viewer.url, Exemplars::Newest);
    let whole_prometheus = scraping(&whole_span_metrics, &[]);
    let whole_collector = collector(true);
    let backends = || Backends {
        prometheus: whole_prometheus.url.clone(),
        tempo: viewer.url.clone(),
        loki: whole_loki.url.clone(),
    };
    let whole_grafana = grafana::serve(backends(), None);
    let whole = [
        services.flags(),
        vec![
            format!("--tempo-url={}", viewer.url),
            format!("--collector-url={}", whole_collector.url),
            format!("--prometheus-url={}", whole_prometheus.url),
            format!("--loki-url={}", whole_loki.url),
            format!("--grafana-url={}", whole_grafana.url),
        ],
    ]
    .concat();

    let report = doctor(&whole, &["--json", "--wait=30"]);
    let json = report.json();
    let broken: Vec<_> = json["hops"].as_array().unwrap().iter().filter(|hop| hop["state"] != "ok").collect();
    assert_eq!((report.status, broken), (Some(0), vec![]));
    assert!(report.hop("Grafana panels").1.ends_with("all with data"), "{json:#}");

    let mut cases = Vec::new();
    let dice_roller = address(&services.dice_roller.url);
    // Running, but another process than the one that the batch goes through.
    let other = Service::start("dice-roller", &[]);
    let prometheus = [
        (dice_roller, "127.0.0.1:1", "Prometheus targets", "dice-roller-stage4 at http://127.0.0.1:1/metrics is down"),
        ("job_name: frontend-stage4", "job_name: other", "Prometheus targets", "no target of job frontend-stage4"),
        (dice_roller, address(&other.url), "Prometheus series", "dice-roller-stage4"),
    ]
    .map(|(right, wrong, hop, words)| (scraping(&whole_span_metrics, &[(right, wrong)]), hop, words));
    cases
        .extend(prometheus.iter().map(|(prometheus, hop, words)| Case::new("prometheus", &prometheus.url, hop, words)));

    let unhealthy = collector(false);
    cases.push(Case::new("collector", &unhealthy.url, "collector", "responds with 503"));

    let lokis = [
        (Broken::Drops("die-service"), "'Die specification requested' (die-service)"),
        (Broken::MixesSpans, "not that of async_roll_4"),
        (Broken::Fails, "Loki responds with 500"),
    ]
    .map(|(broken, words)| (loki.serve(broken), words));
    cases.extend(lokis.iter().map(|(loki, words)| Case::new("loki", &loki.url, "log lines", words)));

    let exemplars = [
        (Exemplars::None, "no exemplar with a trace_id since the batch"),
        (Exemplars::Unknown, "is not in the trace backend"),
    ]
    .map(|(exemplars, words)| {
        let span_metrics = span_metrics(&viewer.url, exemplars);
        let prometheus = scraping(&span_metrics, &[]);
        (span_metrics, prometheus, words)
    });
    cases.extend(
        exemplars.iter().map(|(_, prometheus, words)| Case::new("prometheus", &prometheus.url, "exemplar", words)),
    );

    let grafanas = grafana_changes().map(|(change, hop, words)| (grafana::serve(backends(), Some(change)), hop, words));
    cases.extend(grafanas.iter().map(|(grafana, hop, words)| Case::new("grafana", &grafana.url, hop, words)));

    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let (part, _) = case.flag.split_once('=').unwrap();
                    let flags = whole.iter().filter(|flag| !flag.starts_with(part)).chain([&case.flag]);
                    let report = doctor(&flags.cloned().collect::<Vec<_>>(), &["--json", "--wait=5"]);
                    report.assert_breaks_at(case.hop, &[&case.words]);
                }
            });
        }
    });
}

/// Every way in which Grafana's provisioning is broken here, the hop that must be named, and the words about it.
fn grafana_changes() -> [(Change, &'static str, &'static str); 10] {
    const SOURCES: &str = "Grafana data sources";
    const LINKS: &str = "Grafana links";
    const PANELS: &str = "Grafana panels";
    const TEMPO: &str = "datasources/uid/tempo";
    const LOKI: &str = "datasources/uid/loki";
    const DASHBOARD: &str = "dashboards/uid/stage4-dice-roller";
    [
        ((LOKI, |source| *source = Value::Null), SOURCES, "no data source with uid loki"),
        (
            ("datasources/uid/tempo/health", |health| *health = json!({ "status": "ERROR", "message": "dial tcp" })),
            SOURCES,
            "tempo is not healthy: dial tcp",
        ),
        (
            (TEMPO, |source| source["jsonData"]["tracesToLogsV2"]["query"] = "{${__tags}} | trace_id=\"0\"".into()),
            LINKS,
            "trace → logs leads to nothing",
        ),
        (
            (TEMPO, |source| source["jsonData"]["tracesToMetrics"]["tags"][0]["value"] = "svc".into()),
            LINKS,
            "trace → metrics leads to nothing",
        ),
        ((TEMPO, |source| source["jsonData"]["serviceMap"] = Value::Null), LINKS, "service map is not there"),
        ((LOKI, |source| source["jsonData"]["derivedFields"] = Value::Null), LINKS, "log → trace is not there"),
        (
            ("datasources/uid/prometheus", |source| {
                source["jsonData"]["exemplarTraceIdDestinations"][0]["name"] = "traceID".into();
            }),
            LINKS,
            "exemplar → trace is not there",
        ),
        ((DASHBOARD, |response| *response = Value::Null), "Grafana dashboard", "responds with 404"),
        ((DASHBOARD, |response| first_query(response)["expr"] = "upp".into()), PANELS, "have no data: 'Services up'"),
        (
            (DASHBOARD, |response| first_query(response)["expr"] = "sum(".into()),
            PANELS,
            "'Services up': the query sum( fails",
        ),
    ]
}

/// The query of the first panel.
fn first_query(response: &mut Value) -> &mut Value {
    &mut response["dashboard"]["panels"][1]["targets"][0]
}

/// The host and port of a URL.
fn address(url: &str) -> &str {
    url.trim_start_matches("http://")
}
