//! A whole trace in protobuf, written span by span: a trace of 100,000 spans would take hundreds of megabytes as one
//! message.

use std::io::{self, Write};

use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};

use crate::span::StoredSpan;
use crate::trace::{Group, Trace};

/// Writes the trace as OTLP's `TracesData`; as field 1 of another message if `is_inner`.
pub(crate) fn write(trace: &Trace, is_inner: bool, out: &mut dyn Write) -> io::Result<()> {
    let id = trace.id;
    let groups = trace.groups();
    // The length of a message comes before it.
    let of_scope = |spans: &Vec<&StoredSpan>| {
        let all = spans.iter().map(|span| field_len(span.to_otlp(id).encoded_len())).sum::<usize>();
        field_len(scope(spans).encoded_len()) + all
    };
    let of_resource = |scopes: &Group<'_>| {
        let lengths: Vec<usize> = scopes.iter().map(of_scope).collect();
        let all = lengths.iter().map(|length| field_len(*length)).sum::<usize>();
        (field_len(resource(scopes).encoded_len()) + all, lengths)
    };
    let lengths: Vec<_> = groups.iter().map(of_resource).collect();
    if is_inner {
        let all = lengths.iter().map(|(length, _)| field_len(*length)).sum();
        out.write_all(&field(1, all))?;
    }
    for (scopes, (length, of_scopes)) in groups.iter().zip(lengths) {
        out.write_all(&field(1, length))?;
        out.write_all(&message(1, &resource(scopes)))?;
        for (spans, length) in scopes.iter().zip(of_scopes) {
            out.write_all(&field(2, length))?;
            out.write_all(&message(1, &scope(spans)))?;
            for span in spans {
                out.write_all(&message(2, &span.to_otlp(id)))?;
            }
        }
    }
    Ok(())
}

fn resource(scopes: &Group<'_>) -> Resource {
    scopes[0][0].origin.resource.to_otlp()
}

fn scope(spans: &[&StoredSpan]) -> InstrumentationScope {
    spans[0].scope().to_otlp()
}

/// A field with a message.
fn message(number: u32, content: &impl Message) -> Vec<u8> {
    let mut whole = field(number, content.encoded_len());
    content.encode_raw(&mut whole);
    whole
}

/// The start of a field with a message of `length` bytes; the numbers here are below 16.
fn field(number: u32, length: usize) -> Vec<u8> {
    let mut start = Vec::new();
    encode_key(number, WireType::LengthDelimited, &mut start);
    encode_varint(length as u64, &mut start);
    start
}

fn field_len(length: usize) -> usize {
    1 + encoded_len_varint(length as u64) + length
}
