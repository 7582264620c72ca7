//! Messages in protobuf and in JSON, from the wire to the stored span and back.

use std::sync::Arc;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, TracesData};
use proptest::prelude::*;
use prost::Message;
use serde_json::json;

use crate::check::check;
use crate::chunk::Stored;
use crate::decode::Decoder;
use crate::json::to_protobuf;
use crate::schema::TRACES;
use crate::store::{Limits, Store};
use crate::{trace_json, trace_protobuf};

const LIMITS: Limits = Limits { spans: 1000, bytes: 10 << 20 };

fn any_value() -> impl Strategy<Value = AnyValue> {
    let leaf = prop_oneof![
        Just(None),
        "\\PC{0,60}".prop_map(|text| Some(Value::StringValue(text))),
        any::<bool>().prop_map(|flag| Some(Value::BoolValue(flag))),
        any::<i64>().prop_map(|number| Some(Value::IntValue(number))),
        (-1e300..1e300).prop_map(|number| Some(Value::DoubleValue(number))),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| Some(Value::BytesValue(bytes))),
    ];
    leaf.prop_map(|value| AnyValue { value }).prop_recursive(3, 20, 4, |inner| {
        let pairs = prop::collection::vec(("\\PC{0,40}", inner.clone()), 0..4);
        prop_oneof![
            prop::collection::vec(inner, 0..4)
                .prop_map(|values| AnyValue { value: Some(Value::ArrayValue(ArrayValue { values })) }),
            pairs.prop_map(|pairs| AnyValue {
                value: Some(Value::KvlistValue(KeyValueList { values: pairs.into_iter().map(pair).collect() }))
            }),
        ]
    })
}

fn pair((key, value): (String, AnyValue)) -> KeyValue {
    KeyValue { key, value: Some(value), ..KeyValue::default() }
}

fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    prop::collection::vec(("\\PC{0,40}", any_value()).prop_map(pair), 0..4)
}

fn event() -> impl Strategy<Value = Event> {
    (any::<u64>(), "\\PC{0,40}", attributes(), any::<u32>()).prop_map(|(time, name, attributes, dropped)| Event {
        time_unix_nano: time,
        name,
        attributes,
        dropped_attributes_count: dropped,
    })
}

fn link() -> impl Strategy<Value = Link> {
    (any::<[u8; 16]>(), any::<[u8; 8]>(), "\\PC{0,40}", attributes(), any::<u32>()).prop_map(
        |(trace, span, trace_state, attributes, flags)| Link {
            trace_id: trace.to_vec(),
            span_id: span.to_vec(),
            trace_state,
            attributes,
            dropped_attributes_count: flags,
            flags,
        },
    )
}

fn span() -> impl Strategy<Value = Span> {
    let ids = (1..=u64::MAX, 0..=u64::MAX, any::<u32>());
    let numbers = (any::<u64>(), any::<u64>(), 0..6i32, any::<u32>(), 0..3i32);
    let texts = ("\\PC{0,40}", "\\PC{0,40}", "\\PC{0,40}");
    let lists = (attributes(), prop::collection::vec(event(), 0..3), prop::collection::vec(link(), 0..3));
    (ids, numbers, texts, lists).prop_map(|((id, parent, flags), (start, end, kind, dropped, code), texts, lists)| {
        let status = Status { message: texts.2, code };
        Span {
            trace_id: vec![7; 16],
            span_id: id.to_be_bytes().to_vec(),
            parent_span_id: if parent == 0 { Vec::new() } else { parent.to_be_bytes().to_vec() },
            trace_state: texts.0,
            flags,
            name: texts.1,
            kind,
            start_time_unix_nano: start,
            end_time_unix_nano: end,
            attributes: lists.0,
            dropped_attributes_count: dropped,
            events: lists.1,
            dropped_events_count: dropped / 2,
            links: lists.2,
            dropped_links_count: dropped / 3,
            status: (status != Status::default()).then_some(status),
        }
    })
}

