//! Is a service ready? Asked over HTTP, as an orchestrator would.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Returns once `GET /ready` at `address` answers 200.
pub(crate) async fn ready(address: SocketAddr) {
    while !answers(address).await.unwrap_or(false) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// One question, and the first line of its answer: all that an HTTP client would be needed for here.
async fn answers(address: SocketAddr) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"GET /ready HTTP/1.0\r\n\r\n").await?;
    let mut first = [0; "HTTP/1.0 200".len()];
    stream.read_exact(&mut first).await?;
    Ok(first.ends_with(b" 200"))
}
