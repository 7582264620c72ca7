//! Ports that are free, and one that always is.

use std::net::TcpStream;
use std::sync::atomic::{AtomicU16, Ordering};

/// An address where nobody listens. Port 1 is reserved and needs root, so no test running at the same time gets it, as
/// could happen with a port that was free a moment ago.
pub const NOWHERE: &str = "http://127.0.0.1:1";

/// A port that stays free until it is used, even when a killed process comes back to it: it is below those that the
/// system gives to clients, and each call returns another.
pub fn free() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let next = u32::from(NEXT.fetch_add(1, Ordering::Relaxed)) + std::process::id() * 61;
        let port = 20_000 + (next % 12_000) as u16;
        if is_free(port) {
            return port;
        }
    }
}

/// Whether nobody listens on this port of the loopback address. To bind it would tell more, but a process that another thread
/// starts at that moment would hold the socket until it has begun to run, and the port would be taken for as long.
pub fn is_free(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_err()
}