prop_compose! {
    fn message()(
        span in span(), resource in attributes(), scope in attributes(), name in "\\PC{0,40}", dropped in any::<u32>(),
    ) -> ExportTraceServiceRequest {
        let scope = InstrumentationScope {
            name: name.clone(), version: name, attributes: scope, dropped_attributes_count: dropped,
        };
        let resource = Resource { attributes: resource, dropped_attributes_count: dropped, ..Resource::default() };
        let scope_spans = ScopeSpans { scope: Some(scope), spans: vec![span], ..ScopeSpans::default() };
        let resource = Some(resource);
        let resource_spans = ResourceSpans { resource, scope_spans: vec![scope_spans], ..ResourceSpans::default() };
        ExportTraceServiceRequest { resource_spans: vec![resource_spans] }
    }
}

/// What the store has after `message`.
fn stored(decoder: &mut Decoder, message: &[u8]) -> TracesData {
    let store = Arc::new(Store::new(LIMITS));
    check(message, &TRACES).expect("an OTLP message");
    assert_eq!(decoder.traces(message, &store), Ok(Stored { kept: 1, ..Stored::default() }));
    let mut sent = Vec::new();
    trace_protobuf::write(&store.latest(1)[0], false, &mut sent).expect("written");
    TracesData::decode(sent.as_slice()).expect("protobuf")
}

proptest! {
    #[test]
    fn span_is_stored_whole_and_the_same_from_protobuf_and_json(message in message()) {
        // Twice, so that texts, resources and scopes that repeat are shared.
        let mut decoder = Decoder::default();
        for _ in 0..2 {
            let from_protobuf = stored(&mut decoder, &message.encode_to_vec());
            prop_assert_eq!(&from_protobuf.resource_spans, &message.resource_spans);
            let json = serde_json::to_vec(&message).expect("JSON");
            let from_json = stored(&mut decoder, &to_protobuf(&json, &TRACES).expect("OTLP/JSON"));
            prop_assert_eq!(from_json, from_protobuf);
        }
    }

    /// `opentelemetry-proto` reads it as the message that was sent.
    #[test]
    fn json_that_is_written_is_otlp(message in message()) {
        let store = Arc::new(Store::new(LIMITS));
        prop_assert_eq!(Decoder::default().traces(&message.encode_to_vec(), &store).map(|stored| stored.kept), Ok(1));
        let mut written = Vec::new();
        trace_json::otlp(&store.latest(1)[0], &mut written).expect("written");
        let read: TracesData = serde_json::from_slice(&written).expect("OTLP/JSON");
        prop_assert_eq!(read.resource_spans, message.resource_spans);
    }

    #[test]
    fn any_bytes_that_pass_the_check_are_decoded(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let store = Store::new(LIMITS);
        prop_assert!(check(&bytes, &TRACES).is_err() || Decoder::default().traces(&bytes, &store).is_ok());
    }
}

