//! Makes the stored form of spans and log records from an OTLP message in protobuf.

use std::sync::Arc;

use smol_str::SmolStr;

use crate::attributes::{self, Attribute, Value};
use crate::chunk::{Chunk, Stored};
use crate::ids::{SpanId, TraceId};
use crate::origins::Origins;
use crate::span::{Event, Link, LogRecord, Origin, Resource, Rest, Scope, StoredSpan};
use crate::store::Store;
use crate::texts::Texts;
use crate::weight;
use crate::wire::{Field, Fields, Malformed, NOT_UTF8};

/// Decodes messages, one at a time; `check` has seen them.
#[derive(Default)]
pub(crate) struct Decoder {
    texts: Texts,
    origins: Origins,
    /// Heap memory of what is being decoded.
    weight: usize,
    /// Empty; where the attributes of a span or log record are put together.
    attributes: Vec<Attribute>,
}

/// Longer lists of attributes are not put together in a list that is kept.
const FEW_ATTRIBUTES: usize = 64;

impl Decoder {
    /// Stores the spans of an `ExportTraceServiceRequest`.
    pub(crate) fn traces(&mut self, message: &[u8], store: &Store) -> Result<Stored, Malformed> {
        let mut chunk = Chunk::new(store, Store::add_spans);
        for resource_spans in messages(message, 1) {
            let resource_spans = resource_spans?;
            // Both are made with the first span: a scope without one costs nothing.
            let mut resource = None;
            for scope_spans in messages(resource_spans, 2) {
                let scope_spans = scope_spans?;
                let mut origin = None;
                for span in messages(scope_spans, 2) {
                    let origin = match &origin {
                        Some(origin) => origin,
                        None => {
                            let resource = match &resource {
                                Some(resource) => resource,
                                None => resource.insert(self.resource(last(resource_spans, 1)?)?),
                            };
                            origin.insert(self.origin(resource, last(scope_spans, 1)?)?)
                        }
                    };
                    match self.span(span?, origin)? {
                        Some((trace, span)) => {
                            let bytes = span.weight;
                            chunk.push((trace, span), bytes);
                        }
                        None => chunk.stored.without_id += 1,
                    }
                }
            }
        }
        chunk.finish();
        Ok(chunk.stored)
    }

    /// Stores the log records of an `ExportLogsServiceRequest`. Those outside of any trace are left out: no page would
    /// show them.
    pub(crate) fn logs(&mut self, message: &[u8], store: &Store) -> Result<Stored, Malformed> {
        let mut chunk = Chunk::new(store, Store::add_logs);
        for resource_logs in messages(message, 1) {
            for scope_logs in messages(resource_logs?, 2) {
                for record in messages(scope_logs?, 2) {
                    if let Some((trace, record)) = self.log_record(record?)? {
                        let bytes = record.weight;
                        chunk.push((trace, record), bytes);
                    }
                }
            }
        }
        chunk.finish();
        Ok(chunk.stored)
    }

    /// The resource and its hash; the one of an earlier message, if that is still held.
    fn resource(&mut self, message: &[u8]) -> Result<(u64, Arc<Resource>), Malformed> {
        let hash = self.origins.hash(message);
        if let Some(known) = self.origins.resources.get(hash) {
            return Ok((hash, known));
        }
        let resource = Arc::new(self.new_resource(message)?);
        self.origins.resources.put(hash, &resource);
        Ok((hash, resource))
    }

    /// The same for a scope of this resource.
    fn origin(&mut self, resource: &(u64, Arc<Resource>), scope: &[u8]) -> Result<Arc<Origin>, Malformed> {
        let (resource_hash, resource) = resource;
        let hash = self.origins.hash((resource_hash, scope));
        if let Some(known) = self.origins.origins.get(hash) {
            return Ok(known);
        }
        let origin = Arc::new(self.new_origin(resource.clone(), scope)?);
        self.origins.origins.put(hash, &origin);
        Ok(origin)
    }

