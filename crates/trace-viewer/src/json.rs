//! OTLP/JSON, rewritten as protobuf: what follows is then the same for both.
//!
//! It takes what encoders write in practice: protobuf's JSON mapping has numbers as strings or strings as numbers, `NaN`
//! as a string, `null` for what is absent, and defaults left out or not. The serde support of `opentelemetry-proto`
//! refuses a whole message for an empty `arrayValue`, `"NaN"` or `null`, and has no bound on what it makes.

use std::fmt;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use prost::encoding::{WireType, encode_key, encode_varint};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor};

use crate::check::{MOST_MESSAGES, TOO_MANY};
use crate::schema::{Entry, Kind, Message};

/// Some encoders leave out the padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The message in protobuf.
///
/// # Errors
/// `text` is no JSON, or not of the form of `schema`, or holds more than [`MOST_MESSAGES`].
pub(crate) fn to_protobuf(text: &[u8], schema: &'static Message) -> Result<Vec<u8>, serde_json::Error> {
    let mut writer = Writer { out: Vec::new(), left: MOST_MESSAGES };
    let mut text = serde_json::Deserializer::from_slice(text);
    text.deserialize_map(Fields { schema, writer: &mut writer })?;
    text.end()?;
    Ok(writer.out)
}

/// What has been written, and how many messages it may still get.
struct Writer {
    out: Vec<u8>,
    left: usize,
}

impl Writer {
    fn bytes(&mut self, number: u32, bytes: &[u8]) {
        encode_key(number, WireType::LengthDelimited, &mut self.out);
        encode_varint(bytes.len() as u64, &mut self.out);
        self.out.extend_from_slice(bytes);
    }

    /// Begins a message; returns where.
    fn begin<E: Error>(&mut self, number: u32) -> Result<usize, E> {
        self.left = self.left.checked_sub(1).ok_or_else(|| E::custom(TOO_MANY.0))?;
        encode_key(number, WireType::LengthDelimited, &mut self.out);
        Ok(self.out.len())
    }

    /// Ends the message that began at `start`: its length comes before it.
    fn end(&mut self, start: usize) {
        let mut length = Vec::new();
        encode_varint((self.out.len() - start) as u64, &mut length);
        self.out.splice(start..start, length);
    }

    fn integer<E: Error>(&mut self, entry: &Entry, number: i128) -> Result<(), E> {
        let out_of_range = || E::custom(format!("{number} is out of range for {}", entry.name));
        let (wire_type, bits, bytes) = match entry.kind {
            Kind::Int64 => (WireType::Varint, i64::try_from(number).map_err(|_| out_of_range())?.cast_unsigned(), 0),
            Kind::Enum(_) => {
                let number = i32::try_from(number).map_err(|_| out_of_range())?;
                (WireType::Varint, i64::from(number).cast_unsigned(), 0)
            }
            Kind::Uint32 => (WireType::Varint, u32::try_from(number).map_err(|_| out_of_range())?.into(), 0),
            Kind::Fixed32 => (WireType::ThirtyTwoBit, u32::try_from(number).map_err(|_| out_of_range())?.into(), 4),
            Kind::Fixed64 => (WireType::SixtyFourBit, u64::try_from(number).map_err(|_| out_of_range())?, 8),
            Kind::Double => return self.double(entry, number as f64),
            _ => return Err(E::invalid_type(Unexpected::Other("a number"), &entry.name)),
        };
        encode_key(entry.number, wire_type, &mut self.out);
        match wire_type {
            WireType::Varint => encode_varint(bits, &mut self.out),
            _ => self.out.extend_from_slice(&bits.to_le_bytes()[..bytes]),
        }
        Ok(())
    }

    fn double<E: Error>(&mut self, entry: &Entry, number: f64) -> Result<(), E> {
        match entry.kind {
            Kind::Double => {
                encode_key(entry.number, WireType::SixtyFourBit, &mut self.out);
                self.out.extend_from_slice(&number.to_le_bytes());
                Ok(())
            }
            // JavaScript writes large integers so: 1.7e18.
            _ if number.fract() == 0.0 => self.integer(entry, number as i128),
            _ => Err(E::invalid_type(Unexpected::Float(number), &entry.name)),
        }
    }

