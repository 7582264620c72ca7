//! A line between two processes that can fail in the ways that lines do.

use std::io::{ErrorKind, Read, Write, copy};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::{sleep, spawn};
use std::time::Duration;

use test_support::ports;

/// What becomes of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    /// It reaches the other side.
    Works,
    /// Nobody listens.
    Down,
    /// It is taken, and nothing ever comes back.
    Stalls,
    /// The request gets through; the response breaks off within its first line.
    Breaks,
}

/// Stands before `upstream`; gone with the test's process.
pub(crate) struct Proxy {
    pub(crate) url: String,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: String,
    line: Mutex<Line>,
    /// Both ends of every connection, to end them when the line changes.
    open: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    pub(crate) fn start(upstream: &str) -> Self {
        let upstream = upstream.trim_start_matches("http://").to_owned();
        let shared = Arc::new(Shared { upstream, line: Mutex::new(Line::Works), open: Mutex::default() });
        let (of_thread, port) = (shared.clone(), ports::free());
        let first = TcpListener::bind(("127.0.0.1", port)).unwrap();
        spawn(move || of_thread.listen(first));
        Self { url: format!("http://127.0.0.1:{port}"), shared }
    }

    /// From now on, also for what is open now: that ends.
    pub(crate) fn set(&self, line: Line) {
        *self.shared.line.lock().unwrap() = line;
        self.shared.open.lock().unwrap().drain(..).for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
    }
}

impl Shared {
    fn listen(self: Arc<Self>, first: TcpListener) {
        let address = first.local_addr().unwrap();
        let mut listener = Some(first);
        loop {
            let line = *self.line.lock().unwrap();
            if line == Line::Down {
                listener = None;
                sleep(Duration::from_millis(1));
                continue;
            }
            let listener = listener.get_or_insert_with(|| TcpListener::bind(address).unwrap());
            listener.set_nonblocking(true).unwrap();
            match listener.accept() {
                Ok((client, _)) => {
                    client.set_nonblocking(false).unwrap();
                    self.connect(client, line);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => sleep(Duration::from_millis(1)),
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn connect(&self, client: TcpStream, line: Line) {
        let mut open = self.open.lock().unwrap();
        open.retain(|stream| stream.peer_addr().is_ok());
        open.push(client.try_clone().unwrap());
        if line == Line::Stalls {
            return;
        }
        // Nobody there: the client sees its connection end.
        let Ok(server) = TcpStream::connect(&self.upstream) else { return drop(client.shutdown(Shutdown::Both)) };
        open.push(server.try_clone().unwrap());
        for stream in [&client, &server] {
            stream.set_nodelay(true).unwrap();
        }
        let answer_length = if line == Line::Breaks { 8 } else { u64::MAX };
        pump(client.try_clone().unwrap(), server.try_clone().unwrap(), u64::MAX);
        pump(server, client, answer_length);
    }
}

/// Carries up to `length` bytes from one to the other, then ends both.
fn pump(from: TcpStream, to: TcpStream, length: u64) {
    spawn(move || {
        let _ = copy(&mut (&from).take(length), &mut &to).and_then(|_| (&to).flush());
        for stream in [from, to] {
            let _ = stream.shutdown(Shutdown::Both);
        }
    });
}
