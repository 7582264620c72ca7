//! The example `trace-context-service`, as the W3C's validation harness drives it: what it is told to call it calls, at
//! exactly that address, within the trace that it was called in.
#![allow(clippy::unwrap_used)] // a panic is how a test reports

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Started on a free port, and its address.
fn start() -> (Service, String) {
    // Beside the tests' own directory. cargo builds examples with the tests, but not when one test file is named.
    let target = std::env::current_exe().unwrap();
    let program = target.parent().unwrap().with_file_name("examples").join("trace-context-service");
    if !program.exists() {
        let profile = if cfg!(debug_assertions) { "dev" } else { "release" };
        let build = ["build", "--quiet", "--profile", profile, "--example", "trace-context-service"];
        assert!(Command::new(env!("CARGO")).args(build).status().unwrap().success());
    }
    let mut command = Command::new(program);
    command.env("PORT", "0").env("OTEL_TRACES_EXPORTER", "none").stdout(Stdio::piped());
    let mut service = Service(command.spawn().unwrap());
    let mut line = String::new();
    BufReader::new(service.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    (service, line["address"].as_str().unwrap().to_owned())
}

/// Sends a JSON body with a trace context; returns the head of the answer.
fn post(address: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let head = "POST /test HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntracestate: vendor=1\r\n\
                traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n";
    write!(stream, "{head}content-length: {}\r\n\r\n{body}", body.len()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn what_it_is_told_to_call_it_calls_within_the_trace() {
    let (_service, address) = start();
    let called = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/scope.1?a=b", called.local_addr().unwrap());
    let callee = std::thread::spawn(move || {
        let mut stream = called.accept().unwrap().0;
        let mut request = String::new();
        while !request.ends_with("[7]") {
            let mut bytes = [0; 1024];
            let count = stream.read(&mut bytes).unwrap();
            request += std::str::from_utf8(&bytes[..count]).unwrap();
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
        request
    });
    let answer = post(&address, &format!(r#"[{{"url": "{url}", "arguments": [7]}}]"#));
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let request = callee.join().unwrap();
    assert!(request.starts_with("POST /scope.1?a=b HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-"), "{request}");
    assert!(!request.contains("b7ad6b7169203331"), "the span of the call is another: {request}");
    assert!(request.contains("\r\ntracestate: vendor=1\r\n"), "{request}");

    for malformed in ["", "{}", r#"[{"url": "no URL", "arguments": []}]"#] {
        assert!(post(&address, malformed).starts_with("HTTP/1.1 400"), "{malformed}");
    }
}
