//! What no client would send: a clear refusal, no panic, no growth, no label and no markup from the client's input.

use std::thread::scope;
use std::time::{Duration, Instant};

use test_support::{Response, eventually, http, raw::Connection};

use crate::common::backend::Backend;
use crate::common::service::{Service, mib};
use crate::services::Services;
use crate::{bound, figure};

fn send(service: &Service, request: &[u8]) -> Response {
    let shown = String::from_utf8_lossy(&request[..request.len().min(80)]).into_owned();
    let mut connection = Connection::open(&service.url).unwrap();
    connection.send(request).and_then(|()| connection.receive()).unwrap_or_else(|error| panic!("{shown}: {error}"))
}

fn get(target: &str, headers: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nhost: x\r\n{headers}\r\n").into_bytes()
}

#[test]
fn malformed_requests_are_refused_with_reason() {
    let services = Services::start();
    let memory = services.memory();
    let many_headers: String = (0..500).map(|number| format!("x-{number}: 1\r\n")).collect();
    let mut count = 0;
    for (service, route) in services.with_targets() {
        let value = |value: &str| get(&format!("{route}{value}"), "");
        let repeated =
            route.split_once('?').map(|(path, name)| format!("{path}?{}", format!("{name}fair&").repeat(3000)));
        let bytes = |start: &[u8], end: &[u8]| [start, end].concat();
        for (request, status) in [
            // long
            (get(&format!("/{}", "a".repeat(100_000)), ""), 414),
            (get("/", &format!("x: {}\r\n", "a".repeat(300_000))), 431),
            (get("/", &many_headers), 431),
            (get(&format!("/{}", "a".repeat(60_000)), ""), 404),
            (value(&"a".repeat(60_000)), 422),
            // parameters
            (get(&format!("{route}fair{}", "&a=1".repeat(3000)), ""), 200),
            (get(&repeated.unwrap(), ""), 422),
            (value("fair&=&&&==&%"), 200),
            (value(""), 422),
            (value("%ff%fe"), 422),
            (value("%00"), 422),
            (value("a%0d%0aset-cookie:x=1"), 422),
            (value("%e2%80%ae"), 404), // right-to-left override: a name like another, and not one of ours
            (value("<script>alert(1)</script>"), 400), // not a URL
            (value("%3Cscript%3Ealert(1)%3C/script%3E"), 404),
            (value("../../etc/passwd"), 404),
            (value("%25%73"), 404),
            // requests that are none
            (bytes(b"GET /\xff\xfe HTTP/1.1\r\nhost: x\r\n", b"\r\n"), 400),
            (bytes(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", b"\r\n\r\n"), 400),
            (get("/", "x: a\0b\r\n"), 400),
            (get("/", "no colon\r\n"), 400),
            (get("/", "content-length: 3\r\ncontent-length: 4\r\n"), 400),
            (get("/", "content-length: -1\r\n"), 400),
            (get("/", "transfer-encoding: gzip\r\n"), 400),
            (bytes(b"GET / HTTP/9.9\r\nhost: x\r\n", b"\r\n"), 400),
            // methods and forms of the target
            (bytes(b"BREW / HTTP/1.1\r\nhost: x\r\n", b"\r\n"), 405),
            (bytes(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n", b"\r\n"), 405),
            (bytes(b"OPTIONS * HTTP/1.1\r\nhost: x\r\n", b"\r\n"), 404),
            (bytes(b"CONNECT a:1 HTTP/1.1\r\nhost: x\r\n", b"\r\n"), 404),
            // time limits
            (get("/", "x-request-timeout-ms: soon\r\n"), 400),
            (get("/", "x-request-timeout-ms: -1\r\n"), 400),
            (get("/", "x-request-timeout-ms: 99999999999999999999999999\r\n"), 200),
            (get("/", "x-request-timeout-ms: 18446744073709551615\r\n"), 200),
            (get("/", "x-request-timeout-ms: 9223372036854775\r\n"), 200),
            // a body that the route does not take
            (bytes(&get("/", "content-length: 5\r\n"), b"hello"), 200),
        ] {
            let reply = send(service, &request);
            let shown = String::from_utf8_lossy(&request[..request.len().min(120)]).into_owned();
            assert_eq!(reply.status, status, "{shown}: {}", reply.text());
            count += 1;
            // Where it was a request at all, the refusal says why.
            if matches!(status, 404 | 405 | 422) {
                let problem = reply.json();
                assert_eq!(reply.header("content-type"), Some("application/problem+json"), "{shown}");
                assert_eq!(problem["status"], status, "{shown}");
                assert!(
                    problem["detail"].as_str().is_some_and(|detail| (1..1000).contains(&detail.len())),
                    "{problem}"
                );
                assert_eq!((reply.header("allow").is_some(), status == 405), (status == 405, status == 405));
            }
        }
    }
    services.check(memory);
    figure(&format!("{count} malformed requests to three services: each refused as it should be, no panic"));
}

#[test]
fn malformed_number_is_refused_with_allowed_range() {
    let services = Services::start();
    let memory = services.memory();
    let malformed = [
        "",
        "0",
        "-1",
        "+5",
        "%2B5",
        "21",
        "5.0",
        "1e1",
        "0x5",
        "%205",
        "5%20",
        "5%00",
        "%EF%BC%95",
        "five",
        "null",
        "NaN",
        "4294967296",
        "4294967301",
        "18446744073709551616",
        "99999999999999999999999999",
        "5,6",
        "5;6",
        "[5]",
        "5&times=5",
        "%ff",
        "<b>5</b>",
        "true",
        "１",
    ];
    for service in [&services.dice_roller, &services.frontend] {
        for times in malformed {
            let reply = send(service, &get(&format!("/roll-async?die=fair&times={}", percent(times)), ""));
            let detail = reply.json()["detail"].as_str().unwrap().to_owned();
            assert_eq!(
                (reply.status, detail.contains("'times'"), detail.contains("allowed: ")),
                (422, true, true),
                "{times}: {detail}"
            );
        }
        assert_eq!(send(service, &get("/roll-async?die=fair", "")).status, 422);
    }
    services.check(memory);
}

/// What may not stand in a URL, percent-encoded; the rest as it is.
fn percent(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"<>[]".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { (byte as char).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[test]
fn client_input_is_never_markup() {
    let services = Services::start();
    let memory = services.memory();
    let markup = "%22%3E%3Cscript%3Ealert(1)%3C/script%3E%3Cimg%20src=x%20onerror=alert(1)%3E%27--%3E";
    for query in [
        format!("die={markup}"),
        format!("die={markup}&async=on&times=3"),
        format!("die=fair&async={markup}&times=3"),
        format!("die=fair&async=on&times={markup}"),
        format!("die=fair&async=on&times=3&strategy={markup}&concurrency={markup}"),
        format!("{markup}={markup}&die=fair"),
    ] {
        let reply = send(&services.frontend, &get(&format!("/?{query}"), "accept: text/html\r\n"));
        let page = reply.text();
        assert_eq!(reply.header("content-type"), Some("text/html; charset=utf-8"));
        assert!(reply.header("content-security-policy").is_some_and(|policy| policy.contains("default-src 'self'")));
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
        assert!(page.contains("</html>") && !page.contains("<script>") && !page.contains("<img"), "{query}: {page}");
    }
    let reply = send(&services.frontend, &get(&format!("/{markup}"), "accept: text/html\r\n"));
    assert_eq!((reply.status, reply.header("content-type")), (404, Some("application/problem+json")));
    services.check(memory);
}

#[test]
fn slow_clients_are_disconnected_and_delay_nobody() {
    let services = Services::start();
    let memory = services.memory();
    let least = memory.iter().copied().fold(f64::MAX, f64::min);
    scope(|threads| {
        for (service, _) in services.with_targets() {
            for started in SLOW {
                threads.spawn(move || held(&service.url, started, LIMIT));
            }
            threads.spawn(move || {
                let before = service.open_files();
                let healthy = Instant::now();
                assert_eq!(service.get("/health").status, 200);
                let healthy = healthy.elapsed();
                let mut readers: Vec<_> = (0..20).map(|_| Connection::open(&service.url).unwrap()).collect();
                let large = get("/docs/swagger-ui-bundle.js", "").repeat(300);
                for reader in &mut readers {
                    let _ = reader.send(&large); // what does not fit is not taken
                }
                let sent = Instant::now();
                assert_eq!(service.get("/health").status, 200);
                let took = sent.elapsed();
                assert!(took < bound(Duration::from_secs(3), healthy), "{took:?}, {healthy:?} without slow clients");
                assert!(service.open_files() >= before + 20, "they are not there");
                std::thread::sleep(Duration::from_secs(1));
                let grown = service.memory() - least;
                assert!(grown < 128.0, "{grown} MiB for twenty clients that do not read");
                eventually("clients that do not read are disconnected", || {
                    (service.open_files() <= before).then_some(())
                });
                let took = sent.elapsed().as_secs_f64();
                figure(&format!(
                    "twenty who read nothing at {}: {grown:.0} MiB, disconnected after {took:.1} s",
                    service.name
                ));
                drop(readers);
            });
        }
    });
    services.check(memory);
}

/// How long the services and the viewer wait for a client.
const LIMIT: Duration = Duration::from_secs(10);

/// Nothing at all, half a header, and nothing more after a response.
const SLOW: [&str; 3] = ["", "GET / HTTP/1.1\r\nho", "GET /health HTTP/1.1\r\nhost: x\r\n\r\n"];

/// Sends `started` and nothing more; the other side has to close the connection after its limit, give or take half.
fn held(url: &str, started: &str, limit: Duration) {
    let began = Instant::now();
    let mut slow = Connection::open(url).unwrap();
    slow.set_read_timeout(4 * limit);
    slow.send(started.as_bytes()).unwrap();
    let sent = began.elapsed();
    slow.rest();
    let held = began.elapsed();
    assert!(held > limit / 2 && held < bound(limit * 3 / 2, sent), "'{started}' was held for {held:?}");
    figure(&format!("'{}' and nothing more: closed after {:.1} s", started.escape_debug(), held.as_secs_f64()));
}

#[test]
fn viewer_closes_silent_connections() {
    let viewer = Backend::viewer();
    scope(|threads| {
        for url in [&viewer.otlp, &viewer.url] {
            for started in SLOW {
                threads.spawn(move || held(url, started, LIMIT));
            }
        }
    });
}

#[test]
fn pipelined_requests_get_responses_in_order() {
    let services = Services::start();
    for (service, route) in services.with_targets() {
        let mut connection = Connection::open(&service.url).unwrap();
        let names: Vec<_> = (0..200).map(|number| format!("nobody-{number}")).collect();
        let requests: String =
            names.iter().map(|name| format!("GET {route}{name} HTTP/1.1\r\nhost: x\r\n\r\n")).collect();
        connection.send(requests.as_bytes()).unwrap();
        for name in &names {
            let reply = connection.receive().unwrap();
            let detail = reply.json()["detail"].as_str().unwrap().to_owned();
            assert!(reply.status == 404 && detail.contains(&format!("'{name}'")), "{detail}");
        }
    }
}

#[test]
fn viewer_refuses_malformed_otlp() {
    let viewer = Backend::viewer();
    let (receiver, pages) = (&viewer.otlp, &viewer.url);
    let before = viewer.process().memory();
    let post = |content_type: &str, more: &str, body: &[u8]| {
        let head = format!("POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: {content_type}\r\n{more}");
        [format!("{head}content-length: {}\r\n\r\n", body.len()).as_bytes(), body].concat()
    };
    let (json, protobuf) = ("application/json", "application/x-protobuf");
    for (request, status) in [
        (post(json, "", b"{}"), 200),
        (post(json, "", b"[]"), 400),
        (post(json, "", b"{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{\"traceId\":\"zz\"}]}]}]}"), 400),
        (post(json, "", &b"[".repeat(1 << 20)), 400),
        (post(json, "", &b"{\"a\":".repeat(1 << 18)), 400),
        (post(json, "", b"\xff\xfe"), 400),
        (post(protobuf, "", b""), 200),
        (post(protobuf, "", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), 400),
        (post(protobuf, "", &[0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f]), 400),
        (post(protobuf, "content-encoding: gzip\r\n", b"not gzip"), 400),
        (post(protobuf, "content-encoding: br\r\n", b"x"), 415),
        (post(protobuf, "", &vec![0; (8 << 20) + 1]), 413),
        (post("text/plain", "", b"{}"), 415),
        (get("/v1/traces", ""), 405),
        (get(&format!("/{}", "a".repeat(100_000)), ""), 431),
        (get("/", &format!("x: {}\r\n", "a".repeat(600_000))), 431),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n".to_vec(), 400),
    ] {
        let shown = String::from_utf8_lossy(&request[..request.len().min(200)]).into_owned();
        let reply = Connection::open(receiver).and_then(|mut receiver| {
            receiver.send(&request)?;
            receiver.receive()
        });
        assert_eq!(reply.unwrap_or_else(|error| panic!("{shown}: {error}")).status, status, "{shown}");
    }
    assert_eq!(http::get(format!("{pages}/api/echo")).status, 200);
    let grown = mib(viewer.process().memory().saturating_sub(before));
    assert!(grown < 128.0, "{grown} MiB more");
    assert!(!viewer.process().text().contains("panicked"), "{}", viewer.process().text());
}
