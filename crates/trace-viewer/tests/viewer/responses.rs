//! The memory of responses: clients that do not read them, and texts that grow in them.

use std::io::Write;
use std::net::TcpStream;

use test_support::eventually;

use crate::attacks::{BESIDE, MAX_BYTES, Message, Way, field, ids, send};
use crate::support::{Viewer, new_trace, post};

#[test]
fn clients_that_read_nothing_do_not_fill_the_memory() {
    let viewer = Viewer::start(&[&format!("--max-bytes={}", 2 * MAX_BYTES)]);
    let trace = new_trace();
    let spans: Vec<u8> = (1..=10_000).flat_map(|number| field(2, &ids(&trace, number))).collect();
    assert_eq!(send(&viewer, Way::Protobuf, &Message::of_spans(&spans)), 200);
    let paths = [
        format!("/api/traces/{trace}"),
        format!("/view/traces/{trace}"),
        format!("/view/traces/{trace}/otlp.json"),
        format!("/api/v2/traces/{trace}"),
        format!("/view/compare/{trace}/{trace}"),
        "/api/search?limit=100&spss=100&q=%7B%7D".to_owned(),
    ];
    let deaf: Vec<TcpStream> = (0..120)
        .map(|i| {
            let mut connection = TcpStream::connect(viewer.pages.trim_start_matches("http://")).expect("a connection");
            connection
                .write_all(format!("GET {} HTTP/1.1\r\nhost: localhost\r\n\r\n", paths[i % paths.len()]).as_bytes())
                .expect("sent");
            connection
        })
        .collect();
    // Each has a response, or the first part of one.
    for connection in &deaf {
        connection.set_read_timeout(Some(test_support::PATIENCE)).expect("a time limit");
        connection.peek(&mut [0]).expect("a response");
    }
    assert_eq!(viewer.get("/ready").status(), 200);
    if let Some(most) = viewer.memory() {
        assert!(most < 2 * MAX_BYTES + BESIDE, "{} MiB", most >> 20);
    }
    drop(deaf);
    let whole = eventually("the whole trace", || {
        let response = viewer.get(&paths[0]);
        (response.status() == 200).then(|| response.json::<serde_json::Value>().expect("JSON"))
    });
    assert_eq!(whole["batches"][0]["scopeSpans"][0]["spans"].as_array().map(Vec::len), Some(10_000));
}

#[test]
fn texts_that_grow_sixfold_in_json_stay_within_the_memory() {
    let viewer = Viewer::start(&[&format!("--max-bytes={}", 2 * MAX_BYTES)]);
    let trace = new_trace();
    // A control character is six in JSON: the text that is stored has 7.5 MB, that of the response 45 MB.
    let text = vec![1; 15 << 19];
    let attribute = [field(1, b"k"), field(2, &field(1, &text))].concat();
    let large = [ids(&trace, 1), field(5, &text[..100_000]), field(9, &attribute)].concat();
    assert_eq!(send(&viewer, Way::Protobuf, &Message::of_spans(&field(2, &large))), 200);
    // Names that repeat are sent in each row.
    let named = |number| field(2, &[ids(&trace, number), field(5, &text[..4_000])].concat());
    let spans: Vec<u8> = (2..=1_500).flat_map(named).collect();
    assert_eq!(send(&viewer, Way::Protobuf, &Message::of_spans(&spans)), 200);
    let paths = [
        format!("/api/traces/{trace}"),
        format!("/view/traces/{trace}"),
        format!("/view/traces/{trace}/spans/0000000000000001"),
        format!("/view/traces/{trace}/otlp.json"),
        format!("/view/compare/{trace}/{trace}"),
        "/view/traces".to_owned(),
        "/view/map".to_owned(),
    ];
    std::thread::scope(|threads| {
        for i in 0..24 {
            let (viewer, path) = (&viewer, &paths[i % paths.len()]);
            threads.spawn(move || {
                let status = viewer.get(path).status().as_u16();
                assert!([200, 503].contains(&status), "{path}: {status}");
            });
        }
    });
    for path in &paths {
        assert_eq!(viewer.get(path).status(), 200, "{path}");
    }
    if let Some(most) = viewer.memory() {
        assert!(most < 2 * MAX_BYTES + BESIDE, "{} MiB", most >> 20);
    }
}

