//! An OTLP receiver that follows a script: a stand-in, because no real one fails on demand.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use flate2::read::GzDecoder;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use prost::Message;

/// What the receiver does with a request.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    Ok,
    /// So many items rejected.
    Partial(i64),
    /// None rejected, and a message of so many bytes.
    Message(usize),
    Status(u16),
    /// 503, to be tried again after so many seconds.
    RetryAfter(u64),
    Redirect(String),
    /// Bytes without end.
    Endless,
    /// Nothing, the connection stays open.
    Silence,
    /// The connection is closed.
    Close,
}

#[derive(Default)]
struct Seen {
    times: Vec<Instant>,
    heads: Vec<String>,
    /// Spans of all requests that were replied to with 200.
    spans: usize,
    /// The same without those that were rejected.
    accepted: usize,
    logs: Vec<(String, LogRecord)>,
    sent: usize,
}

pub(crate) struct Receiver {
    pub(crate) url: String,
    seen: Arc<Mutex<Seen>>,
}

impl Receiver {
    /// `script` gives the reply to the request of that number.
    pub(crate) fn start(script: impl Fn(usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::<Mutex<Seen>>::default();
        let (of_thread, script) = (seen.clone(), Arc::new(script));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (seen, script) = (of_thread.clone(), script.clone());
                std::thread::spawn(move || serve(&stream.unwrap(), &seen, &*script));
            }
        });
        Self { url, seen }
    }

    fn look<T>(&self, at: impl FnOnce(&Seen) -> T) -> T {
        at(&self.seen.lock().unwrap())
    }

    pub(crate) fn spans(&self) -> usize {
        self.look(|seen| seen.spans)
    }

    pub(crate) fn accepted(&self) -> usize {
        self.look(|seen| seen.accepted)
    }

    pub(crate) fn times(&self) -> Vec<Instant> {
        self.look(|seen| seen.times.clone())
    }

    pub(crate) fn heads(&self) -> Vec<String> {
        self.look(|seen| seen.heads.clone())
    }

    pub(crate) fn sent(&self) -> usize {
        self.look(|seen| seen.sent)
    }

    pub(crate) fn log_records(&self) -> Vec<(String, LogRecord)> {
        self.look(|seen| seen.logs.clone())
    }

    pub(crate) async fn has_spans(&self, count: usize) {
        self.until(|seen| seen.spans >= count).await;
    }

    pub(crate) async fn has_logs(&self, count: usize) {
        self.until(|seen| seen.logs.len() >= count).await;
    }

    pub(crate) async fn has_requests(&self, count: usize) {
        self.until(|seen| seen.times.len() >= count).await;
    }

    async fn until(&self, condition: impl Fn(&Seen) -> bool) {
        let waited = tokio::time::timeout(Duration::from_secs(60), async {
            while !self.look(&condition) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        waited.await.expect("the receiver saw nothing within a minute");
    }
}

fn serve(stream: &TcpStream, seen: &Mutex<Seen>, script: &dyn Fn(usize) -> Reply) {
    let mut reader = BufReader::new(stream);
    while let Some((head, body)) = request(&mut reader) {
        let number = {
            let mut seen = seen.lock().unwrap();
            seen.times.push(Instant::now());
            seen.heads.push(head.clone());
            seen.times.len() - 1
        };
        let reply = script(number);
        let items = record(&head, &body, &reply, seen);
        let mut stream = stream;
        let respond = |status: u16, headers: &str, body: &[u8]| {
            let head = format!("HTTP/1.1 {status} X\r\n{headers}content-length: {}\r\n\r\n", body.len());
            [head.as_bytes(), body].concat()
        };
        let bytes = match reply {
            Reply::Ok => respond(200, "", &[]),
            Reply::Partial(rejected) => {
                let partial = ExportTracePartialSuccess { rejected_spans: rejected, error_message: "no".to_owned() };
                let response = ExportTraceServiceResponse { partial_success: Some(partial) };
                seen.lock().unwrap().accepted += items - usize::try_from(rejected).unwrap_or(0).min(items);
                respond(200, "", &response.encode_to_vec())
            }
            Reply::Message(length) => {
                let partial = ExportTracePartialSuccess { rejected_spans: 0, error_message: "x".repeat(length) };
                let response = ExportTraceServiceResponse { partial_success: Some(partial) };
                respond(200, "", &response.encode_to_vec())
            }
            Reply::Status(status) => respond(status, "", b"a reason"),
            Reply::RetryAfter(seconds) => respond(503, &format!("retry-after: {seconds}\r\n"), &[]),
            Reply::Redirect(location) => respond(301, &format!("location: {location}\r\n"), &[]),
            Reply::Endless => {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
                let chunk = [b"10000\r\n", vec![b'x'; 65536].as_slice(), b"\r\n"].concat();
                while stream.write_all(&chunk).is_ok() {
                    seen.lock().unwrap().sent += chunk.len();
                }
                return;
            }
            Reply::Silence => {
                std::thread::sleep(Duration::from_secs(60));
                return;
            }
            Reply::Close => return,
        };
        if stream.write_all(&bytes).is_err() {
            return;
        }
    }
}

fn request(reader: &mut impl BufRead) -> Option<(String, Vec<u8>)> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "))?.parse().ok()?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    if head.contains("content-encoding: gzip") {
        let mut plain = Vec::new();
        GzDecoder::new(&*body).read_to_end(&mut plain).unwrap();
        body = plain;
    }
    Some((head, body))
}

/// Remembers what arrived; returns the number of spans.
fn record(head: &str, body: &[u8], reply: &Reply, seen: &Mutex<Seen>) -> usize {
    let mut seen = seen.lock().unwrap();
    if head.starts_with("POST /v1/logs ") {
        for resource in ExportLogsServiceRequest::decode(body).unwrap().resource_logs {
            for scope in resource.scope_logs {
                let name = scope.scope.unwrap_or_default().name;
                seen.logs.extend(scope.log_records.into_iter().map(|record| (name.clone(), record)));
            }
        }
        return 0;
    }
    let spans = ExportTraceServiceRequest::decode(body).unwrap().resource_spans;
    let spans = spans.iter().flat_map(|resource| &resource.scope_spans).map(|scope| scope.spans.len()).sum();
    if let Reply::Ok = reply {
        seen.spans += spans;
        seen.accepted += spans;
    }
    spans
}
