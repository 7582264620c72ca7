//! Trace context and baggage as an attacker would send them: no effect on the response, and only what is valid is
//! forwarded.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc;
use std::thread::spawn;
use std::time::Duration;

use test_support::raw::Connection;

use crate::common::service::{NO_EXPORT, Service};
use crate::figure;
use crate::services::check_labels;

#[test]
fn forged_context_is_dropped_and_limits_are_kept() {
    // What dice-roller hands on is seen by a stub in die-service's place.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stub = format!("http://{}", listener.local_addr().unwrap());
    let (heads, seen) = mpsc::channel();
    spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let (mut head, mut buffer) = (Vec::new(), [0; 65_536]);
            while !head.ends_with(b"\r\n\r\n") {
                let length = stream.read(&mut buffer).unwrap();
                head.extend_from_slice(&buffer[..length]);
            }
            heads.send(String::from_utf8(head).unwrap()).unwrap();
            let die = r#"{"identifier":"fair","specification":{"faces":[1],"error_rate":0}}"#;
            write!(stream, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{die}", die.len())
                .unwrap();
        }
    });
    let service = Service::start("dice-roller", &[("DIE_SERVICE_URL", &*stub), ("ROLL_DELAY_MAX_MS", "0"), NO_EXPORT]);
    let (trace, span) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
    let good = format!("traceparent: 00-{trace}-{span}-01\r\n");
    let list = |count: usize, length: usize| {
        (0..count).map(|number| format!("k{number}={}", "v".repeat(length))).collect::<Vec<_>>().join(",")
    };
    // Headers, whether the trace goes on, and whether `tracestate` does.
    let cases = [
        (good.clone(), true, false),
        (format!("{good}tracestate: a=1\r\ntracestate: b=2\r\n"), true, true),
        (format!("{good}tracestate: {}\r\n", list(32, 200)), true, true),
        (format!("{good}tracestate: {}\r\n", list(33, 1)), true, false),
        (format!("{good}tracestate: a={}\r\n", "v".repeat(257)), true, false),
        (format!("{good}tracestate: A=1\r\n"), true, false),
        (format!("{good}tracestate: a=\u{e9}\r\n"), true, false),
        (format!("{good}{good}"), false, false),
        (format!("traceparent: 00-{trace}-{span}-01-extra\r\n"), false, false),
        (format!("traceparent: ff-{trace}-{span}-01\r\n"), false, false),
        (format!("traceparent: 00-{}-{span}-01\r\n", "0".repeat(32)), false, false),
        (format!("traceparent: 00-{trace}-{}-01\r\n", "0".repeat(16)), false, false),
        (format!("traceparent: 00-{}-{span}-01\r\n", trace.to_uppercase()), false, false),
        (format!("traceparent: 00-{trace}-{span}\r\n"), false, false),
        (format!("traceparent: {}\r\n", "0".repeat(30_000)), false, false),
        ("traceparent: \r\n".to_owned(), false, false),
        (format!("traceparent: 00-{trace}-{span}-0\u{e9}\r\n"), false, false),
        (format!("baggage: {}\r\n", list(10, 10)), false, false),
        (format!("baggage: {}\r\n", list(500, 1)), false, false),
        (format!("baggage: {}\r\n", list(60, 900)), false, false),
        (format!("baggage: k={}\r\n", "v".repeat(30_000)), false, false),
        ("baggage: ,,,=;=,%,k=%zz,\u{e9}=1\r\n".to_owned(), false, false),
        (format!("{}\r\n", vec!["baggage: k=v"; 90].join("\r\n")), false, false),
    ];
    for (headers, goes_on, with_state) in &cases {
        let reply = Connection::open(&service.url).and_then(|mut connection| connection.get("/roll?die=fair", headers));
        let reply = reply.unwrap();
        let shown: String = headers.chars().take(100).collect();
        assert_eq!(reply.status, 200, "{shown}");
        let given = reply.header("traceresponse").unwrap().split('-').nth(1).unwrap().to_owned();
        assert_eq!(given == trace, *goes_on, "{shown}: {given}");
        let head = seen.recv_timeout(Duration::from_secs(10)).unwrap();
        let sent: Vec<_> = head.lines().filter_map(|line| line.split_once(": ")).collect();
        let all =
            |name: &str| sent.iter().filter(|(given, _)| *given == name).map(|(_, value)| *value).collect::<Vec<_>>();
        assert_eq!(all("traceparent").len(), 1, "{shown}");
        assert!(
            all("traceparent")[0].starts_with(&format!("00-{given}-")) && all("traceparent")[0].len() == 55,
            "{head}"
        );
        assert_eq!(all("tracestate").len(), usize::from(*with_state), "{shown}: {head}");
        // W3C Baggage, section 3.3.2: no more than 64 members and 8192 bytes need be handed on.
        let baggage = all("baggage").join(",");
        assert!(baggage.len() <= 8192 && baggage.split(',').count() <= 64, "{shown}: {} bytes", baggage.len());
    }
    assert!(service.lines_of("Panic").is_empty());
    check_labels(&service);
    figure(&format!("{} forged or broken contexts: each got 200, handed on only what is valid", cases.len()));
}
