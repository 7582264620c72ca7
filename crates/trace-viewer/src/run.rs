//! The process from start to stop: bind both ports, serve, drain.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tracing::info;

use crate::config::Config;
use crate::query::QueryPool;
use crate::receive::Receiver;
use crate::serve::{Connections, Version};
use crate::store::{Limits, Store};
use crate::{app, grpc, ingest, log, origin};

/// How long requests in flight may take after SIGTERM or SIGINT.
const DRAIN: Duration = Duration::from_secs(5);

/// Runs the viewer until SIGTERM or SIGINT and returns when it has stopped cleanly.
///
/// # Errors
/// The process cannot start: a port is taken, or the address is not this machine's.
pub fn run(config: Config) -> anyhow::Result<()> {
    log::start(&config)?;
    let runtime = tokio::runtime::Runtime::new().context("the runtime cannot start")?;
    let served = runtime.block_on(serve(config));
    // A message that is being decoded would hold up the exit.
    runtime.shutdown_background();
    served
}

async fn serve(config: Config) -> anyhow::Result<()> {
    let pages = bind(&config, config.port, "PORT").await?;
    let otlp = bind(&config, config.otlp_port, "OTLP_PORT").await?;
    let otlp_grpc = bind(&config, config.otlp_grpc_port, "OTLP_GRPC_PORT").await?;
    // Before the line with the ports: whoever reads it may send SIGTERM at once.
    let stop = service::stop_signal()?;
    info!(
        address = %pages.local_addr()?,
        otlp_address = %otlp.local_addr()?,
        otlp_grpc_address = %otlp_grpc.local_addr()?,
        "Trace viewer starting up"
    );

    let store = Arc::new(Store::new(Limits { spans: config.max_spans, bytes: config.max_bytes }));
    let receiver = Receiver::new(store.clone());
    let pool = QueryPool::new(Duration::from_millis(config.query_timeout_ms));
    let page_routes = app::app(store, pool).merge(ingest::from_pages(receiver.clone()));
    let page_routes = origin::only_known_hosts(page_routes, config.allowed_hosts.into());
    let origins: origin::Origins = config.cors_allowed_origins.into();
    let http_routes = ingest::app(receiver.clone(), origins.clone());
    let grpc_routes = grpc::app(receiver, origins);
    let connections = Connections::new();
    let accept = async {
        tokio::join!(
            connections.accept(&pages, &page_routes, Version::Http1LongHeads),
            connections.accept(&otlp, &http_routes, Version::Http1),
            connections.accept(&otlp_grpc, &grpc_routes, Version::Http2),
        )
    };
    tokio::select! {
        _ = accept => {}
        () = stop => {}
    }
    drop((pages, otlp, otlp_grpc));
    let drained = tokio::time::timeout(DRAIN, connections.drain()).await.is_ok();
    info!(drained, "Trace viewer stopped");
    Ok(())
}

async fn bind(config: &Config, port: u16, setting: &str) -> anyhow::Result<TcpListener> {
    let address = SocketAddr::new(config.host, port);
    TcpListener::bind(address).await.with_context(|| {
        format!("{setting}: cannot listen on {address} (stop what listens there, or choose another {setting})")
    })
}
