//! The full stack, whole and with each of its hops broken in turn.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use test_support::{NOWHERE, eventually, skip};

use crate::common::backend::Backend;
use crate::common::prometheus::Prometheus;
use crate::common::service::Service;
use crate::grafana::{self, Backends, Change};
use crate::loki::{Broken, Loki};
use crate::parts::{Services, Settings, doctor};
use crate::server::Server;
use crate::small::{Exemplars, collector, paused, span_metrics};

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

    let report = doctor(&whole, &["--stack", "--json", "--wait=30"]);
    let json = report.json();
    let broken: Vec<_> = json["hops"].as_array().unwrap().iter().filter(|hop| hop["state"] != "ok").collect();
    assert_eq!((report.status, broken), (Some(0), vec![]));
    assert!(report.hop("Grafana panels").1.ends_with("all with data"), "{json:#}");

    // The scope of a line is the module that wrote it.
    let modules = ["die_service::", "dice_roller::", "frontend::", "service::", "telemetry::"];
    let is_module = |scope: &String| modules.iter().any(|module| format!("{scope}::").starts_with(module));
    assert!(loki.scopes().len() > 5 && loki.scopes().iter().all(is_module), "{:?}", loki.scopes());

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

    // Stopped, and paused: the command is that of the very part.
    let (_listener, silent) = paused();
    let suspended = scraping(&whole_span_metrics, &[]);
    suspended.freeze();
    for (part, hop, container) in [
        ("prometheus", "Prometheus targets", "prometheus"),
        ("collector", "collector", "otel-collector"),
        ("tempo", "trace complete", "tempo"),
        ("loki", "log lines", "loki"),
        ("grafana", "Grafana data sources", "grafana"),
    ] {
        let start = format!(
            "`docker compose up -d {container}`; if it ends again, read its last log lines (`docker compose logs --tail 20 {container}`)"
        );
        cases.push(Case::new(part, NOWHERE, hop, &start));
        let url = if part == "prometheus" { &suspended.url } else { &silent };
        cases.push(Case::new(part, url, hop, &format!("(`docker compose unpause {container}`)")));
    }

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

    // Tempo's data source of a Grafana before 13 has no health check: the other hops are checked all the same.
    let not_implemented: Change = ("datasources/uid/tempo/health", |health| *health = not_implemented());
    let without_health = grafana::serve(backends(), Some(not_implemented));
    let flags = whole.iter().filter(|flag| !flag.starts_with("--grafana-url")).cloned();
    let flags: Vec<_> = flags.chain([format!("--grafana-url={}", without_health.url)]).collect();
    let report = doctor(&flags, &["--stack", "--json", "--wait=30"]);
    let (state, found) = report.hop("Grafana data sources");
    assert!(state == "ok" && found.contains("cannot ask for health (tempo)"), "{found}");
    assert_eq!(report.status, Some(0), "{:#}", report.json());
    let elsewhere = Backends { tempo: NOWHERE.to_owned(), ..backends() };
    let without_backend = grafana::serve(elsewhere, Some(not_implemented));
    let words = "/ready of its backend responds with 502";
    cases.push(Case::new("grafana", &without_backend.url, "Grafana data sources", words));

    let grafanas = grafana_changes().map(|(change, hop, words)| (grafana::serve(backends(), Some(change)), hop, words));
    cases.extend(grafanas.iter().map(|(grafana, hop, words)| Case::new("grafana", &grafana.url, hop, words)));

    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let (part, _) = case.flag.split_once('=').unwrap();
                    let flags = whole.iter().filter(|flag| !flag.starts_with(part)).chain([&case.flag]);
                    let report = doctor(&flags.cloned().collect::<Vec<_>>(), &["--stack", "--json", "--wait=5"]);
                    report.assert_breaks_at(case.hop, &[&case.words]);
                }
            });
        }
    });
}

/// Every way in which Grafana's provisioning is broken here, the hop that must be named, and the words about it.
fn grafana_changes() -> [(Change, &'static str, &'static str); 14] {
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
            ("datasources/uid/loki/health", |health| *health = json!({ "status": "ERROR", "message": "dial tcp" })),
            SOURCES,
            "start it: `docker compose up -d loki`; or correct the url",
        ),
        (
            ("datasources/uid/loki/health", |health| {
                *health = json!({ "message": "Plugin not registered", "messageId": "plugin.notRegistered", "statusCode": 404 });
            }),
            SOURCES,
            "has not loaded the plugin of its data source loki",
        ),
        (
            ("datasources/uid/prometheus/health", |health| {
                *health = json!({ "message": "Unable to find datasource plugin", "statusCode": 500 });
            }),
            SOURCES,
            "GF_PLUGINS_PREINSTALL_AUTO_UPDATE",
        ),
        (
            ("datasources/uid/prometheus/health", |health| {
                *health = json!({ "message": "database is locked", "statusCode": 500 })
            }),
            SOURCES,
            "Grafana responds with 500",
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

/// What Grafana responds for a data source without a health check.
fn not_implemented() -> Value {
    json!({ "message": "Method not implemented", "messageId": "plugin.notImplemented", "statusCode": 404 })
}

/// The query of the first panel.
fn first_query(response: &mut Value) -> &mut Value {
    &mut response["dashboard"]["panels"][1]["targets"][0]
}

/// The host and port of a URL.
fn address(url: &str) -> &str {
    url.trim_start_matches("http://")
}
