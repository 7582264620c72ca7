//! Small requests that should cost much: whatever is sent, memory stays within `MAX_BYTES` and 128 MB beside it, everybody
//! is answered, and the viewer goes on.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use test_support::{Signal, eventually};
use tonic::Code;

use crate::grpc::{TRACES, export, framed};
use crate::ingest::gzip;
use crate::support::{Viewer, client, new_trace, post, span};

pub(crate) const MAX_BYTES: u64 = 16 << 20;

/// What the process may take beside `MAX_BYTES`.
pub(crate) const BESIDE: u64 = 128 << 20;

/// The ways in which a message is sent, gzipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Protobuf,
    Json,
    Grpc,
}

const WAYS: [Way; 3] = [Way::Protobuf, Way::Json, Way::Grpc];

/// A message in both encodings, gzipped.
pub(crate) struct Message {
    protobuf: Vec<u8>,
    json: Vec<u8>,
}

impl Message {
    fn new(protobuf: &[u8], json: &str) -> Self {
        Self { protobuf: gzip(protobuf), json: gzip(json.as_bytes()) }
    }

    /// For where JSON takes another way only until it is protobuf.
    pub(crate) fn of_spans(spans: &[u8]) -> Self {
        Self::new(&field(1, &field(2, spans)), "{}")
    }
}

fn start() -> Viewer {
    Viewer::start(&[&format!("--max-bytes={MAX_BYTES}")])
}

/// The status in HTTP's numbers; a 503 must say when to send again.
pub(crate) fn send(viewer: &Viewer, way: Way, message: &Message) -> u16 {
    if way == Way::Grpc {
        let status = export(viewer, TRACES, framed(&message.protobuf, true), Some("gzip")).0;
        return match status.code() {
            Code::Ok => 200,
            Code::Unavailable => 503,
            Code::InvalidArgument => 400,
            other => panic!("{other:?}: {}", status.message()),
        };
    }
    let (content_type, body) = match way {
        Way::Json => ("application/json", &message.json),
        _ => ("application/x-protobuf", &message.protobuf),
    };
    let request = client().post(format!("{}/v1/traces", viewer.otlp)).header("content-type", content_type);
    let response = request.header("content-encoding", "gzip").body(body.clone()).send().expect("a response");
    assert!(response.status() != 503 || response.headers().contains_key("retry-after"));
    response.status().as_u16()
}

/// Takes spans, answers, and has taken no more memory than it may.
fn is_well(viewer: &Viewer, what: &str) {
    let trace = new_trace();
    viewer.send("x", &[span(&trace, 1, 0, "a", 0, 5)]);
    assert_eq!(viewer.get(&format!("/api/traces/{trace}")).status(), 200, "{what}");
    if let Some(most) = viewer.memory() {
        assert!(most < MAX_BYTES + BESIDE, "{what}: {} MiB", most >> 20);
    }
}

/// Field `number` with a message, a text or bytes.
pub(crate) fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut whole = vec![number << 3 | 2];
    prost::encoding::encode_varint(content.len() as u64, &mut whole);
    whole.extend_from_slice(content);
    whole
}

pub(crate) fn ids(trace: &str, span: u64) -> Vec<u8> {
    let trace: Vec<u8> = (0..16).filter_map(|i| u8::from_str_radix(&trace[2 * i..2 * i + 2], 16).ok()).collect();
    [field(1, &trace), field(2, &span.to_be_bytes())].concat()
}

