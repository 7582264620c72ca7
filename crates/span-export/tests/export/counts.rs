use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use opentelemetry_sdk::error::OTelSdkError;
use opentelemetry_sdk::trace::SpanProcessor;
use proptest::prelude::*;
use span_export::SpanExport;

use crate::support::*;

/// A client whose requests wait until the test lets one pass; it sends whether that one succeeds.
fn gated() -> (Arc<Client>, mpsc::Sender<bool>) {
    let (pass, passes) = mpsc::channel();
    let passes = Mutex::new(passes);
    let client = Client::new(move |_| if passes.lock().unwrap().recv().unwrap_or(false) { ok() } else { status(400) });
    (client, pass)
}

#[test]
fn full_batch_leaves_at_once_and_rest_with_flush() {
    let client = Client::new(|_| ok());
    let (processor, counted) = processor(&client, |builder| builder.max_export_batch_size(4));
    (0..4).for_each(|_| processor.on_end(span()));
    eventually(|| counted.sums() == Counted::exported(4));
    processor.on_end(span());
    processor.force_flush().unwrap();
    assert_eq!((client.batches(), counted.sums()), (vec![4, 1], Counted::exported(5)));
}

#[test]
fn batch_that_is_not_full_leaves_after_schedule_delay() {
    let client = Client::new(|_| ok());
    let (processor, counted) = processor(&client, |builder| builder.schedule_delay(Duration::from_millis(20)));
    processor.on_end(span());
    eventually(|| counted.sums() == Counted::exported(1));
    processor.shutdown().unwrap();
}

#[test]
fn queue_bound_includes_export_under_way() {
    let (client, pass) = gated();
    let (processor, counted) = processor(&client, |builder| builder.max_queue_size(10).max_export_batch_size(4));
    (0..4).for_each(|_| processor.on_end(span()));
    eventually(|| client.requests().len() == 1);
    (0..8).for_each(|_| processor.on_end(span()));
    assert_eq!(counted.sums(), Sums { queue_full: 2, ..Sums::default() });
    (0..3).for_each(|_| pass.send(true).unwrap());
    processor.force_flush().unwrap();
    processor.on_end(span());
    pass.send(true).unwrap();
    processor.force_flush().unwrap();
    assert_eq!(counted.sums(), Sums { exported: 11, queue_full: 2, ..Sums::default() });
}

#[test]
fn export_that_finishes_after_shutdown_is_counted_once() {
    for succeeds in [true, false] {
        let (client, pass) = gated();
        let (processor, counted) = processor(&client, |builder| builder.max_export_batch_size(4));
        (0..6).for_each(|_| processor.on_end(span()));
        eventually(|| client.requests().len() == 1);
        let result = processor.shutdown_with_timeout(Duration::from_millis(20));
        assert!(matches!(result, Err(OTelSdkError::Timeout(_))));
        processor.on_end(span());
        let expected = Sums { shutdown: 7, ..Sums::default() };
        assert_eq!(counted.sums(), expected);
        pass.send(succeeds).unwrap();
        thread::sleep(Duration::from_millis(50));
        assert_eq!((counted.sums(), client.requests().len()), (expected, 1));
    }
}

#[test]
fn shutdown_waits_for_callback_that_runs_and_does_not_count_its_spans() {
    let sums = Arc::new(Mutex::new((0, 0)));
    let (exported, dropped) = (sums.clone(), sums.clone());
    let (started, has_started) = mpsc::channel();
    let builder = SpanExport::builder(Client::new(|_| ok()), "http://receiver/v1/traces").max_export_batch_size(4);
    let builder = builder.on_drop(move |_, count| dropped.lock().unwrap().1 += count);
    let builder = builder.on_export(move |count| {
        started.send(()).unwrap();
        thread::sleep(Duration::from_millis(50));
        exported.lock().unwrap().0 += count;
    });
    let processor = builder.build().unwrap();
    (0..4).for_each(|_| processor.on_end(span()));
    has_started.recv().unwrap();
    processor.shutdown_with_timeout(Duration::ZERO).unwrap();
    assert_eq!(*sums.lock().unwrap(), (4, 0));
}

#[test]
fn second_shutdown_counts_nothing() {
    let client = Client::new(|_| ok());
    let (processor, counted) = processor(&client, |builder| builder);
    processor.on_end(span());
    processor.shutdown_with_timeout(Duration::MAX).unwrap();
    assert!(matches!(processor.shutdown(), Err(OTelSdkError::AlreadyShutdown)));
    assert_eq!(counted.sums(), Counted::exported(1));
}

#[test]
fn dropped_processor_exports_what_waits() {
    let client = Client::new(|_| ok());
    let (processor, counted) = processor(&client, |builder| builder);
    processor.on_end(span());
    drop(processor);
    eventually(|| counted.sums() == Counted::exported(1));
}

