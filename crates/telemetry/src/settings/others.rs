//! The variables of the OpenTelemetry specification that do not work here, so that none is ignored in silence.

use std::ffi::OsString;

use clap::{Arg, Args, Command};

use super::{Otel, invalid};

/// Names that cannot work: without what they ask for, telemetry would go elsewhere or nowhere.
const STOPS: [(&[&str], &str); 3] = [
    (
        &["OTEL_CONFIG_FILE", "OTEL_EXPERIMENTAL_CONFIG_FILE"],
        "allowed: unset; declarative configuration is not supported, each setting is a variable",
    ),
    (
        &[
            "OTEL_EXPORTER_OTLP_CERTIFICATE",
            "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE",
            "OTEL_EXPORTER_OTLP_LOGS_CERTIFICATE",
        ],
        "allowed: unset; SSL_CERT_FILE names the file of trusted certificates",
    ),
    (
        &[
            "OTEL_EXPORTER_OTLP_CLIENT_KEY",
            "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
            "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY",
            "OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE",
            "OTEL_EXPORTER_OTLP_LOGS_CLIENT_KEY",
            "OTEL_EXPORTER_OTLP_LOGS_CLIENT_CERTIFICATE",
        ],
        "allowed: unset; client certificates are not supported, OTEL_EXPORTER_OTLP_HEADERS is",
    ),
];

/// Names that have no effect: all else works without what they ask for.
const IGNORED: [(&[&str], &str); 9] = [
    (&["OTEL_ENTITIES"], "OTEL_RESOURCE_ATTRIBUTES describes the resource"),
    (&["OTEL_LOG_LEVEL"], "RUST_LOG also sets the level of the SDK's lines: opentelemetry=debug"),
    (
        &[
            "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT",
            "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT",
            "OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT",
            "OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT",
        ],
        "the SDK for Rust has no such limit",
    ),
    (
        &[
            "OTEL_EXPORTER_OTLP_INSECURE",
            "OTEL_EXPORTER_OTLP_TRACES_INSECURE",
            "OTEL_EXPORTER_OTLP_METRICS_INSECURE",
            "OTEL_EXPORTER_OTLP_LOGS_INSECURE",
            "OTEL_EXPORTER_OTLP_SPAN_INSECURE",
            "OTEL_EXPORTER_OTLP_METRIC_INSECURE",
        ],
        "it is for gRPC: the scheme of the endpoint decides",
    ),
    (
        &[
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
            "OTEL_EXPORTER_OTLP_METRICS_HEADERS",
            "OTEL_EXPORTER_OTLP_METRICS_TIMEOUT",
            "OTEL_EXPORTER_OTLP_METRICS_COMPRESSION",
            "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL",
            "OTEL_EXPORTER_OTLP_METRICS_CERTIFICATE",
            "OTEL_EXPORTER_OTLP_METRICS_CLIENT_KEY",
            "OTEL_EXPORTER_OTLP_METRICS_CLIENT_CERTIFICATE",
            "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
            "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
            "OTEL_METRIC_EXPORT_INTERVAL",
            "OTEL_METRIC_EXPORT_TIMEOUT",
        ],
        "metrics are at /metrics, and no exporter sends them",
    ),
    (&["OTEL_METRICS_EXEMPLAR_FILTER"], "the metrics have no exemplars"),
    (
        &["OTEL_EXPORTER_PROMETHEUS_HOST", "OTEL_EXPORTER_PROMETHEUS_PORT"],
        "/metrics is at HOST and PORT, as the service's other routes are",
    ),
    (
        &["OTEL_EXPORTER_ZIPKIN_ENDPOINT", "OTEL_EXPORTER_ZIPKIN_TIMEOUT", "OTEL_EXPORTER_ZIPKIN_PROTOCOL"],
        "there is no exporter for Zipkin",
    ),
    (&["OTEL_SEMCONV_STABILITY_OPT_IN"], "only the stable conventions are implemented"),
];

/// A name that differs from a known one by this many letters, or fewer, is most likely a slip.
const SLIP: usize = 2;

/// Stops at a variable that cannot work.
pub(super) fn check() -> clap::error::Result<()> {
    for (name, value) in set() {
        if let Some(why) = find(&STOPS, &name) {
            return Err(invalid(&name, &value.to_string_lossy(), why));
        }
    }
    Ok(())
}

/// The variables that are set and have no effect, each with the reason, in the order of their names.
pub(crate) fn ignored() -> Vec<(String, String)> {
    let mut ignored: Vec<_> = set()
        .filter_map(|(name, _)| match find(&IGNORED, &name) {
            Some(why) => Some((name, why.to_owned())),
            None => intended(&name).map(|meant| (name, format!("there is none of that name; is {meant} meant?"))),
        })
        .collect();
    ignored.sort();
    ignored
}

/// An empty one counts as unset, as the specification says.
fn set() -> impl Iterator<Item = (String, OsString)> {
    let variables = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
    variables.filter(|(name, value)| name.starts_with("OTEL_") && !value.is_empty())
}

fn find(table: &[(&[&str], &'static str)], name: &str) -> Option<&'static str> {
    table.iter().find(|(names, _)| names.contains(&name)).map(|(_, why)| *why)
}

/// The known name that an unknown one resembles. Other unknown names are not reported: Kubernetes sets
/// `OTEL_COLLECTOR_SERVICE_HOST` for a service of that name, and SDKs of other languages have variables of their own.
fn intended(name: &str) -> Option<String> {
    let works = Otel::augment_args(Command::new(""));
    let works = works.get_arguments().filter_map(Arg::get_env).filter_map(|name| name.to_str());
    let others = STOPS.iter().chain(&IGNORED).flat_map(|(names, _)| names.iter().copied());
    let distance = |known: &&str| strsim::osa_distance(known, name);
    let nearest = works.chain(others).min_by_key(distance)?;
    (1..=SLIP).contains(&distance(&nearest)).then(|| nearest.to_owned())
}
