//! A stub of die-service that costs as little as a response can: the same bytes for every request.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

const BODY: &str = r#"{"identifier":"fair","specification":{"faces":[1,2,3,4,5,6],"error_rate":0.0}}"#;

/// A running stub; it ends when dropped.
pub(crate) struct Die {
    address: SocketAddr,
    _server: JoinSet<()>,
}

impl Die {
    /// # Errors
    /// When it cannot listen.
    pub(crate) fn start(runtime: &Runtime) -> anyhow::Result<Self> {
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
        let address = listener.local_addr()?;
        let mut server = JoinSet::new();
        server.spawn_on(serve(listener), runtime.handle());
        Ok(Self { address, _server: server })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

async fn serve(listener: TcpListener) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(respond(stream));
    }
}

async fn respond(mut stream: TcpStream) -> std::io::Result<()> {
    let response =
        format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{BODY}", BODY.len());
    stream.set_nodelay(true)?;
    let mut request = Vec::new();
    while stream.read_buf(&mut request).await? > 0 {
        // A client here waits for its response before it sends the next request, and a GET ends with its head.
        if request.ends_with(b"\r\n\r\n") {
            request.clear();
            stream.write_all(response.as_bytes()).await?;
        }
    }
    Ok(())
}
