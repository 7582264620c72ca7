use std::time::{Duration, Instant, SystemTime};

use opentelemetry_http::ResponseBodyTooLarge;
use opentelemetry_sdk::trace::SpanProcessor;

use crate::support::*;

#[test]
fn retryable_statuses_lose_nothing_when_receiver_recovers() {
    for code in [429, 502, 503, 504] {
        let client = Client::new(move |number| if number < 2 { status(code) } else { ok() });
        let (processor, counted) = processor(&client, |builder| builder.timeout(LONG));
        processor.on_end(span());
        processor.force_flush().unwrap();
        assert_eq!(counted.sums(), Counted::exported(1), "{code}");
        let bodies: Vec<_> = client.requests().into_iter().map(|request| request.into_body()).collect();
        assert_eq!(bodies, vec![bodies[0].clone(); 3], "{code}");
    }
}

#[test]
fn transport_error_is_retried() {
    let client = Client::new(|number| if number == 0 { Err("connection refused".into()) } else { ok() });
    let (processor, counted) = processor(&client, |builder| builder);
    processor.on_end(span());
    processor.force_flush().unwrap();
    assert_eq!((counted.sums(), client.requests().len()), (Counted::exported(1), 2));
}

#[test]
fn other_statuses_and_redirects_fail_at_once() {
    for code in [300, 301, 302, 303, 304, 307, 308, 400, 401, 403, 404, 413, 500, 501] {
        let client = Client::new(move |_| status(code));
        let (processor, counted) = processor(&client, |builder| builder);
        processor.on_end(span());
        processor.force_flush().unwrap();
        assert_eq!((counted.sums(), client.requests().len()), (Counted::failed(1), 1), "{code}");
    }
}

#[test]
fn response_that_is_too_long_is_not_retried() {
    let client = Client::new(|_| Err(Box::new(ResponseBodyTooLarge::new())));
    let (processor, counted) = processor(&client, |builder| builder);
    processor.on_end(span());
    processor.force_flush().unwrap();
    assert_eq!((counted.sums(), client.requests().len()), (Counted::failed(1), 1));
}

#[test]
fn waits_between_attempts_grow() {
    let client = Client::new(|number| if number < 4 { status(503) } else { ok() });
    let (processor, _) = processor(&client, |builder| builder.timeout(LONG));
    processor.on_end(span());
    processor.force_flush().unwrap();
    let waits: Vec<_> = client.times().windows(2).map(|pair| pair[1] - pair[0]).collect();
    for (wait, least) in waits.iter().zip([50, 100, 200, 400]) {
        assert!(*wait >= Duration::from_millis(least), "{waits:?}");
    }
}

#[test]
fn retries_stop_with_timeout() {
    let client = Client::new(|_| status(503));
    let timeout = Duration::from_secs(1);
    let (processor, counted) = processor(&client, |builder| builder.timeout(timeout).max_export_batch_size(1));
    processor.on_end(span());
    eventually(|| counted.sums() == Counted::failed(1));
    let times = client.times();
    assert!(times.len() >= 3, "{times:?}");
    // Each attempt begins within the timeout; a second is for a busy machine.
    assert!(*times.last().unwrap() < timeout + Duration::from_secs(1), "{times:?}");
}

#[test]
fn retry_after_in_seconds_is_honoured() {
    let client = Client::new(|number| if number == 0 { retry_after(503, "1") } else { ok() });
    let (processor, counted) = processor(&client, |builder| builder);
    processor.on_end(span());
    processor.force_flush().unwrap();
    assert_eq!(counted.sums(), Counted::exported(1));
    assert!(client.times()[1] >= Duration::from_secs(1), "{:?}", client.times());
}

#[test]
fn retry_after_as_date_is_honoured() {
    let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(2)); // dates have whole seconds
    let client = Client::new(move |number| if number == 0 { retry_after(429, &date) } else { ok() });
    let (processor, counted) = processor(&client, |builder| builder);
    processor.on_end(span());
    processor.force_flush().unwrap();
    assert_eq!(counted.sums(), Counted::exported(1));
    assert!(client.times()[1] >= Duration::from_millis(700), "{:?}", client.times());
}

#[test]
fn retry_after_that_says_nothing_is_ignored() {
    for value in ["", "soon", "-1", "Fri, 31 Dec 1999 23:59:59 GMT"] {
        let client = Client::new(move |number| if number == 0 { retry_after(503, value) } else { ok() });
        let (processor, counted) = processor(&client, |builder| builder);
        processor.on_end(span());
        processor.force_flush().unwrap();
        assert_eq!((counted.sums(), client.requests().len()), (Counted::exported(1), 2), "{value}");
    }
}

#[test]
fn retry_after_beyond_timeout_fails_at_once() {
    let client = Client::new(|_| retry_after(503, "18446744073709551615"));
    let (processor, counted) = processor(&client, |builder| builder.timeout(LONG));
    processor.on_end(span());
    processor.force_flush().unwrap();
    assert_eq!((counted.sums(), client.requests().len()), (Counted::failed(1), 1));
}

#[test]
fn shutdown_ends_wait_with_one_last_attempt() {
    for recovers in [true, false] {
        let client = Client::new(move |number| if recovers && number > 0 { ok() } else { retry_after(503, "100") });
        let (processor, counted) = processor(&client, |builder| builder.timeout(LONG * 10).max_export_batch_size(1));
        processor.on_end(span());
        eventually(|| client.requests().len() == 1);
        let started = Instant::now();
        processor.shutdown_with_timeout(LONG).unwrap();
        assert!(started.elapsed() < LONG / 2);
        let expected = if recovers { Counted::exported(1) } else { Counted::failed(1) };
        assert_eq!((counted.sums(), client.requests().len()), (expected, 2));
    }
}

#[test]
fn batches_that_leave_during_shutdown_are_tried_once() {
    let client = Client::new(|_| status(503));
    let (processor, counted) = processor(&client, |builder| builder.timeout(LONG));
    (0..3).for_each(|_| processor.on_end(span()));
    processor.shutdown_with_timeout(LONG).unwrap();
    assert_eq!((counted.sums(), client.requests().len()), (Counted::failed(3), 1));
}
