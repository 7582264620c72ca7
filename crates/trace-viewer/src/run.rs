//! The life of the process: listeners bound, both served, drained when asked to stop.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::serve::Listener;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_io_timeout::TimeoutStream;
use tracing::info;

use crate::config::Config;
use crate::store::{Limits, Store};
use crate::{app, ingest, log};

/// How long requests in flight may take to finish after a stop was asked for. Axum's own drain has no end: one half
/// sent request would hold the process for ever.
const DRAIN: Duration = Duration::from_secs(5);

/// How long a connection may be silent: longer than exporters wait between two batches.
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
    let (mut terminated, mut interrupted) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    info!(
        address = %pages.local_addr()?,
        otlp_address = %otlp.local_addr()?,
        "Trace viewer starting up"
    );

    let store = Arc::new(Store::new(Limits { spans: config.max_spans, bytes: config.max_bytes }));
    let (stop, _) = watch::channel(false);
    let stopping = || {
        let mut stop = stop.subscribe();
        async move { stop.wait_for(|asked| *asked).await.map_or((), |_| ()) }
    };
    let served = async {
        tokio::try_join!(
            axum::serve(Impatient(pages), app::app(store.clone())).with_graceful_shutdown(stopping()),
            axum::serve(Impatient(otlp), ingest::app(store.clone())).with_graceful_shutdown(stopping()),
        )
    };
    let asked_to_stop = async {
        tokio::select! {
            _ = terminated.recv() => {}
            _ = interrupted.recv() => {}
        }
        stop.send_replace(true);
        tokio::time::sleep(DRAIN).await;
    };
    let drained = tokio::select! {
        ended = served => ended.map(|_| true).context("a listener failed")?,
        () = asked_to_stop => false,
    };
    info!(drained, "Trace viewer stopped");
    Ok(())
}

/// A listener whose connections end when the other side neither sends nor takes anything for [`IDLE`].
struct Impatient(TcpListener);

impl Listener for Impatient {
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
