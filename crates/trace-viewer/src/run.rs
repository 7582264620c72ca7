//! The process from start to stop: bind both ports, serve, drain.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::serve::Listener;
use tokio::net::{TcpListener, TcpStream};
use tokio_io_timeout::TimeoutStream;
use tracing::info;

use crate::config::Config;
use crate::store::{Limits, Store};
use crate::{app, ingest, log};

/// How long requests in flight may take after SIGTERM or SIGINT. axum's own drain has no limit: one half-sent request
/// would keep the process running.
const DRAIN: Duration = Duration::from_secs(5);

/// A connection is closed when nothing is sent or received for this long. Exporters pause for less between two batches.
const IDLE: Duration = Duration::from_secs(30);

/// Runs the viewer until SIGTERM or SIGINT and returns when it has stopped cleanly.
///
/// # Errors
/// The process cannot start: a port is taken, or the address is not this machine's.
pub fn run(config: Config) -> anyhow::Result<()> {
    log::start(&config)?;
    tokio::runtime::Runtime::new().context("the runtime cannot start")?.block_on(serve(config))
}

async fn serve(config: Config) -> anyhow::Result<()> {
    let pages = bind(&config, config.port, "PORT").await?;
    let otlp = bind(&config, config.otlp_port, "OTLP_PORT").await?;
    // Before the line with the ports: whoever reads it may send SIGTERM at once.
    let (stop, stop_pages, stop_otlp) = (service::stop_signal()?, service::stop_signal()?, service::stop_signal()?);
    info!(address = %pages.local_addr()?, otlp_address = %otlp.local_addr()?, "Trace viewer starting up");

    let store = Arc::new(Store::new(Limits { spans: config.max_spans, bytes: config.max_bytes }));
    let pages = axum::serve(IdleTimeout(pages), app::app(store.clone())).with_graceful_shutdown(stop_pages);
    let otlp = axum::serve(IdleTimeout(otlp), ingest::app(store)).with_graceful_shutdown(stop_otlp);
    let drained = tokio::select! {
        served = async { tokio::try_join!(pages, otlp) } => served.map(|_| true).context("a listener failed")?,
        () = async { stop.await; tokio::time::sleep(DRAIN).await } => false,
    };
    info!(drained, "Trace viewer stopped");
    Ok(())
}

/// Closes connections that are idle for [`IDLE`], which `axum::serve` does not.
struct IdleTimeout(TcpListener);

impl Listener for IdleTimeout {
    type Io = Pin<Box<TimeoutStream<TcpStream>>>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let (stream, peer) = Listener::accept(&mut self.0).await;
        let mut stream = TimeoutStream::new(stream);
        stream.set_read_timeout(Some(IDLE));
        stream.set_write_timeout(Some(IDLE));
        (Box::pin(stream), peer)
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.0.local_addr()
    }
}

async fn bind(config: &Config, port: u16, setting: &str) -> anyhow::Result<TcpListener> {
    let address = SocketAddr::new(config.host, port);
    TcpListener::bind(address).await.with_context(|| {
        format!("{setting}: cannot listen on {address} (stop what listens there, or choose another {setting})")
    })
}