/// An attribute `k`, as a field of a span.
fn attribute(value: &[u8]) -> Vec<u8> {
    field(9, &[field(1, b"k"), field(2, value)].concat())
}

#[test]
fn values_of_many_small_items_stay_within_the_memory() {
    let viewer = Viewer::start(&[&format!("--max-bytes={}", 2 * MAX_BYTES)]);
    // A value in OTLP has few bytes; as a value in JSON it has hundreds.
    let items = |count: usize| -> Vec<u8> {
        (0..count).flat_map(|i| field(1, &field(1, format!("{i:x}").as_bytes()))).collect()
    };
    let list = attribute(&field(5, &items(480_000)));
    let many: Vec<u8> = (0..240_000).flat_map(|_| attribute(&field(1, b"v"))).collect();
    for attributes in [list, many] {
        let trace = new_trace();
        let large = [ids(&trace, 1), field(5, b"large"), attributes].concat();
        assert_eq!(send(&viewer, Way::Protobuf, &Message::of_spans(&field(2, &large))), 200);
        let paths = [
            format!("/api/traces/{trace}"),
            format!("/api/v2/traces/{trace}"),
            format!("/view/traces/{trace}"),
            format!("/view/traces/{trace}/spans/0000000000000001"),
            format!("/view/traces/{trace}/otlp.json"),
            format!("/view/traces/{trace}/find?text=zz"),
            "/api/search?tags=k%3Dzz".to_owned(),
            "/api/v2/search/tag/span.k/values".to_owned(),
        ];
        std::thread::scope(|threads| {
            for path in paths.iter().cycle().take(2 * paths.len()) {
                let viewer = &viewer;
                threads.spawn(move || {
                    let status = viewer.get(path).status().as_u16();
                    assert!([200, 503].contains(&status), "{path}: {status}");
                });
            }
        });
        for path in &paths {
            assert_eq!(viewer.get(path).status(), 200, "{path}");
        }
        // With the list, the response would be too long.
        let status = viewer.get("/api/search?q=%7B%20span.k%20%21%3D%20nil%20%7D").status().as_u16();
        assert!([200, 400].contains(&status), "{status}");
    }
    if let Some(most) = viewer.memory() {
        assert!(most < 2 * MAX_BYTES + BESIDE, "{} MiB", most >> 20);
    }
}

/// Sends spans `first` up to `last` of a trace, each with `content`, in messages that are small enough.
pub(crate) fn send_spans(viewer: &Viewer, trace: &str, (first, last): (u64, u64), content: impl Fn(u64) -> Vec<u8>) {
    let numbers: Vec<u64> = (first..=last).collect();
    let span = |number: &u64| field(2, &[ids(trace, *number), content(*number)].concat());
    for part in numbers.chunks(((6 << 20) / span(&first).len()).clamp(1, 20_000)) {
        let spans: Vec<u8> = part.iter().flat_map(span).collect();
        assert_eq!(send(viewer, Way::Protobuf, &Message::of_spans(&spans)), 200);
    }
}

/// Requests each path `count` times, all at once, and then checks the memory.
fn request_at_once(viewer: &Viewer, paths: &[String], count: usize, max_bytes: u64) {
    std::thread::scope(|threads| {
        for path in paths.iter().cycle().take(count * paths.len()) {
            threads.spawn(move || {
                let status = viewer.get(path).status().as_u16();
                assert!([200, 400, 503].contains(&status), "{path}: {status}");
            });
        }
    });
    if let Some(most) = viewer.memory() {
        assert!(most < max_bytes + BESIDE, "{} MiB: {paths:?}", most >> 20);
    }
}

