//! What the system consists of: its processes, where each listens, and the settings by which they find each other.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use anyhow::{Context, bail};
use reqwest::Url;

use crate::config::Config;
use crate::services::{DICE_ROLLER, DIE_SERVICE, FRONTEND, Service, TRACE_VIEWER};

/// The system as it will be started.
#[derive(Debug)]
pub(crate) struct System {
    /// In the order of their start: each after those that it calls, and the receiver of spans first of all.
    pub(crate) parts: Vec<Part>,
    /// The environment of all of them, beside what the launcher's own holds.
    pub(crate) environment: Vec<(&'static str, String)>,
    /// Where spans go, if not to the trace viewer.
    pub(crate) other_backend: Option<Url>,
}

/// One process of the system.
#[derive(Debug)]
pub(crate) struct Part {
    /// What it runs.
    pub(crate) service: &'static Service,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Where this machine reaches it, without a slash at the end.
    pub(crate) url: String,
    /// Where it receives spans, over HTTP and gRPC: the trace viewer does.
    otlp_addresses: Vec<SocketAddr>,
}

impl System {
    /// The system of these settings.
    ///
    /// # Errors
    /// When the offset moves a port beyond the last.
    pub(crate) fn new(config: &Config) -> anyhow::Result<Self> {
        let at = |port: u16| {
            let moved = port.checked_add(config.port_offset).with_context(|| {
                format!("PORT_OFFSET {} moves port {port} beyond 65535: choose a smaller one", config.port_offset)
            })?;
            anyhow::Ok(SocketAddr::new(config.host, moved))
        };
        let part = |service: &'static Service| {
            let address = at(service.port)?;
            anyhow::Ok(Part { service, address, url: url(address), otlp_addresses: Vec::new() })
        };
        let otlp_address = at(config.otlp_port)?;
        let otlp_grpc_address = at(config.otlp_grpc_port)?;
        let trace_viewer = Part { otlp_addresses: vec![otlp_address, otlp_grpc_address], ..part(&TRACE_VIEWER)? };
        let (die_service, dice_roller, frontend) = (part(&DIE_SERVICE)?, part(&DICE_ROLLER)?, part(&FRONTEND)?);

        let (otlp, traces) = (&config.otel_exporter_otlp_endpoint, &config.otel_exporter_otlp_traces_endpoint);
        let mut environment = vec![
            ("HOST", config.host.to_string()),
            ("OTLP_PORT", otlp_address.port().to_string()),
            ("OTLP_GRPC_PORT", otlp_grpc_address.port().to_string()),
            // Always JSON: the launcher makes it readable.
            ("LOG_FORMAT", "json".to_owned()),
            ("SHUTDOWN_GRACE_MS", config.shutdown_grace_ms.to_string()),
            ("SHUTDOWN_DELAY_MS", config.shutdown_delay_ms.to_string()),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", otlp.as_ref().map_or_else(|| url(otlp_address), Url::to_string)),
        ];
        environment.extend(traces.iter().map(|url| ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", url.to_string())));
        let defaults = [
            (DIE_SERVICE.url_setting, die_service.url.clone()),
            (DICE_ROLLER.url_setting, dice_roller.url.clone()),
            ("TRACE_URL_TEMPLATE", format!("{}/trace/{{trace_id}}", trace_viewer.url)),
            // A person follows "View trace" at once; the standard's 5 s would be 5 s of an empty page.
            ("OTEL_BSP_SCHEDULE_DELAY", "200".to_owned()),
            ("OTEL_BLRP_SCHEDULE_DELAY", "200".to_owned()),
            // The viewer shows each span's log lines. Where only spans go elsewhere, nothing receives log records.
            ("OTEL_LOGS_EXPORTER", if traces.is_some() && otlp.is_none() { "none" } else { "otlp" }.to_owned()),
        ];
        let unset = |name: &str| std::env::var_os(name).is_none_or(|value| value.is_empty());
        environment.extend(defaults.into_iter().filter(|(name, _)| unset(name)));

        let other_backend = traces.clone().or(otlp.clone());
        let viewer = other_backend.is_none().then_some(trace_viewer);
        let parts = viewer.into_iter().chain([die_service, dice_roller, frontend]).collect();
        Ok(Self { parts, environment, other_backend })
    }

    /// Checks that the ports are free, before anything is started.
    ///
    /// # Errors
    /// One line that names every port that is taken, whose it would be, and what to do.
    pub(crate) fn check_ports(&self, config: &Config) -> anyhow::Result<()> {
        let mut taken = Vec::new();
        // Kept until all are tried, so that a port given twice is found too.
        let mut held = Vec::new();
        for part in &self.parts {
            let name = part.service.name;
            for &address in [part.address].iter().chain(&part.otlp_addresses) {
                match TcpListener::bind(address) {
                    Ok(listener) => held.push(listener),
                    Err(error) if error.kind() == ErrorKind::AddrInUse => {
                        taken.push(format!("{} ({name})", address.port()));
                    }
                    Err(error) => bail!("{name} cannot listen on {address}: {error}"),
                }
            }
        }
        if taken.is_empty() {
            return Ok(());
        }
        let (ports, are) = if taken.len() == 1 { ("port", "is") } else { ("ports", "are") };
        bail!(
            "{ports} {} {are} taken: stop what listens there, or move every port with `cargo run -- --port-offset {}`",
            taken.join(", "),
            config.port_offset.saturating_add(100)
        )
    }
}

/// One that listens on all addresses is reached at the loopback address.
fn url(listening: SocketAddr) -> String {
    let ip = match listening.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    format!("http://{}", SocketAddr::new(ip, listening.port()))
}
