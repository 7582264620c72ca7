//! A frontend that handles one request at a time, the first roll late.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::time::Duration;

pub(crate) struct StallingFrontend {
    pub(crate) url: String,
}

impl StallingFrontend {
    /// Runs until the process exits.
    pub(crate) fn start(stall: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let mut stalled = false;
            for mut stream in listener.incoming().map_while(Result::ok) {
                let head: Vec<_> =
                    BufReader::new(&stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
                if !stalled && head.first().is_some_and(|line| line.contains("/roll")) {
                    stalled = true;
                    std::thread::sleep(stall);
                }
                let body = r#"{"roll":4}"#;
                let length = body.len();
                let _ =
                    write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
            }
        });
        Self { url }
    }
}
