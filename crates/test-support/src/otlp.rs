//! A receiver of OTLP over HTTP that counts what arrives.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::spawn;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use prost::Message;

/// Counts what exporters send, independently of what they count themselves. It runs until the test's process exits.
#[derive(Debug)]
pub struct OtlpReceiver {
    /// The value of `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub url: String,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// By the number of the kind in OTLP: 2 is SERVER.
    spans: Mutex<BTreeMap<i32, usize>>,
    span_ids: Mutex<BTreeSet<Vec<u8>>>,
    /// Event name and body of each log record.
    records: Mutex<Vec<(String, String)>>,
    /// Name and type of each attribute of log records and of their resources.
    record_attributes: Mutex<BTreeSet<(String, String)>>,
    failing: AtomicBool,
    /// How many spans of each export it rejects.
    rejecting: AtomicUsize,
}

impl OtlpReceiver {
    /// Starts it on a free port.
    pub fn start() -> Self {
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

    /// Responds with 500 from now on, or no longer.
    pub fn fail(&self, failing: bool) {
        self.shared.failing.store(failing, Ordering::Relaxed);
    }

    /// Rejects so many spans of each export from now on: OTLP's partial success.
    pub fn reject(&self, spans: usize) {
        self.shared.rejecting.store(spans, Ordering::Relaxed);
    }

    /// Spans that it has accepted.
    pub fn spans(&self) -> usize {
        self.shared.spans.lock().unwrap().values().sum()
    }

    /// Those of them that differ: a batch whose response did not arrive is sent again.
    pub fn distinct_spans(&self) -> usize {
        self.shared.span_ids.lock().unwrap().len()
    }

    /// Those of kind SERVER.
    pub fn server_spans(&self) -> usize {
        self.shared.spans.lock().unwrap().get(&2).copied().unwrap_or(0)
    }

    /// Log records that it has accepted.
    pub fn records(&self) -> usize {
        self.shared.records.lock().unwrap().len()
    }

    /// Event name and message of each log record that it has accepted.
    pub fn events(&self) -> Vec<(String, String)> {
        self.shared.records.lock().unwrap().clone()
    }

    /// Name and type (`int`, `string array`, …) of each attribute that log records or their resources had.
    pub fn record_attributes(&self) -> Vec<(String, String)> {
        self.shared.record_attributes.lock().unwrap().iter().cloned().collect()
    }
}

fn kind_of(value: Option<&Value>) -> String {
    match value {
        Some(Value::StringValue(_)) => "string".to_owned(),
        Some(Value::BoolValue(_)) => "bool".to_owned(),
        Some(Value::IntValue(_)) => "int".to_owned(),
        Some(Value::DoubleValue(_)) => "double".to_owned(),
        Some(Value::ArrayValue(list)) => {
            format!("{} array", kind_of(list.values.first().and_then(|first| first.value.as_ref())))
        }
        other => format!("{other:?}"),
    }
}

impl Shared {
    /// One request; none where the connection is closed.
    fn receive(&self, stream: &TcpStream) -> Option<()> {
        // Exporters wait for each response, so this buffer never holds bytes of a next request.
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
        let response =
            ExportTraceServiceResponse { partial_success: (rejected > 0).then_some(partial) }.encode_to_vec();
        let mut stream = stream;
        let length = response.len();
        write!(stream, "HTTP/1.1 {status}\r\ncontent-type: application/x-protobuf\r\ncontent-length: {length}\r\n\r\n")
            .ok()?;
        stream.write_all(&response).ok()
    }

    fn count(&self, path: &str, body: &[u8]) {
        if path.contains("/v1/logs") {
            let message = ExportLogsServiceRequest::decode(body).unwrap();
            let of_resources = message.resource_logs.iter().filter_map(|logs| logs.resource.as_ref());
            let scopes = message.resource_logs.iter().flat_map(|logs| &logs.scope_logs);
            let of_records = scopes.flat_map(|scope| &scope.log_records).flat_map(|record| &record.attributes);
            let attributes = of_resources.flat_map(|resource| &resource.attributes).chain(of_records);
            let typed = attributes.map(|attribute| {
                let value = attribute.value.as_ref().and_then(|value| value.value.as_ref());
                (attribute.key.clone(), kind_of(value))
            });
            self.record_attributes.lock().unwrap().extend(typed);
            let scopes = message.resource_logs.into_iter().flat_map(|resource| resource.scope_logs);
            let records = scopes.flat_map(|scope| scope.log_records).map(|record| {
                let body = record.body.and_then(|body| body.value);
                let Some(Value::StringValue(message)) = body else { panic!("the body is no text: {body:?}") };
                (record.event_name, message)
            });
            self.records.lock().unwrap().extend(records);
            return;
        }
        let message = ExportTraceServiceRequest::decode(body).unwrap();
        let scopes = message.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
        for span in scopes.flat_map(|scope| &scope.spans) {
            *self.spans.lock().unwrap().entry(span.kind).or_default() += 1;
            self.span_ids.lock().unwrap().insert(span.span_id.clone());
        }
    }
}
