//! Makes the stored form of spans and log records from an OTLP message in protobuf.

use std::collections::HashMap;
use std::sync::Arc;

use smol_str::SmolStr;

use crate::attributes::{self, Attribute, Value};
use crate::ids::{SpanId, TraceId};
use crate::span::{Event, Link, LogRecord, Origin, Resource, Rest, Scope, StoredSpan};
use crate::store::Batch;
use crate::texts::Texts;
use crate::weight;
use crate::wire::{Field, Fields, Malformed};

/// Values in values, such as lists in lists: protobuf's own limit for messages in messages is 100.
const DEEPEST: usize = 64;

/// What a message holds, and how many of its spans have no valid id.
pub(crate) type Decoded = (Vec<Batch>, usize);

/// Decodes messages, one at a time.
#[derive(Default)]
pub(crate) struct Decoder {
    texts: Texts,
    /// Heap memory of what is being decoded.
    weight: usize,
}

impl Decoder {
    /// The spans of an `ExportTraceServiceRequest`.
    pub(crate) fn traces(&mut self, message: &[u8]) -> Result<Decoded, Malformed> {
        let (mut batches, mut without_id) = (Vec::new(), 0);
        for resource_spans in messages(message, 1) {
            let resource_spans = resource_spans?;
            let resource = messages(resource_spans, 1).last().transpose()?;
            let resource = Arc::new(self.resource(resource.unwrap_or_default())?);
            for scope_spans in messages(resource_spans, 2) {
                let scope_spans = scope_spans?;
                let mut by_trace = HashMap::<_, Vec<_>>::new();
                // Made with the first span: a scope without one costs nothing.
                let mut origin = None;
                for span in messages(scope_spans, 2) {
                    let origin = match &origin {
                        Some(origin) => origin,
                        None => {
                            let scope = messages(scope_spans, 1).last().transpose()?;
                            origin.insert(Arc::new(self.origin(resource.clone(), scope.unwrap_or_default())?))
                        }
                    };
                    match self.span(span?, origin)? {
                        Some((trace, span)) => by_trace.entry(trace).or_default().push(span),
                        None => without_id += 1,
                    }
                }
                batches.extend(by_trace.into_iter().map(|(trace, spans)| Batch { trace, spans, logs: Vec::new() }));
            }
        }
        Ok((batches, without_id))
    }

    /// The log records of an `ExportLogsServiceRequest`. Those outside of any trace are left out: no page would show them.
    pub(crate) fn logs(&mut self, message: &[u8]) -> Result<Decoded, Malformed> {
        let mut by_trace = HashMap::<_, Vec<_>>::new();
        for resource_logs in messages(message, 1) {
            for scope_logs in messages(resource_logs?, 2) {
                for record in messages(scope_logs?, 2) {
                    if let Some((trace, record)) = self.log_record(record?)? {
                        by_trace.entry(trace).or_default().push(record);
                    }
                }
            }
        }
        let batches = by_trace.into_iter().map(|(trace, logs)| Batch { trace, spans: Vec::new(), logs });
        Ok((batches.collect(), 0))
    }

    fn resource(&mut self, message: &[u8]) -> Result<Resource, Malformed> {
        self.weight = weight::shared::<Resource>();
        let (mut attributes, mut resource) = (Vec::new(), Resource::default());
        for field in Fields(message) {
            match field? {
                (1, field) => attributes.push(self.attribute(field, 0)?),
                (2, field) => resource.dropped_attributes = field.varint()? as u32,
                _ => {}
            }
        }
        if let Some(Value::Text(name)) = attributes::find(&attributes, "service.name") {
            resource.service = name.clone();
        }
        resource.attributes = self.list(attributes);
        Ok(Resource { weight: self.weight, ..resource })
    }