#[test]
fn texts_that_the_store_holds_once_are_not_copied_for_each_span() {
    let viewer = Viewer::start(&[&format!("--max-bytes={}", 2 * MAX_BYTES), "--query-timeout-ms=60000"]);
    let trace = new_trace();
    let text = "\u{1f600}".repeat(200);
    let named = |key: &str| field(9, &[field(1, key.as_bytes()), field(2, &field(1, text.as_bytes()))].concat());
    let attributes = ["error.type", "peer.service", "server.address", "exception.type"].map(named).concat();
    let status = field(15, &[field(2, text.as_bytes()), vec![3 << 3, 2]].concat());
    let span = [field(5, text.as_bytes()), status, attributes].concat();
    send_spans(&viewer, &trace, (1, 12_000), |number| {
        let parent = if number > 1 { field(4, &1_u64.to_be_bytes()) } else { Vec::new() };
        [parent, span.clone()].concat()
    });
    let paths = [
        format!("/view/traces/{trace}"),
        format!("/view/traces/{trace}/find?text=zz"),
        format!("/view/compare/{trace}/{trace}"),
    ];
    request_at_once(&viewer, &paths, 1, 2 * MAX_BYTES);
}

#[test]
fn links_that_a_query_selects_are_not_copied() {
    let viewer = Viewer::start(&[&format!("--max-bytes={}", 8 * MAX_BYTES)]);
    let link = field(13, &[field(1, b"xxxx"), field(2, b"yyyy")].concat());
    send_spans(&viewer, &new_trace(), (1, 1), |_| link.repeat(340_000));
    let query = "%7Blink%3AtraceID%20%21%3D%20%221%22%7D%20%7C%20select%28link%3AtraceID%2C%20link%3AspanID%29";
    request_at_once(&viewer, &[format!("/api/search?q={query}")], 4, 8 * MAX_BYTES);
}

#[test]
fn severity_of_megabytes_is_cut_in_the_details_of_a_span() {
    let viewer = Viewer::start(&[&format!("--max-bytes={}", 8 * MAX_BYTES)]);
    let trace = new_trace();
    send_spans(&viewer, &trace, (1, 1), |_| Vec::new());
    let id: Vec<u8> = ids(&trace, 1)[2..18].to_vec();
    // Its capitals take three times as much.
    let severity = field(3, "\u{390}".repeat(7 << 19).as_bytes());
    let record = [severity, field(9, &id), field(10, &1_u64.to_be_bytes())].concat();
    let message = field(1, &field(2, &field(2, &record)));
    for _ in 0..8 {
        let url = format!("{}/v1/logs", viewer.otlp);
        assert_eq!(post(&url, "application/x-protobuf", message.clone()).status(), 200);
    }
    let path = format!("/view/traces/{trace}/spans/{:016x}", 1);
    request_at_once(&viewer, std::slice::from_ref(&path), 1, 8 * MAX_BYTES);
    assert_eq!(viewer.json(&path)["logs"].as_array().map(Vec::len), Some(8));
}

#[test]
fn keys_and_values_of_megabytes_are_left_out_of_those_that_are_offered() {
    let viewer = Viewer::start(&[&format!("--max-bytes={}", 2 * MAX_BYTES)]);
    // A control character is six in JSON.
    let text = vec![1; 7 << 20];
    send_spans(&viewer, &new_trace(), (1, 1), |_| attribute(&field(5, &field(1, &field(1, &text)))));
    send_spans(&viewer, &new_trace(), (1, 1), |_| field(9, &[field(1, &text), field(2, &field(1, b"v"))].concat()));
    let paths = ["/api/v2/search/tag/span.k/values", "/api/search/tag/k/values", "/api/v2/search/tags"];
    request_at_once(&viewer, &paths.map(str::to_owned), 12, 2 * MAX_BYTES);
    assert_eq!(viewer.json("/api/search/tags")["tagNames"], serde_json::json!(["k"]));
}