    fn new_resource(&mut self, message: &[u8]) -> Result<Resource, Malformed> {
        self.weight = weight::shared::<Resource>();
        let (mut attributes, mut resource) = (Vec::new(), Resource::default());
        for field in Fields(message) {
            match field? {
                (1, field) => attributes.push(self.attribute(field)?),
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

    fn new_origin(&mut self, resource: Arc<Resource>, scope: &[u8]) -> Result<Origin, Malformed> {
        self.weight = weight::shared::<Origin>();
        let (mut attributes, mut made) = (Vec::new(), Scope::default());
        for field in Fields(scope) {
            match field? {
                (1, field) => made.name = self.text(field)?,
                (2, field) => made.version = self.text(field)?,
                (3, field) => attributes.push(self.attribute(field)?),
                (4, field) => made.dropped_attributes = field.varint()? as u32,
                _ => {}
            }
        }
        made.attributes = self.list(attributes);
        Ok(Origin { resource, scope: made, weight: self.weight })
    }

    /// `None` where the span has no valid ids.
    fn span(&mut self, message: &[u8], origin: &Arc<Origin>) -> Result<Option<(TraceId, Arc<StoredSpan>)>, Malformed> {
        self.weight = weight::shared::<StoredSpan>();
        let (mut trace, mut id, mut parent, mut name) = (None, None, None, SmolStr::default());
        let (mut start, mut end, mut flags, mut kind, mut status) = (0, 0, 0, 0, 0);
        let mut attributes = std::mem::take(&mut self.attributes);
        let (mut events, mut links, mut rest) = (Vec::new(), Vec::new(), Rest::default());
        for field in Fields(message) {
            match field? {
                (1, field) => trace = TraceId::from_bytes(field.bytes()?),
                (2, field) => id = SpanId::from_bytes(field.bytes()?),
                (3, field) => rest.trace_state = self.text(field)?,
                (4, field) => parent = SpanId::from_bytes(field.bytes()?),
                (5, field) => name = self.name(field)?,
                (6, field) => kind = number(field)?,
                (7, field) => start = field.fixed64()?,
                (8, field) => end = field.fixed64()?,
                (9, field) => attributes.push(self.attribute(field)?),
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
        let attributes = self.attribute_list(attributes);
        let Some((trace, id)) = trace.zip(id) else { return Ok(None) };
        rest.events = self.list(events);
        rest.links = self.list(links);
        let rest = (rest != Rest::default()).then(|| Box::new(rest));
        self.weight += rest.as_ref().map_or(0, |_| weight::list::<Rest>(1));
        let (origin, weight) = (origin.clone(), self.weight as u32);
        let span = StoredSpan { id, parent, origin, name, start, end, attributes, rest, flags, kind, status, weight };
        Ok(Some((trace, Arc::new(span))))
    }

    fn event(&mut self, field: Field<'_>) -> Result<Event, Malformed> {
        let (mut attributes, mut event) = (Vec::new(), Event::default());
        for field in field.fields()? {
            match field? {
                (1, field) => event.time = field.fixed64()?,
                (2, field) => event.name = self.text(field)?,
                (3, field) => attributes.push(self.attribute(field)?),
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
                (4, field) => attributes.push(self.attribute(field)?),
                (5, field) => link.dropped_attributes = field.varint()? as u32,
                (6, field) => link.flags = field.fixed32()?,
                _ => {}
            }
        }
        link.attributes = self.list(attributes);
        Ok(link)
    }

    /// `None` where the record is outside of any trace.
    fn log_record(&mut self, message: &[u8]) -> Result<Option<(TraceId, Arc<LogRecord>)>, Malformed> {
        self.weight = weight::shared::<LogRecord>() + size_of::<Arc<LogRecord>>();
        let (mut trace, mut record) = (None, LogRecord::default());
        let mut attributes = std::mem::take(&mut self.attributes);
        let mut observed = 0;
        for field in Fields(message) {
            match field? {
                (1, field) => record.time = field.fixed64()?,
                (2, field) => record.severity = number(field)?,
                (3, field) => record.severity_text = self.text(field)?,
                (5, field) => record.body = self.value(field)?,
                (6, field) => attributes.push(self.attribute(field)?),
                (9, field) => trace = TraceId::from_bytes(field.bytes()?),
                (10, field) => record.span = SpanId::from_bytes(field.bytes()?),
                (11, field) => observed = field.fixed64()?,
                (12, field) => record.event_name = self.name(field)?,
                _ => {}
            }
        }
        record.attributes = self.attribute_list(attributes);
        record.weight = self.weight as u32;
        if record.time == 0 {
            record.time = observed;
        }
        Ok(trace.map(|trace| (trace, Arc::new(record))))
    }

    fn attribute(&mut self, field: Field<'_>) -> Result<Attribute, Malformed> {
        let (mut key, mut value) = (SmolStr::default(), Value::Empty);
        for field in field.fields()? {
            match field? {
                (1, field) => key = self.name(field)?,
                (2, field) => value = self.value(field)?,
                _ => {}
            }
        }
        Ok(Attribute { key, value })
    }

    fn value(&mut self, field: Field<'_>) -> Result<Value, Malformed> {
        let mut value = Value::Empty;
        for field in field.fields()? {
            value = match field? {
                (1, field) => Value::Text(self.text(field)?),
                (2, field) => Value::Bool(field.varint()? != 0),
                (3, field) => Value::Int(field.varint()?.cast_signed()),
                (4, field) => Value::Double(f64::from_bits(field.fixed64()?)),
                (5, field) => {
                    let values = messages(field.bytes()?, 1).map(|value| self.value(Field::Bytes(value?)));
                    let values = values.collect::<Result<_, _>>()?;
                    Value::Array(self.list(values))
                }
                (6, field) => {
                    let pairs = messages(field.bytes()?, 1).map(|pair| self.attribute(Field::Bytes(pair?)));
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

    fn name(&mut self, field: Field<'_>) -> Result<SmolStr, Malformed> {
        let (name, own) = self.texts.name(field.bytes()?).map_err(|_| NOT_UTF8)?;
        self.weight += own;
        Ok(name)
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

    /// The attributes of a span or log record, in a block of their size; `attributes` is used again for the next one.
    fn attribute_list(&mut self, mut attributes: Vec<Attribute>) -> Box<[Attribute]> {
        if attributes.len() > FEW_ATTRIBUTES {
            return self.list(attributes);
        }
        self.weight += weight::list::<Attribute>(attributes.len());
        let list = attributes.drain(..).collect();
        self.attributes = attributes;
        list
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

/// The last message in field `number`, or an empty one.
fn last(message: &[u8], number: u32) -> Result<&[u8], Malformed> {
    Ok(messages(message, number).last().transpose()?.unwrap_or_default())
}

/// A small number, such as that of an enum: 0 if it is of a newer OTLP.
fn number(field: Field<'_>) -> Result<u8, Malformed> {
    Ok(u8::try_from(field.varint()?).unwrap_or_default())
}
