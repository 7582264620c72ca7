//! Which names pages and queries are served under, and which pages may send OTLP.

use reqwest::Method;
use test_support::raw::Connection;

use crate::grpc::{TRACES, export, framed};
use crate::ingest::has;
use crate::support::{Viewer, client, new_trace, span, traces};

#[test]
fn foreign_host_gets_403_from_pages_and_queries() {
    let viewer = Viewer::start(&["--allowed-hosts=viewer.example,other.example"]);
    let status = |path: &str, host: &str| {
        let mut connection = Connection::open(&viewer.pages).expect("a connection");
        connection.send(format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n").as_bytes()).expect("sent");
        connection.receive().expect("a response").status
    };
    for path in ["/", "/view/traces", "/api/search", "/api/echo", "/metrics", "/assets/style.css", "/mcp", "/nothing"] {
        assert_eq!(status(path, "evil.example"), 403, "{path}");
        assert_eq!(status(path, "evil.example:3200"), 403, "{path}");
        assert_ne!(status(path, "localhost:3200"), 403, "{path}");
    }
    for host in ["127.0.0.1", "[::1]:3200", "192.168.1.5:80", "viewer.example", "OTHER.example:1", "a.localhost"] {
        assert_eq!(status("/ready", host), 200, "{host}");
    }
    for host in ["localhost.evil.example", "127.0.0.1.evil.example", "viewer.example.evil", "", "x\"y"] {
        assert_eq!(status("/ready", host), 403, "{host}");
    }
    // The same as an absolute URL, as a proxy sends it.
    assert_eq!(status("http://evil.example/ready", "localhost"), 403);
}

#[test]
fn otlp_takes_any_host_and_only_known_origins() {
    let viewer = Viewer::start(&["--cors-allowed-origins=https://app.example"]);
    let post = |headers: &[(&str, &str)]| {
        let trace = new_trace();
        let request = client().post(format!("{}/v1/traces", viewer.otlp)).header("content-type", "application/json");
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let body = traces("x", &[span(&trace, 1, 0, "a", 0, 5)]).to_string();
        let response = request.body(body).send().expect("a response");
        assert_eq!(has(&viewer, &trace), response.status() == 200);
        (response.status().as_u16(), response.headers().get("access-control-allow-origin").cloned())
    };
    assert_eq!(post(&[("host", "trace-viewer:4318")]), (200, None), "a container's name");
    for origin in ["http://localhost:3000", "http://127.0.0.1:5173", "https://app.example"] {
        assert_eq!(post(&[("origin", origin)]), (200, Some(origin.parse().expect("a header"))));
    }
    for origin in ["https://evil.example", "null", "http://localhost.evil.example"] {
        assert_eq!(post(&[("origin", origin)]), (403, None), "{origin}");
    }
}

#[test]
fn preflight_is_answered_for_known_origins() {
    let viewer = Viewer::start(&[]);
    let preflight = |origin: &str| {
        let request = client().request(Method::OPTIONS, format!("{}/v1/traces", viewer.otlp)).header("origin", origin);
        let request = request.header("access-control-request-method", "POST");
        request.header("access-control-request-headers", "content-type,x-mine").send().expect("a response")
    };
    let response = preflight("http://localhost:3000");
    assert_eq!(response.status(), 200);
    let header = |name: &str| response.headers()[name].to_str().expect("text").to_ascii_lowercase();
    assert_eq!(header("access-control-allow-origin"), "http://localhost:3000");
    assert!(header("access-control-allow-methods").contains("post"));
    assert!(header("access-control-allow-headers").contains("x-mine"));
    assert_eq!(preflight("https://evil.example").status(), 403);
    // Without an origin nothing changes.
    assert_eq!(export(&viewer, TRACES, framed(&[], false), None).0.code(), tonic::Code::Ok);
}
