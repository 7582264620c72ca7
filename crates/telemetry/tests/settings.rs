//! Settings of the export, with a real process: a flag wins over its variable, and https works.
#![allow(clippy::unwrap_used)] // a panic is how a test reports

#[allow(dead_code)] // a part of it
#[path = "../src/export_tests/receiver.rs"]
mod receiver;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use receiver::{Receiver, Reply};
use rustls::pki_types::PrivateKeyDer;

/// The example, once it listens.
struct Service(Child, String);

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Service {
    fn start(flags: &[&str], environment: &[(&str, &str)]) -> Self {
        // Beside the tests' own directory. cargo builds examples with the tests, but not when one test file is named.
        let target = std::env::current_exe().unwrap();
        let program = target.parent().unwrap().with_file_name("examples").join("trace-context-service");
        if !program.exists() {
            let build = ["build", "--quiet", "--example", "trace-context-service"];
            assert!(Command::new(env!("CARGO")).args(build).status().unwrap().success());
        }
        let mut command = Command::new(program);
        command.args(["--port=0", "--otel-bsp-schedule-delay=20"]).args(flags);
        command.env_clear().envs(environment.iter().copied()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        Self(process, format!("http://{}", line["address"].as_str().unwrap()))
    }

    /// Causes one span.
    async fn request(&self) {
        let _ = rustls::crypto::ring::default_provider().install_default(); // an error says that it is installed
        let client = reqwest::Client::new();
        assert_eq!(client.post(format!("{}/test", self.1)).body("[]").send().await.unwrap().status(), 200);
    }
}

#[tokio::test]
async fn flags_win_over_variables() {
    for processor in ["batch", "direct"] {
        let (by_flag, by_variable) = (Receiver::start(|_| Reply::Ok), Receiver::start(|_| Reply::Ok));
        let environment = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &*by_variable.url),
            ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=variable,other=variable"),
            ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "third=variable"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
            ("SPAN_PROCESSOR", processor),
        ];
        // The presence: without flags the variables hold.
        let service = Service::start(&[], &environment);
        service.request().await;
        by_variable.has_spans(1).await;
        let head = by_variable.heads().remove(0);
        for header in ["api-key: variable", "other: variable", "third: variable", "content-encoding: gzip"] {
            assert!(head.contains(header), "{processor}, {header}: {head}");
        }

        let endpoint = format!("--otel-exporter-otlp-endpoint={}", by_flag.url);
        let flags = [
            &*endpoint,
            "--otel-exporter-otlp-headers=api-key=flag",
            "--otel-exporter-otlp-traces-headers=fourth=flag",
            "--otel-exporter-otlp-compression=none",
        ];
        let service = Service::start(&flags, &environment);
        service.request().await;
        by_flag.has_spans(1).await;
        let head = by_flag.heads().remove(0);
        assert!(head.contains("api-key: flag") && head.contains("fourth: flag"), "{processor}: {head}");
        assert!(!head.contains("variable") && !head.contains("content-encoding"), "{processor}: {head}");
    }
}

/// A self-signed certificate that `SSL_CERT_FILE` makes trusted.
#[tokio::test]
async fn spans_are_exported_over_https() {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("self-signed.pem");
    std::fs::write(&file, certified.cert.pem()).unwrap();

    for processor in ["batch", "direct"] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let (server, (sender, received)) = (Arc::new(server.clone()), std::sync::mpsc::channel());
        std::thread::spawn(move || {
            let connection = rustls::ServerConnection::new(server).unwrap();
            let mut stream = rustls::StreamOwned::new(connection, listener.accept().unwrap().0);
            let mut head = vec![0; 64];
            stream.read_exact(&mut head).unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
            sender.send(String::from_utf8(head).unwrap()).unwrap();
        });
        let environment = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &*endpoint),
            ("SSL_CERT_FILE", file.to_str().unwrap()),
            ("SPAN_PROCESSOR", processor),
        ];
        let service = Service::start(&[], &environment);
        service.request().await;
        let head = received.recv_timeout(Duration::from_secs(60)).expect(processor);
        assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{processor}: {head}");
    }
}