/// The values that `attribute` gets in the store when it is sent as OTLP/JSON.
fn value_of(attribute: &serde_json::Value) -> Option<Value> {
    let span = json!({"traceId": "07".repeat(16), "spanId": "0A0b0c0d0e0f0102", "attributes": [attribute]});
    let message = json!({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).to_string();
    let message = to_protobuf(message.as_bytes(), &TRACES).expect("OTLP/JSON");
    let traces = stored(&mut Decoder::default(), &message);
    traces.resource_spans[0].scope_spans[0].spans[0].attributes[0].value.clone().expect("a value").value
}

#[test]
fn values_are_taken_as_real_encoders_write_them() {
    let array = |values| Some(Value::ArrayValue(ArrayValue { values }));
    let empty = AnyValue { value: None };
    let cases = [
        (json!({"arrayValue": {}}), array(vec![])),
        (json!({"arrayValue": {"values": null}}), array(vec![])),
        (json!({"arrayValue": {"values": [{}, null]}}), array(vec![empty.clone(), empty])),
        (json!({"kvlistValue": {}}), Some(Value::KvlistValue(KeyValueList { values: vec![] }))),
        (json!({"doubleValue": "Infinity"}), Some(Value::DoubleValue(f64::INFINITY))),
        (json!({"doubleValue": "-Infinity"}), Some(Value::DoubleValue(f64::NEG_INFINITY))),
        (json!({"doubleValue": 1}), Some(Value::DoubleValue(1.0))),
        (json!({"doubleValue": "1.5"}), Some(Value::DoubleValue(1.5))),
        (json!({"intValue": 5}), Some(Value::IntValue(5))),
        (json!({"intValue": "-5"}), Some(Value::IntValue(-5))),
        (json!({"intValue": 5.0}), Some(Value::IntValue(5))),
        (json!({"boolValue": "true"}), Some(Value::BoolValue(true))),
        (json!({"boolValue": false}), Some(Value::BoolValue(false))),
        (json!({"stringValue": ""}), Some(Value::StringValue(String::new()))),
        (json!({"string_value": "a"}), Some(Value::StringValue("a".to_owned()))),
        (json!({"bytesValue": "-_8"}), Some(Value::BytesValue(vec![0xfb, 0xff]))),
        (json!({"stringValue": null}), None),
        (json!({"unknownValue": {"a": [1]}}), None),
        (json!(null), None),
    ];
    for (value, expected) in cases {
        assert_eq!(value_of(&json!({"key": "k", "value": value})), expected, "{value}");
    }
    assert!(matches!(value_of(&json!({"value": {"doubleValue": "NaN"}})), Some(Value::DoubleValue(n)) if n.is_nan()));
    assert_eq!(value_of(&json!({"key": "k"})), None);
}

#[test]
fn fields_are_taken_as_real_encoders_write_them() {
    let message = json!({
        "resourceSpans": [{
            "resource": {
                "attributes": null,
                "entityRefs": [{"type": "service", "idKeys": ["service.name"], "schemaUrl": ""}, {}],
                "ofANewerVersion": [{"a": 1}],
            },
            "schemaUrl": "https://opentelemetry.io/schemas/1.2.3",
            "scopeSpans": [{
                "scope": null,
                "spans": [{
                    "traceId": "07".repeat(16),
                    "spanId": "0a0b0c0d0e0f0102",
                    "parentSpanId": "",
                    "traceState": null,
                    "kind": "SPAN_KIND_SERVER",
                    "startTimeUnixNano": "1700000000000000001",
                    "endTimeUnixNano": 1_700_000_000_000_000_002u64,
                    "flags": 257,
                    "droppedEventsCount": "3",
                    "events": [],
                    "links": null,
                    "status": {"code": "2"},
                }],
            }],
        }],
    });
    let message = to_protobuf(message.to_string().as_bytes(), &TRACES).expect("OTLP/JSON");
    let span = stored(&mut Decoder::default(), &message).resource_spans[0].scope_spans[0].spans[0].clone();
    let expected = Span {
        trace_id: vec![7; 16],
        span_id: vec![10, 11, 12, 13, 14, 15, 1, 2],
        kind: 2,
        start_time_unix_nano: 1_700_000_000_000_000_001,
        end_time_unix_nano: 1_700_000_000_000_000_002,
        flags: 257,
        dropped_events_count: 3,
        status: Some(Status { message: String::new(), code: 2 }),
        ..Span::default()
    };
    assert_eq!(span, expected);
}

#[test]
fn json_that_is_not_otlp_says_which_field_is_wrong() {
    let span = |fields: &str| format!(r#"{{"resourceSpans": [{{"scopeSpans": [{{"spans": [{fields}]}}]}}]}}"#);
    let cases = [
        ("[]".to_owned(), "an object"),
        ("{} {}".to_owned(), "trailing"),
        (span(r#"{"spanId": "xy"}"#), "spanId"),
        (span(r#"{"name": 5}"#), "name"),
        (span(r#"{"kind": "LOUD"}"#), "kind"),
        (span(r#"{"startTimeUnixNano": -1}"#), "startTimeUnixNano"),
        (span(r#"{"startTimeUnixNano": 1.5}"#), "startTimeUnixNano"),
        (span(r#"{"attributes": [[]]}"#), "attributes"),
        (span(r#"{"status": 2}"#), "status"),
        (span(r#"{"attributes": [{"value": {"bytesValue": "?"}}]}"#), "bytesValue"),
    ];
    for (text, expected) in cases {
        let error = to_protobuf(text.as_bytes(), &TRACES).expect_err("not OTLP").to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn messages_in_json_are_counted_while_they_are_read() {
    let scopes = |count| format!(r#"{{"resourceSpans": [{{"scopeSpans": [{}]}}]}}"#, vec!["{}"; count].join(","));
    assert!(to_protobuf(scopes(499_999).as_bytes(), &TRACES).is_ok());
    let error = to_protobuf(scopes(500_000).as_bytes(), &TRACES).expect_err("too many").to_string();
    assert!(error.contains("more than 500000"), "{error}");
}
