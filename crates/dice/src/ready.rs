//! Whether a service is ready: `GET /ready`, as an orchestrator does.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Returns once `GET /ready` at `url` is 200.
pub(crate) async fn ready(url: &str) {
    while !is_ready(url).await.unwrap_or(false) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// One request and the status line of its response; an HTTP client would first set up TLS.
async fn is_ready(url: &str) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(url.trim_start_matches("http://")).await?;
    stream.write_all(b"GET /ready HTTP/1.0\r\n\r\n").await?;
    let mut first = [0; "HTTP/1.0 200".len()];
    stream.read_exact(&mut first).await?;
    Ok(first.ends_with(b" 200"))
}
