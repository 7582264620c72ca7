//! A receiver of OTLP that counts what arrives, independently of what the senders count.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::spawn;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message;

/// Gone with the test's process.
pub(crate) struct Collector {
    pub(crate) url: String,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// By the number of the kind in OTLP: 2 is SERVER.
    spans: Mutex<BTreeMap<i32, usize>>,
    records: Mutex<usize>,
    failing: AtomicBool,
    /// How many spans of each export it rejects.
    rejecting: AtomicUsize,
}

impl Collector {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared::default());
        let of_thread = shared.clone();
        spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = of_thread.clone();
                spawn(move || while shared.receive(&stream).is_some() {});
            }
        });
        Self { url, shared }
    }

    /// Answers 500 from now on, or no longer.
    pub(crate) fn fail(&self, failing: bool) {
        self.shared.failing.store(failing, Ordering::Relaxed);
    }

    /// Takes exports from now on but for so many of their spans: OTLP's partial success.
    pub(crate) fn reject(&self, spans: usize) {
        self.shared.rejecting.store(spans, Ordering::Relaxed);
    }

    /// All spans that were taken.
    pub(crate) fn spans(&self) -> usize {
        self.shared.spans.lock().unwrap().values().sum()
    }

    /// Those of requests.
    pub(crate) fn server_spans(&self) -> usize {
        self.shared.spans.lock().unwrap().get(&2).copied().unwrap_or(0)
    }

    /// All log records that were taken.
    pub(crate) fn records(&self) -> usize {
        *self.shared.records.lock().unwrap()
    }
}

impl Shared {
    /// One request; none at the end of the connection.
    fn receive(&self, stream: &TcpStream) -> Option<()> {
        // Exporters wait for each answer, so nothing of a next request is lost with this buffer.
        let mut reader = BufReader::new(stream);
        let (mut path, mut line, mut body) = (String::new(), String::new(), Vec::new());
        reader.read_line(&mut path).ok().filter(|length| *length > 0)?;
        while reader.read_line(&mut line).ok()? > 2 {
            if let Some(length) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                body.resize(length.trim().parse().ok()?, 0);
            }
            line.clear();
        }
        reader.read_exact(&mut body).ok()?;
        let status = if self.failing.load(Ordering::Relaxed) {
            "500 Internal Server Error"
        } else {
            self.count(&path, &body);
            "200 OK"
        };
        let rejected = self.rejecting.load(Ordering::Relaxed);
        let partial = ExportTracePartialSuccess { rejected_spans: rejected as i64, error_message: "no".to_owned() };
        let answer = ExportTraceServiceResponse { partial_success: (rejected > 0).then_some(partial) }.encode_to_vec();
        let mut stream = stream;
        let length = answer.len();
        write!(stream, "HTTP/1.1 {status}\r\ncontent-type: application/x-protobuf\r\ncontent-length: {length}\r\n\r\n")
            .ok()?;
        stream.write_all(&answer).ok()
    }

    fn count(&self, path: &str, body: &[u8]) {
        if path.contains("/v1/logs") {
            let message = ExportLogsServiceRequest::decode(body).unwrap();
            let scopes = message.resource_logs.iter().flat_map(|resource| &resource.scope_logs);
            *self.records.lock().unwrap() += scopes.map(|scope| scope.log_records.len()).sum::<usize>();
            return;
        }
        let message = ExportTraceServiceRequest::decode(body).unwrap();
        let scopes = message.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
        for span in scopes.flat_map(|scope| &scope.spans) {
            *self.spans.lock().unwrap().entry(span.kind).or_default() += 1;
        }
    }
}
