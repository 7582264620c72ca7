//! What the system consists of: its processes, where each listens, and the settings by which they find each other.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};

use anyhow::{Context, bail};
use reqwest::Url;
use telemetry::settings::invalid;

use crate::config::Config;
use crate::port_owner::port_owner;
use crate::services::{DICE_ROLLER, DIE_SERVICE, FRONTEND, Service, TRACE_VIEWER};

/// The system as it will be started.
#[derive(Debug)]
pub(crate) struct System {
    /// In the order of their start: each after those that it calls, and the receiver of spans first of all.
    pub(crate) parts: Vec<Part>,
    /// The environment of all of them, beside what the launcher's own holds.
    environment: Vec<(&'static str, String)>,
    /// What one part has beside that: its name, the variable, the value.
    of_one: Vec<(&'static str, &'static str, String)>,
    /// Where spans go, if not to the trace viewer.
    pub(crate) other_backend: Option<Url>,
    /// Added to every port.
    pub(crate) offset: u16,
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

impl Part {
    /// A process that others do not call.
    pub(crate) fn client(service: &'static Service) -> Self {
        let address = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0);
        Self { service, address, url: String::new(), otlp_addresses: Vec::new() }
    }
}

impl System {
    /// The system of these settings.
    ///
    /// # Errors
    /// When nothing can listen at `HOST`, or the offset moves a port beyond the last.
    pub(crate) fn new(config: &Config) -> anyhow::Result<Self> {
        let host = resolve(&config.host)?;
        let at = |port: u16| {
            let moved = port.checked_add(config.port_offset).with_context(|| {
                format!("PORT_OFFSET {} moves port {port} beyond 65535: choose a smaller one", config.port_offset)
            })?;
            anyhow::Ok(SocketAddr::new(host, moved))
        };
        let part = |service: &'static Service| {
            let address = at(service.port)?;
            anyhow::Ok(Part { service, address, url: url(address), otlp_addresses: Vec::new() })
        };
        let receiving = |port: u16| match port {
            0 => Ok(TcpListener::bind((host, 0)).and_then(|listener| listener.local_addr())?),
            port => at(port),
        };
        let (otlp_address, otlp_grpc_address) = (receiving(config.otlp_port)?, receiving(config.otlp_grpc_port)?);
        let trace_viewer = Part { otlp_addresses: vec![otlp_address, otlp_grpc_address], ..part(&TRACE_VIEWER)? };
        let (die_service, dice_roller, frontend) = (part(&DIE_SERVICE)?, part(&DICE_ROLLER)?, part(&FRONTEND)?);

        let (otlp, traces) = (&config.otel_exporter_otlp_endpoint, &config.otel_exporter_otlp_traces_endpoint);
        let mut environment = vec![
            ("HOST", host.to_string()),
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
        Ok(Self { parts, environment, of_one: Vec::new(), other_backend, offset: config.port_offset })
    }

    /// The environment of `part`, beside what the launcher's own holds.
    pub(crate) fn environment_of(&self, part: &Part) -> Vec<(&'static str, String)> {
        let port = ("PORT", part.address.port().to_string());
        let of_one = self.of_one.iter().filter(|(name, ..)| *name == part.service.name);
        let of_one = of_one.map(|(_, variable, value)| (*variable, value.clone()));
        self.environment.iter().cloned().chain([port]).chain(of_one).collect()
    }

    /// Adds a setting, of one part or of all.
    pub(crate) fn set(&mut self, of: Option<&'static str>, variable: &'static str, value: String) {
        match of {
            Some(name) => self.of_one.push((name, variable, value)),
            None => self.environment.push((variable, value)),
        }
    }

    /// Where this machine reaches the part of that name.
    pub(crate) fn url_of(&self, service: &Service) -> &str {
        self.parts.iter().find(|part| part.service.name == service.name).map_or("", |part| &part.url)
    }

    /// Reads the settings of every part as its process will, before anything is started.
    ///
    /// # Errors
    /// The line with which the first of those processes would stop.
    pub(crate) fn check_settings(&self) -> anyhow::Result<()> {
        self.parts.iter().try_for_each(|part| (part.service.check)(&self.environment_of(part)))
    }

    /// Checks that the ports are free, before anything is started. `command` is what was called, for the message.
    ///
    /// # Errors
    /// One line that names every port that is taken, whose it would be, which program has it, and what to do.
    pub(crate) fn check_ports(&self, config: &Config, command: &str) -> anyhow::Result<()> {
        let mut taken = Vec::new();
        // Kept until all are tried, so that a port given twice is found too.
        let mut held = Vec::new();
        for part in &self.parts {
            let name = part.service.name;
            for &address in [part.address].iter().chain(&part.otlp_addresses) {
                match TcpListener::bind(address) {
                    Ok(listener) => held.push(listener),
                    Err(error) if error.kind() == ErrorKind::AddrInUse => {
                        let by = match port_owner(address.port()) {
                            Some((_, id)) if u32::try_from(id).is_ok_and(|id| id == std::process::id()) => {
                                ", given twice".to_owned()
                            }
                            Some((program, id)) => format!(", taken by {program}, process {id}"),
                            None => String::new(),
                        };
                        taken.push(format!("{} ({name}{by})", address.port()));
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
            "{ports} {} {are} taken: stop what listens there, or move every port with `{command} --port-offset {}`",
            taken.join(", "),
            config.port_offset.saturating_add(100)
        )
    }
}

/// The first address of that name on which a process of this machine can listen. The viewer takes no name, and all parts
/// must get the same address.
fn resolve(host: &str) -> clap::error::Result<IpAddr> {
    let mut why = "the name has no address".to_owned();
    match (host, 0).to_socket_addrs() {
        Ok(addresses) => {
            for address in addresses {
                match TcpListener::bind(address) {
                    Ok(_) => return Ok(address.ip()),
                    Err(error) => why = error.to_string(),
                }
            }
        }
        Err(error) => why = error.to_string(),
    }
    let allowed = "allowed: an address of this machine such as 127.0.0.1 or 0.0.0.0, or a name of one";
    Err(invalid("HOST (--host)", host, format!("{why}; {allowed}")))
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
