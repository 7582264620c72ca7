//! Start, stop, settings, and their log lines.

use std::io::Write;
use std::net::TcpStream;

use serde_json::Value;
use test_support::Signal;

use crate::support::{Viewer, client, new_trace, program, span};

/// Exit status and the whole of stderr.
fn failing(argument: &str, environment: &[(&str, &str)]) -> (Option<i32>, String) {
    let finished = program(&[argument], environment).finish();
    (finished.status.code(), finished.stderr)
}

#[test]
fn bad_setting_is_one_line_and_nothing_binds() {
    let cases = [
        ("OTLP_PORT", "-1", "error: OTLP_PORT (--otlp-port): '-1' is not valid: allowed: a number from 0 to 65535\n"),
        (
            "OTLP_GRPC_PORT",
            "x",
            "error: OTLP_GRPC_PORT (--otlp-grpc-port): 'x' is not valid: allowed: a number from 0 to 65535\n",
        ),
        ("LOG_FORMAT", "xml", "error: LOG_FORMAT (--log-format): 'xml' is not valid: allowed: json, pretty\n"),
        ("MAX_SPANS", "1", "error: MAX_SPANS (--max-spans): '1' is not valid: allowed: a number from 2 up\n"),
        ("MAX_BYTES", "1", "error: MAX_BYTES (--max-bytes): '1' is not valid: allowed: a number from 1048576 up\n"),
        ("HOST", "a", "error: HOST (--host): 'a' is not valid: allowed: an IP address such as 127.0.0.1 or 0.0.0.0\n"),
    ];
    for (setting, value, expected) in cases {
        assert_eq!(failing("--port=0", &[(setting, value)]), (Some(2), expected.to_owned()));
    }
    let (status, error) = failing("--port=0", &[("RUST_LOG", "a=b=c")]);
    assert!(status == Some(2) && error.starts_with("error: RUST_LOG (--rust-log): 'a=b=c' is not valid: "), "{error}");
    let (status, error) = failing("--nonsense", &[]);
    assert_eq!((status, error.lines().count()), (Some(2), 1), "{error}");
    let expected = "error: PORT (--port): 'x' is not valid: allowed: a number from 0 to 65535\n";
    assert_eq!(failing("--port=x", &[]), (Some(2), expected.to_owned()));
}

#[test]
fn empty_variable_counts_as_unset() {
    let variables = [
        "HOST",
        "PORT",
        "OTLP_PORT",
        "OTLP_GRPC_PORT",
        "ALLOWED_HOSTS",
        "CORS_ALLOWED_ORIGINS",
        "MAX_SPANS",
        "MAX_BYTES",
        "LOG_FORMAT",
        "RUST_LOG",
    ];
    let viewer = program(&["--port=0", "--otlp-port=0", "--otlp-grpc-port=0"], &variables.map(|name| (name, "")));
    let line = viewer.wait_for(|line| line.contains("starting up"));
    assert!(line.contains("Trace viewer starting up") && line.contains("127.0.0.1"), "{line}");
}

#[test]
fn taken_port_is_named_with_its_setting() {
    let viewer = Viewer::start(&[]);
    for (setting, address) in [("OTLP_PORT", &viewer.otlp), ("OTLP_GRPC_PORT", &viewer.otlp_grpc)] {
        let port = address.rsplit(':').next().expect("a port");
        let ports = [("OTLP_PORT", "0"), ("OTLP_GRPC_PORT", "0")];
        let ports = ports.map(|(name, any)| if name == setting { (name, port) } else { (name, any) });
        let (status, error) = failing("--port=0", &ports);
        assert_eq!((status, error.lines().count()), (Some(1), 1));
        assert!(error.contains(&format!("{setting}:")) && error.contains(port), "{error}");
    }
}

#[test]
fn sigterm_and_sigint_exit_after_drain() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let viewer = Viewer::start(&[]);
        viewer.send("x", &[span(&new_trace(), 1, 0, "a", 0, 5)]);
        // A page that polls holds a connection open; that must not delay the exit.
        let page = client();
        page.get(format!("{}/view/traces", viewer.pages)).send().expect("a response");
        viewer.signal(signal);
        let (status, lines) = viewer.wait();
        assert!(status.success(), "{status}");
        let last = lines.last().expect("a last line");
        assert_eq!((&last["message"], &last["drained"]), (&Value::from("Trace viewer stopped"), &Value::from(true)));
    }
}

#[test]
fn unfinished_requests_do_not_prevent_exit() {
    let viewer = Viewer::start(&[]);
    let half = "POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{";
    let connections: Vec<TcpStream> = [half, &half[..30]]
        .map(|half| {
            let mut connection = TcpStream::connect(viewer.otlp.trim_start_matches("http://")).expect("a connection");
            connection.write_all(half.as_bytes()).expect("half a request");
            connection
        })
        .into();
    viewer.json("/view/traces");
    viewer.signal(Signal::SIGTERM);
    let (status, lines) = viewer.wait();
    assert!(status.success(), "{status}");
    assert_eq!(lines.last().map(|line| &line["drained"]), Some(&Value::from(false)));
    drop(connections);
}

#[test]
fn log_lines_are_json_with_the_fields_of_the_contract() {
    let viewer = Viewer::start(&[]);
    client()
        .post(format!("{}/v1/traces", viewer.otlp))
        .header("content-type", "application/json")
        .body("{")
        .send()
        .expect("a response");
    viewer.signal(Signal::SIGTERM);
    let (_, lines) = viewer.wait();
    let refused = lines.iter().find(|line| line["message"] == "Message refused").expect("a line");
    assert_eq!((&refused["level"], &refused["service"]), (&Value::from("WARNING"), &Value::from("trace-viewer")));
    assert_eq!(refused["status"], 400);
    let written = refused["timestamp"].as_str().expect("a time");
    assert!(written.ends_with('Z') && written.contains('T'), "{written}");
    assert!(refused["logger"].as_str().is_some_and(|logger| logger.starts_with("trace_viewer")));
}

#[test]
fn pretty_lines_are_no_json() {
    let viewer = program(&["--port=0", "--otlp-port=0", "--otlp-grpc-port=0", "--log-format=pretty"], &[]);
    let line = viewer.wait_for(|line| line.contains("starting up"));
    assert!(line.contains("Trace viewer starting up") && !line.starts_with('{'), "{line}");
}
