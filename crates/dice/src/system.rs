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
    next_offset: u16,
}

/// One process of the system.
#[derive(Debug)]
pub(crate) struct Part {
    /// What it runs.
    pub(crate) service: &'static Service,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Where it receives spans: the trace viewer does.
    otlp_address: Option<SocketAddr>,
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
        let part =
            |service: &'static Service| anyhow::Ok(Part { service, address: at(service.port)?, otlp_address: None });
        let otlp_address = at(config.otlp_port)?;
        let trace_viewer = Part { otlp_address: Some(otlp_address), ..part(&TRACE_VIEWER)? };
        let (die_service, dice_roller, frontend) = (part(&DIE_SERVICE)?, part(&DICE_ROLLER)?, part(&FRONTEND)?);

        let mut environment = vec![
            ("HOST", config.host.to_string()),
            ("OTLP_PORT", otlp_address.port().to_string()),
            // Always JSON: the launcher makes it readable.
            ("LOG_FORMAT", "json".to_owned()),
            ("SHUTDOWN_GRACE_MS", config.shutdown_grace_ms.to_string()),
        ];
        let unset = |name: &str| std::env::var_os(name).is_none_or(|value| value.is_empty());
        let wiring = [
            (DIE_SERVICE.url_setting, die_service.url()),
            (DICE_ROLLER.url_setting, dice_roller.url()),
            ("TRACE_URL_TEMPLATE", format!("{}/trace/{{trace_id}}", trace_viewer.url())),
            // A person follows "View trace" at once; the standard's 5 s would be 5 s of an empty page.
            ("OTEL_BSP_SCHEDULE_DELAY", "200".to_owned()),
        ];
        environment.extend(wiring.into_iter().filter(|(name, _)| unset(name)));
        let endpoint = config.otel_exporter_otlp_endpoint.as_ref().map_or_else(|| url(otlp_address), Url::to_string);
        environment.push(("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint));
        environment.extend(
            config
                .otel_exporter_otlp_traces_endpoint
                .iter()
                .map(|url| ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", url.to_string())),
        );

        let other_backend =
            config.otel_exporter_otlp_traces_endpoint.clone().or(config.otel_exporter_otlp_endpoint.clone());
        let viewer = other_backend.is_none().then_some(trace_viewer);
        Ok(Self {
            parts: viewer.into_iter().chain([die_service, dice_roller, frontend]).collect(),
            environment,
            other_backend,
            next_offset: config.port_offset.saturating_add(100),
        })
    }

    /// Checks that the ports are free, before anything is started.
    ///
    /// # Errors
    /// One line that names every port that is taken, whose it would be, and what to do.
    pub(crate) fn check_ports(&self) -> anyhow::Result<()> {
        let mut taken = Vec::new();
        // Kept until all are tried, so that a port given twice is found too.
        let mut held = Vec::new();
        for part in &self.parts {
            let name = part.service.name;
            for address in [Some(part.address), part.otlp_address].into_iter().flatten() {
                match TcpListener::bind(address) {
                    Ok(listener) => held.push(listener),
                    Err(error) if error.kind() == ErrorKind::AddrInUse => {
                        taken.push(format!("{} ({name})", address.port()));
                    }
                    Err(error) => {
                        return Err(error).with_context(|| format!("{name} cannot listen on {address}"));
                    }
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
            self.next_offset
        )
    }
}

impl Part {
    /// Where this machine reaches it, without a slash at the end.
    pub(crate) fn url(&self) -> String {
        url(self.address)
    }

    /// Where this machine reaches it: one that listens on all addresses is reached at the loopback address.
    pub(crate) fn reached_at(&self) -> SocketAddr {
        reached_at(self.address)
    }
}

fn reached_at(listening: SocketAddr) -> SocketAddr {
    let ip = match listening.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listening.port())
}

fn url(listening: SocketAddr) -> String {
    format!("http://{}", reached_at(listening))
}