#[test]
fn flush_that_takes_too_long_says_so() {
    let (client, pass) = gated();
    let (processor, counted) = processor(&client, |builder| builder.timeout(Duration::from_millis(20)));
    processor.on_end(span());
    assert!(matches!(processor.force_flush(), Err(OTelSdkError::Timeout(_))));
    pass.send(true).unwrap();
    eventually(|| counted.sums() == Counted::exported(1));
}

#[test]
fn rejected_spans_of_partial_success_are_dropped_within_batch_size() {
    for (rejected, failed) in [(0, 0), (2, 2), (5, 5), (6, 5), (i64::MAX, 5), (-1, 0), (i64::MIN, 0)] {
        let client = Client::new(move |_| partial(rejected, ""));
        let (processor, counted) = processor(&client, |builder| builder);
        (0..5).for_each(|_| processor.on_end(span()));
        processor.force_flush().unwrap();
        assert_eq!(counted.sums(), Sums { exported: 5 - failed, failed, ..Sums::default() }, "{rejected}");
    }
}

#[test]
fn response_that_is_no_protobuf_is_success() {
    let client = Client::new(|_| Ok(http::Response::new("thank you".into())));
    let (processor, counted) = processor(&client, |builder| builder);
    processor.on_end(span());
    processor.force_flush().unwrap();
    assert_eq!(counted.sums(), Counted::exported(1));
}

#[test]
fn client_that_panics_drops_batch_and_thread_goes_on() {
    let client = Client::new(|number| if number == 0 { panic!("a client of a test") } else { ok() });
    let (processor, counted) = processor(&client, |builder| builder);
    for _ in 0..2 {
        processor.on_end(span());
        processor.force_flush().unwrap();
    }
    processor.shutdown().unwrap();
    assert_eq!(counted.sums(), Sums { exported: 1, failed: 1, ..Sums::default() });
}

#[test]
fn callback_that_panics_leaves_thread_running() {
    let client = Client::new(|_| ok());
    let builder = SpanExport::builder(client.clone(), "http://receiver/v1/traces");
    let processor = builder.on_export(|_| panic!("a callback of a test")).build().unwrap();
    for _ in 0..2 {
        processor.on_end(span());
        processor.force_flush().unwrap();
    }
    processor.shutdown().unwrap();
    assert_eq!(client.batches(), [1, 1]);
}

/// What the receiver does with a request.
#[derive(Debug, Clone, Copy)]
enum Mood {
    Takes,
    TakesLate,
    TakesSome,
    Refuses,
    Overloaded,
    Gone,
    Panics,
}

fn moods() -> impl Strategy<Value = Vec<Mood>> {
    use Mood::*;
    let mood = prop::sample::select(vec![Takes, Takes, TakesLate, TakesSome, Refuses, Overloaded, Gone, Panics]);
    prop::collection::vec(mood, 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn every_span_is_counted_once_whatever_happens(
        moods in moods(),
        max_queue_size in 1..200_usize,
        batch in 1..60_usize,
        spans in 1..400_usize,
        shutdown_after in 0..15_u64,
        limit in prop_oneof![Just(0), 0..15_u64],
    ) {
        let of_client = moods.clone();
        let client = Client::new(move |number| match of_client[number % of_client.len()] {
            Mood::Takes => ok(),
            Mood::TakesLate => {
                thread::sleep(Duration::from_millis(5));
                ok()
            }
            Mood::TakesSome => partial(3, "some"),
            Mood::Refuses => status(400),
            Mood::Overloaded => status(503),
            Mood::Gone => Err("gone".into()),
            Mood::Panics => panic!("a client of a test"),
        });
        let (processor, counted) = processor(&client, |builder| {
            let builder = builder.max_queue_size(max_queue_size).max_export_batch_size(batch);
            builder.timeout(Duration::from_millis(70)).schedule_delay(Duration::from_millis(1))
        });
        let limit = Duration::from_millis(limit);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| (0..spans).for_each(|_| processor.on_end(span())));
            }
            scope.spawn(|| processor.force_flush());
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(shutdown_after));
                let _ = processor.shutdown_with_timeout(limit);
            });
            let _ = processor.force_flush();
        });
        let sums = counted.sums();
        prop_assert_eq!(sums.total(), 3 * spans, "{:?}", sums);
        thread::sleep(Duration::from_millis(8));
        prop_assert_eq!(counted.sums(), sums.clone(), "an export that finished late was counted again");
        let received = client.batches().into_iter().enumerate().map(|(number, count)| match moods[number % moods.len()] {
            Mood::Takes | Mood::TakesLate => count,
            Mood::TakesSome => count.saturating_sub(3),
            _ => 0,
        });
        let received: usize = received.sum();
        prop_assert!(sums.exported <= received && received <= sums.exported + sums.shutdown, "{received} of {sums:?}");
    }
}
