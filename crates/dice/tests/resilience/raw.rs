//! HTTP as bytes on a socket: what no client library would send, and exactly what came back.

use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Result, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

/// A connection to the service at a URL.
pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
    /// Answers that came over it.
    pub(crate) answered: usize,
}

/// One answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Connection {
    pub(crate) fn open(url: &str) -> Result<Self> {
        let stream = TcpStream::connect(url.trim_start_matches("http://"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        stream.set_write_timeout(Some(Duration::from_secs(2)))?;
        Ok(Self { stream: BufReader::new(stream), answered: 0 })
    }

    /// Waits so long for bytes, instead of twenty seconds.
    pub(crate) fn patience(&self, limit: Duration) {
        self.stream.get_ref().set_read_timeout(Some(limit)).unwrap();
    }

    /// A plain GET and its answer. `headers` are whole lines, each with its line end.
    pub(crate) fn get(&mut self, target: &str, headers: &str) -> Result<Reply> {
        self.send(format!("GET {target} HTTP/1.1\r\nhost: x\r\n{headers}\r\n").as_bytes())?;
        self.reply()
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// The next answer; an error where the connection ends before or within it.
    pub(crate) fn reply(&mut self) -> Result<Reply> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.stream.read_line(&mut head)? == 0 {
                return Err(Error::new(ErrorKind::UnexpectedEof, format!("the connection ended after '{head}'")));
            }
        }
        let status = head.get(9..12).and_then(|status| status.parse().ok());
        let mut reply = Reply { status: status.unwrap_or_else(|| panic!("no answer: {head}")), head, body: Vec::new() };
        if let Some(length) = reply.header("content-length") {
            reply.body.resize(length.parse().unwrap(), 0);
            self.stream.read_exact(&mut reply.body)?;
        }
        self.answered += 1;
        Ok(reply)
    }

    /// Waits until the other side ends the connection, and returns what it still said.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // A reset is an end like any other here.
        let _ = self.stream.read_to_end(&mut rest);
        rest
    }
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let headers = self.head.lines().filter_map(|line| line.split_once(": "));
        headers.into_iter().find(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}