#[test]
fn resource_of_three_megabytes_is_held_once_for_a_thousand_scopes() {
    for way in WAYS {
        let viewer = start();
        let value = "x".repeat(3 << 20);
        let attribute = [field(1, b"k"), field(2, &field(1, value.as_bytes()))].concat();
        let (mut protobuf, mut json) = (field(1, &field(1, &attribute)), Vec::new());
        for number in 1..=1000 {
            let (trace, scope) = (new_trace(), format!("scope {number}"));
            let scope_spans = [field(1, &field(1, scope.as_bytes())), field(2, &ids(&trace, number))].concat();
            protobuf.extend(field(2, &scope_spans));
            let spans = format!(r#"[{{"traceId":"{trace}","spanId":"{number:016x}"}}]"#);
            json.push(format!(r#"{{"scope":{{"name":"{scope}"}},"spans":{spans}}}"#));
        }
        let json = json.join(",");
        let attributes = format!(r#"[{{"key":"k","value":{{"stringValue":"{value}"}}}}]"#);
        let json =
            format!(r#"{{"resourceSpans":[{{"scopeSpans":[{json}],"resource":{{"attributes":{attributes}}}}}]}}"#);
        let message = Message::new(&field(1, &protobuf), &json);
        assert_eq!(send(&viewer, way, &message), 200, "{way:?}");
        assert_eq!(viewer.metric("trace_viewer_spans"), 1000, "{way:?}: it is counted once");
        is_well(&viewer, &format!("{way:?}"));
    }
}

/// 60,000 scopes without a span, under a resource of 20,000 attributes.
fn empty_scopes() -> Message {
    let attribute = field(1, &[field(1, b"k"), field(2, &field(1, b"v"))].concat());
    let protobuf = [field(1, &attribute.repeat(20_000)), field(2, &[]).repeat(60_000)].concat();
    let attributes = vec![r#"{"key":"k","value":{"stringValue":"v"}}"#; 20_000].join(",");
    let scopes = vec!["{}"; 60_000].join(",");
    let json =
        format!(r#"{{"resourceSpans":[{{"resource":{{"attributes":[{attributes}]}},"scopeSpans":[{scopes}]}}]}}"#);
    Message::new(&field(1, &protobuf), &json)
}

#[test]
fn empty_scopes_cost_no_more_than_spans_and_do_not_delay_the_end() {
    let attack = empty_scopes();
    for way in WAYS {
        let viewer = start();
        let spans: Vec<u8> =
            (1..=20_000).flat_map(|number| field(2, &ids(&format!("{number:032x}"), number))).collect();
        let spans = Message::of_spans(&spans);
        let timed = |way, message| {
            let started = Instant::now();
            assert_eq!(send(&viewer, way, message), 200, "{way:?}");
            started.elapsed()
        };
        let (regular, taken) = (timed(Way::Protobuf, &spans), timed(way, &attack));
        assert!(taken < 5 * regular.max(Duration::from_millis(200)), "{way:?}: {taken:?}, spans {regular:?}");
        is_well(&viewer, &format!("{way:?}"));
        std::thread::scope(|threads| {
            // The end may come before the response.
            for _ in 0..3 {
                let url = format!("{}/v1/traces", viewer.otlp);
                let request = client().post(url).header("content-type", "application/json");
                let request = request.header("content-encoding", "gzip").body(attack.json.clone());
                threads.spawn(|| drop(request.send()));
            }
            viewer.signal(Signal::SIGTERM);
        });
        assert!(viewer.wait().0.success());
    }
}

#[test]
fn bodies_of_two_byte_messages_are_refused_before_they_take_memory() {
    let viewer = start();
    let events = field(11, &[]).repeat(3 << 20);
    let protobuf = field(1, &field(2, &field(2, &[ids(&new_trace(), 1), events].concat())));
    let json = format!(
        r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{"events":[{}{{}}]}}]}}]}}]}}"#,
        "{},".repeat(5 << 19)
    );
    let attack = Message::new(&protobuf, &json);
    let statuses: Vec<u16> = std::thread::scope(|threads| {
        let senders: Vec<_> = (0..60)
            .map(|i| {
                threads.spawn({
                    let (viewer, attack) = (&viewer, &attack);
                    move || send(viewer, WAYS[i % 3], attack)
                })
            })
            .collect();
        senders.into_iter().map(|sender| sender.join().expect("a status")).collect()
    });
    assert!(statuses.iter().all(|status| [400, 503].contains(status)), "{statuses:?}");
    assert!(statuses.contains(&400));
    is_well(&viewer, "after 60 senders");
}

#[test]
fn body_that_stalls_does_not_keep_the_memory_from_others() {
    let viewer = start();
    let head =
        "POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 8000000\r\n\r\n";
    let stalled: Vec<TcpStream> = (0..40)
        .map(|_| {
            let mut connection = TcpStream::connect(viewer.otlp.trim_start_matches("http://")).expect("a connection");
            connection.set_write_timeout(Some(Duration::from_secs(5))).expect("a time limit");
            // Those for which there is no memory are refused and closed meanwhile.
            let _ = connection.write_all(head.as_bytes()).and_then(|()| connection.write_all(&[b' '; 2 << 20]));
            connection
        })
        .collect();
    let large = format!("{{{}}}", " ".repeat(4 << 20)).into_bytes();
    let url = format!("{}/v1/traces", viewer.otlp);
    let body = |_| post(&url, "application/json", large.clone()).status().as_u16();
    let statuses: Vec<u16> = (0..3).map(body).collect();
    assert!(statuses.iter().all(|status| [200, 503].contains(status)) && statuses.contains(&200), "{statuses:?}");
    is_well(&viewer, "with 40 stalled bodies");
    drop(stalled);
}

#[test]
fn gzip_of_400000_empty_members_is_refused() {
    let viewer = start();
    let end = gzip(&[]);
    for (members, status) in [(1, 200), (900, 200), (400_000, 400)] {
        let message = Message { protobuf: end.repeat(members), json: [gzip(b"{}"), end.repeat(members - 1)].concat() };
        for way in WAYS {
            assert_eq!(send(&viewer, way, &message), status, "{way:?}, {members} members");
        }
    }
    is_well(&viewer, "after many members");
}

