//! Which program listens on a port, for the message that it is taken.

/// Its name and process id, where the system tells: on Linux for processes of the same user, for root all.
#[cfg(target_os = "linux")]
pub(crate) fn port_owner(port: u16) -> Option<(String, i32)> {
    use procfs::net::{TcpNetEntry, TcpState, tcp, tcp6};
    use procfs::process::{FDTarget, all_processes};

    let listens = |entry: &TcpNetEntry| entry.state == TcpState::Listen && entry.local_address.port() == port;
    let entries = [tcp(), tcp6()].into_iter().flatten().flatten();
    let sockets: Vec<u64> = entries.filter(listens).map(|entry| entry.inode).collect();
    all_processes().ok()?.flatten().find_map(|process| {
        let mut files = process.fd().ok()?.flatten();
        files.find(|file| matches!(file.target, FDTarget::Socket(socket) if sockets.contains(&socket)))?;
        Some((process.stat().ok()?.comm, process.pid))
    })
}

/// Elsewhere it takes more than a file to find out.
#[cfg(not(target_os = "linux"))]
pub(crate) fn port_owner(_: u16) -> Option<(String, i32)> {
    None
}