    fn origin(&mut self, resource: Arc<Resource>, scope: &[u8]) -> Result<Origin, Malformed> {
        self.weight = weight::shared::<Origin>();
        let (mut attributes, mut made) = (Vec::new(), Scope::default());
        for field in Fields(scope) {
            match field? {
                (1, field) => made.name = self.text(field)?,
                (2, field) => made.version = self.text(field)?,
                (3, field) => attributes.push(self.attribute(field, 0)?),
                (4, field) => made.dropped_attributes = field.varint()? as u32,
                _ => {}
            }
        }
        made.attributes = self.list(attributes);
        Ok(Origin { resource, scope: made, weight: self.weight })
    }

    /// `None` where the span has no valid ids.
    fn span(&mut self, message: &[u8], origin: &Arc<Origin>) -> Result<Option<(TraceId, StoredSpan)>, Malformed> {
        self.weight = weight::shared::<StoredSpan>();
        let (mut trace, mut id, mut parent, mut name) = (None, None, None, SmolStr::default());
        let (mut start, mut end, mut flags, mut kind, mut status) = (0, 0, 0, 0, 0);
        let (mut attributes, mut events, mut links, mut rest) = (Vec::new(), Vec::new(), Vec::new(), Rest::default());
        for field in Fields(message) {
            match field? {
                (1, field) => trace = TraceId::from_bytes(field.bytes()?),
                (2, field) => id = SpanId::from_bytes(field.bytes()?),
                (3, field) => rest.trace_state = self.text(field)?,
                (4, field) => parent = SpanId::from_bytes(field.bytes()?),
                (5, field) => name = self.text(field)?,
                (6, field) => kind = number(field)?,
                (7, field) => start = field.fixed64()?,
                (8, field) => end = field.fixed64()?,
                (9, field) => attributes.push(self.attribute(field, 0)?),
                (10, field) => rest.dropped_attributes = field.varint()? as u32,
                (11, field) => events.push(self.event(field)?),
                (12, field) => rest.dropped_events = field.varint()? as u32,
                (13, field) => links.push(self.link(field)?),
                (14, field) => rest.dropped_links = field.varint()? as u32,
                (15, field) => {
                    for field in field.fields()? {
                        match field? {
                            (2, field) => rest.status_message = self.text(field)?,
                            (3, field) => status = number(field)?,
                            _ => {}
                        }
                    }
                }
                (16, field) => flags = field.fixed32()?,
                _ => {}
            }
        }
        let Some((trace, id)) = trace.zip(id) else { return Ok(None) };
        let attributes = self.list(attributes);
        rest.events = self.list(events);
        rest.links = self.list(links);
        let rest = (rest != Rest::default()).then(|| Box::new(rest));
        self.weight += rest.as_ref().map_or(0, |_| weight::list::<Rest>(1));
        let (origin, weight) = (origin.clone(), self.weight as u32);
        Ok(Some((
            trace,
            StoredSpan { id, parent, origin, name, start, end, attributes, rest, flags, kind, status, weight },
        )))
    }

    fn event(&mut self, field: Field<'_>) -> Result<Event, Malformed> {
        let (mut attributes, mut event) = (Vec::new(), Event::default());
        for field in field.fields()? {
            match field? {
                (1, field) => event.time = field.fixed64()?,
                (2, field) => event.name = self.text(field)?,
                (3, field) => attributes.push(self.attribute(field, 0)?),
                (4, field) => event.dropped_attributes = field.varint()? as u32,
                _ => {}
            }
        }
        event.attributes = self.list(attributes);
        Ok(event)
    }

    fn link(&mut self, field: Field<'_>) -> Result<Link, Malformed> {
        let (mut attributes, mut link) = (Vec::new(), Link::default());
        for field in field.fields()? {
            match field? {
                (1, field) => link.trace = self.bytes(field)?,
                (2, field) => link.span = self.bytes(field)?,
                (3, field) => link.trace_state = self.text(field)?,
                (4, field) => attributes.push(self.attribute(field, 0)?),
                (5, field) => link.dropped_attributes = field.varint()? as u32,
                (6, field) => link.flags = field.fixed32()?,
                _ => {}
            }
        }
        link.attributes = self.list(attributes);
        Ok(link)
    }