#[test]
fn many_small_headers_on_many_streams_stay_within_the_memory() {
    let viewer = start();
    let frame = |kind: u8, flags: u8, stream: u32, content: &[u8]| {
        let head = [&(content.len() as u32).to_be_bytes()[1..], &[kind, flags], &stream.to_be_bytes()].concat();
        [&head, content].concat()
    };
    // POST, http, a path and a host; then `a: b`, which the table of the connection has from then on.
    let path = format!("/opentelemetry.proto.collector.{TRACES}/Export");
    let request = [b"\x83\x86\x04", [path.len() as u8].as_slice(), path.as_bytes(), b"\x01\x04host"].concat();
    let mut sent = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(4, 0, 0, b"")].concat();
    for stream in 0..16 {
        let new = if stream == 0 { b"\x40\x01a\x01b".as_slice() } else { b"" };
        let headers = [&request, new, &[0xbe; 440]].concat();
        sent.extend(frame(1, 4, 1 + 2 * stream, &headers));
        // The beginning of a message that never ends.
        sent.extend(frame(0, 0, 1 + 2 * stream, &[0, 0, 0, 0x10, 0, 0]));
    }
    let address = viewer.otlp_grpc.trim_start_matches("http://");
    let open: Vec<TcpStream> = (0..370)
        .map_while(|_| {
            let mut connection = TcpStream::connect(address).ok()?;
            connection.write_all(&sent).ok().map(|()| connection)
        })
        .collect();
    is_well(&viewer, &format!("with {} connections", open.len()));
}

#[test]
fn idle_connections_and_a_slow_header_end() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    setrlimit(Resource::RLIMIT_NOFILE, most.min(20_000), most).expect("more open files");
    let viewer = start();
    let connect = || TcpStream::connect(viewer.otlp.trim_start_matches("http://"));
    let count = (most.min(20_000) as usize / 2).min(5_000);
    let mut idle: Vec<TcpStream> = (0..count).map_while(|_| connect().ok()).collect();
    // Each has sent a request before, and half a header since, as large as is allowed.
    for connection in &mut idle {
        let _ = connection.write_all(b"GET /v1/traces HTTP/1.1\r\nhost: x\r\n\r\nGET / HTTP/1.1\r\nhost: x\r\nx: ");
    }
    let mut slow = connect().expect("a connection");
    slow.write_all(b"GET /v1/traces HTTP/1.1\r\nhost: ").expect("half a header");
    is_well(&viewer, &format!("with {count} idle connections"));
    // hyper responds 408 or closes; a write then fails, at the latest the one after.
    eventually("the slow header is given up", || {
        std::thread::sleep(Duration::from_millis(500));
        slow.write_all(b"x").is_err().then_some(())
    });
    eventually("the idle connections are closed", || {
        idle.retain(|connection| {
            connection.set_nonblocking(true).expect("a socket");
            let mut connection = connection;
            let read = std::iter::repeat_with(|| connection.read(&mut [0; 512])).find(|read| !matches!(read, Ok(1..)));
            matches!(read, Some(Err(error)) if error.kind() == std::io::ErrorKind::WouldBlock)
        });
        idle.is_empty().then_some(())
    });
    is_well(&viewer, "after them");
}

#[test]
fn span_with_three_hundred_thousand_events_is_counted_and_served() {
    let viewer = Viewer::start(&[&format!("--max-bytes={}", 4 * MAX_BYTES)]);
    let trace = new_trace();
    let span = [ids(&trace, 1), field(11, &[]).repeat(300_000)].concat();
    let attack = Message::of_spans(&field(2, &span));
    for way in [Way::Protobuf, Way::Grpc] {
        assert_eq!(send(&viewer, way, &attack), 200);
    }
    assert!(viewer.metric("trace_viewer_bytes") > 300_000 * 40, "events count with what they take");
    for path in
        [format!("/view/traces/{trace}"), format!("/api/traces/{trace}"), format!("/view/traces/{trace}/otlp.json")]
    {
        assert_eq!(viewer.get(&path).status(), 200, "{path}");
    }
    if let Some(most) = viewer.memory() {
        assert!(most < 4 * MAX_BYTES + BESIDE, "{} MiB", most >> 20);
    }
}

#[test]
fn many_tiny_events_take_what_is_counted() {
    let viewer = Viewer::start(&[&format!("--max-bytes={}", 3 * MAX_BYTES)]);
    let before = viewer.memory();
    for _ in 0..60 {
        let one = |number| field(2, &[ids(&new_trace(), number), field(11, &[]).repeat(100)].concat());
        let spans: Vec<u8> = (1..=300).flat_map(one).collect();
        let message = Message::of_spans(&spans);
        assert_eq!(send(&viewer, Way::Protobuf, &message), 200);
    }
    assert!(viewer.metric("trace_viewer_traces_evicted_total") > 0, "the store is full");
    if let Some((before, most)) = before.zip(viewer.memory()) {
        let taken = most - before;
        // A quarter more for what is on its way, and what the allocator keeps.
        assert!(taken < 3 * MAX_BYTES * 5 / 4, "{} MiB of {}", taken >> 20, (3 * MAX_BYTES) >> 20);
    }
}