    fn text<E: Error>(&mut self, entry: &Entry, text: &str) -> Result<(), E> {
        let invalid = || E::invalid_value(Unexpected::Str(text), &entry.name);
        match entry.kind {
            Kind::Text => self.bytes(entry.number, text.as_bytes()),
            Kind::Id => self.bytes(entry.number, &hex(text).ok_or_else(invalid)?),
            Kind::Bytes => {
                // The alphabet of URLs is allowed too.
                let bytes = BASE64.decode(text.replace('-', "+").replace('_', "/")).map_err(|_| invalid())?;
                self.bytes(entry.number, &bytes);
            }
            Kind::Bool => return self.flag(entry, text.parse().map_err(|_| invalid())?),
            // Rust's names are protobuf's: NaN, Infinity, -Infinity.
            Kind::Double => return self.double(entry, text.parse().map_err(|_| invalid())?),
            Kind::Enum(named) if named(text).is_some() => {
                return self.integer(entry, named(text).unwrap_or_default().into());
            }
            Kind::Enum(_) | Kind::Int64 | Kind::Uint32 | Kind::Fixed32 | Kind::Fixed64 => {
                return self.integer(entry, text.parse().map_err(|_| invalid())?);
            }
            Kind::Message(_) => return Err(E::invalid_type(Unexpected::Str(text), &entry.name)),
        }
        Ok(())
    }

    fn flag<E: Error>(&mut self, entry: &Entry, flag: bool) -> Result<(), E> {
        let Kind::Bool = entry.kind else { return Err(E::invalid_type(Unexpected::Bool(flag), &entry.name)) };
        encode_key(entry.number, WireType::Varint, &mut self.out);
        encode_varint(flag.into(), &mut self.out);
        Ok(())
    }
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> = text.chars().map(|c| c.to_digit(16)).collect();
    let pairs = digits.filter(|digits| digits.len() % 2 == 0)?;
    Some(pairs.chunks_exact(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect())
}

/// Reads an object as the fields of a message.
struct Fields<'a> {
    schema: &'static Message,
    writer: &'a mut Writer,
}

impl<'de> Visitor<'de> for Fields<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(entry) = map.next_key_seed(Name(self.schema))? {
            match entry {
                Some(entry) => map.next_value_seed(Content { entry, writer: self.writer, is_item: false })?,
                // Of a newer OTLP.
                None => map.next_value::<IgnoredAny>().map(drop)?,
            }
        }
        Ok(())
    }
}

/// Reads a key as the field that it names.
struct Name(&'static Message);

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Option<&'static Entry>;

    fn deserialize<D: Deserializer<'de>>(self, text: D) -> Result<Self::Value, D::Error> {
        text.deserialize_str(self)
    }
}

impl Visitor<'_> for Name {
    type Value = Option<&'static Entry>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.named(name))
    }
}

/// Reads what a field holds: one value, or a list of them.
struct Content<'a> {
    entry: &'static Entry,
    writer: &'a mut Writer,
    /// Whether it is in a list.
    is_item: bool,
}

impl<'de> DeserializeSeed<'de> for Content<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, text: D) -> Result<(), D::Error> {
        text.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Content<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.entry.name)
    }

    /// `null`: the field is absent; in a list, a message without fields.
    fn visit_unit<E: Error>(self) -> Result<(), E> {
        if let (Kind::Message(_), true) = (self.entry.kind, self.is_item) {
            let start = self.writer.begin(self.entry.number)?;
            self.writer.end(start);
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let Kind::Message(schema) = self.entry.kind else {
            return Err(A::Error::invalid_type(Unexpected::Map, &self));
        };
        let start = self.writer.begin(self.entry.number)?;
        Fields { schema, writer: self.writer }.visit_map(map)?;
        self.writer.end(start);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        if self.is_item {
            return Err(A::Error::invalid_type(Unexpected::Seq, &self));
        }
        let Self { entry, writer, .. } = self;
        while list.next_element_seed(Content { entry, writer, is_item: true })?.is_some() {}
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.writer.text(self.entry, text)
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<(), E> {
        self.writer.flag(self.entry, flag)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<(), E> {
        self.writer.integer(self.entry, number.into())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        self.writer.integer(self.entry, number.into())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<(), E> {
        self.writer.double(self.entry, number)
    }
}