    /// `None` where the record is outside of any trace.
    fn log_record(&mut self, message: &[u8]) -> Result<Option<(TraceId, LogRecord)>, Malformed> {
        self.weight = weight::shared::<LogRecord>() + size_of::<Arc<LogRecord>>();
        let (mut trace, mut attributes, mut record) = (None, Vec::new(), LogRecord::default());
        let mut observed = 0;
        for field in Fields(message) {
            match field? {
                (1, field) => record.time = field.fixed64()?,
                (2, field) => record.severity = number(field)?,
                (3, field) => record.severity_text = self.text(field)?,
                (5, field) => record.body = self.value(field, 0)?,
                (6, field) => attributes.push(self.attribute(field, 0)?),
                (9, field) => trace = TraceId::from_bytes(field.bytes()?),
                (10, field) => record.span = SpanId::from_bytes(field.bytes()?),
                (11, field) => observed = field.fixed64()?,
                _ => {}
            }
        }
        record.attributes = self.list(attributes);
        record.weight = self.weight as u32;
        if record.time == 0 {
            record.time = observed;
        }
        Ok(trace.map(|trace| (trace, record)))
    }

    fn attribute(&mut self, field: Field<'_>, depth: usize) -> Result<Attribute, Malformed> {
        let (mut key, mut value) = (SmolStr::default(), Value::Empty);
        for field in field.fields()? {
            match field? {
                (1, field) => key = self.text(field)?,
                (2, field) => value = self.value(field, depth)?,
                _ => {}
            }
        }
        Ok(Attribute { key, value })
    }

    fn value(&mut self, field: Field<'_>, depth: usize) -> Result<Value, Malformed> {
        if depth > DEEPEST {
            return Err(Malformed("values are nested too deeply"));
        }
        let mut value = Value::Empty;
        for field in field.fields()? {
            value = match field? {
                (1, field) => Value::Text(self.text(field)?),
                (2, field) => Value::Bool(field.varint()? != 0),
                (3, field) => Value::Int(field.varint()?.cast_signed()),
                (4, field) => Value::Double(f64::from_bits(field.fixed64()?)),
                (5, field) => {
                    let values = messages(field.bytes()?, 1).map(|value| self.value(Field::Bytes(value?), depth + 1));
                    let values = values.collect::<Result<_, _>>()?;
                    Value::Array(self.list(values))
                }
                (6, field) => {
                    let pairs = messages(field.bytes()?, 1).map(|pair| self.attribute(Field::Bytes(pair?), depth + 1));
                    let pairs = pairs.collect::<Result<_, _>>()?;
                    Value::Map(self.list(pairs))
                }
                (7, field) => Value::Bytes(self.bytes(field)?),
                // Of a newer OTLP, or an index into the table of a profile.
                _ => value,
            };
        }
        Ok(value)
    }

    fn text(&mut self, field: Field<'_>) -> Result<SmolStr, Malformed> {
        let (text, own) = self.texts.get(field.text()?);
        self.weight += own;
        Ok(text)
    }

    fn bytes(&mut self, field: Field<'_>) -> Result<Box<[u8]>, Malformed> {
        let bytes = field.bytes()?;
        self.weight += weight::block(bytes.len());
        Ok(bytes.into())
    }

    fn list<T>(&mut self, items: Vec<T>) -> Box<[T]> {
        self.weight += weight::list::<T>(items.len());
        items.into_boxed_slice()
    }
}

/// The messages in field `number` of `message`.
fn messages(message: &[u8], number: u32) -> impl Iterator<Item = Result<&[u8], Malformed>> {
    Fields(message).filter_map(move |field| match field {
        Ok((found, field)) if found == number => Some(field.bytes()),
        Ok(_) => None,
        Err(error) => Some(Err(error)),
    })
}

/// A small number, such as that of an enum: 0 if it is of a newer OTLP.
fn number(field: Field<'_>) -> Result<u8, Malformed> {
    Ok(u8::try_from(field.varint()?).unwrap_or_default())
}
