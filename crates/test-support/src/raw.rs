//! HTTP as bytes on a socket: what no client library would send, and exactly what came back.

use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Result, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::Response;

/// A connection to the service at a URL.
#[derive(Debug)]
pub struct Connection {
    stream: BufReader<TcpStream>,
    /// How many responses came over it.
    pub responses: usize,
}

impl Connection {
    /// Connects. Reads take at most twenty seconds, writes two.
    ///
    /// # Errors
    /// When nobody listens.
    pub fn open(url: &str) -> Result<Self> {
        let stream = TcpStream::connect(url.trim_start_matches("http://"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        stream.set_write_timeout(Some(Duration::from_secs(2)))?;
        Ok(Self { stream: BufReader::new(stream), responses: 0 })
    }

    /// Changes how long a read may take.
    pub fn set_read_timeout(&self, limit: Duration) {
        self.stream.get_ref().set_read_timeout(Some(limit)).unwrap();
    }

    /// A plain GET and its response. `headers` are whole lines, each with its line end.
    ///
    /// # Errors
    /// As [`Connection::send`] and [`Connection::receive`].
    pub fn get(&mut self, target: &str, headers: &str) -> Result<Response> {
        self.send(format!("GET {target} HTTP/1.1\r\nhost: x\r\n{headers}\r\n").as_bytes())?;
        self.receive()
    }

    /// Sends these bytes.
    ///
    /// # Errors
    /// When the other side has closed the connection, or reads nothing.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// The next response.
    ///
    /// # Errors
    /// When the connection is closed before or within it, or nothing comes.
    pub fn receive(&mut self) -> Result<Response> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.stream.read_line(&mut head)? == 0 {
                return Err(Error::new(ErrorKind::UnexpectedEof, format!("the connection was closed after '{head}'")));
            }
        }
        let status = head.get(9..12).and_then(|status| status.parse().ok());
        let headers = head.lines().filter_map(|line| line.split_once(": "));
        let mut response = Response {
            status: status.unwrap_or_else(|| panic!("no response: {head}")),
            headers: headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect(),
            body: Vec::new(),
        };
        if let Some(length) = response.header("content-length") {
            response.body = vec![0; length.parse().unwrap()];
            self.stream.read_exact(&mut response.body)?;
        }
        self.responses += 1;
        Ok(response)
    }

    /// Waits until the other side closes the connection, and returns what it still sent.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // A reset closes the connection too.
        let _ = self.stream.read_to_end(&mut rest);
        rest
    }
}
