//! Reads protobuf's wire format, a field at a time and without a copy.
//!
//! prost's generated messages are not used for what arrives: an event of two bytes becomes a struct of a hundred, and each
//! key and value a heap block of its own. `decode` makes the stored form of these fields directly.

use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

/// What is wrong with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);

/// The content of a field.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Field<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    /// A text, bytes, or a message.
    Bytes(&'a [u8]),
}

/// The fields of a message: each with its number.
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Malformed("a field ends behind its message"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.take(N)?.try_into().map_err(|_| Malformed("a number is cut off"))
    }

    fn read(&mut self) -> Result<Option<(u32, Field<'a>)>, Malformed> {
        while !self.0.is_empty() {
            let (number, wire_type) = decode_key(&mut self.0).map_err(|_| Malformed("a field has no valid number"))?;
            let field = match wire_type {
                WireType::Varint => Field::Varint(varint(&mut self.0)?),
                WireType::SixtyFourBit => Field::Fixed64(u64::from_le_bytes(self.fixed()?)),
                WireType::ThirtyTwoBit => Field::Fixed32(u32::from_le_bytes(self.fixed()?)),
                WireType::LengthDelimited => {
                    let length = usize::try_from(varint(&mut self.0)?).unwrap_or(usize::MAX);
                    Field::Bytes(self.take(length)?)
                }
                // Groups are of an older protobuf; OTLP has none.
                WireType::StartGroup | WireType::EndGroup => {
                    skip_field(wire_type, number, &mut self.0, DecodeContext::default())
                        .map_err(|_| Malformed("a group has no end"))?;
                    continue;
                }
            };
            return Ok(Some((number, field)));
        }
        Ok(None)
    }
}

fn varint(bytes: &mut &[u8]) -> Result<u64, Malformed> {
    decode_varint(bytes).map_err(|_| Malformed("a number is cut off"))
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Field<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

/// The field has another type than OTLP gives it.
const OTHER_TYPE: Malformed = Malformed("a field has another type than in OTLP");

impl<'a> Field<'a> {
    pub(crate) fn bytes(self) -> Result<&'a [u8], Malformed> {
        if let Self::Bytes(bytes) = self { Ok(bytes) } else { Err(OTHER_TYPE) }
    }

    pub(crate) fn text(self) -> Result<&'a str, Malformed> {
        str::from_utf8(self.bytes()?).map_err(|_| Malformed("a text is not UTF-8"))
    }

    pub(crate) fn fields(self) -> Result<Fields<'a>, Malformed> {
        Ok(Fields(self.bytes()?))
    }

    pub(crate) fn varint(self) -> Result<u64, Malformed> {
        if let Self::Varint(number) = self { Ok(number) } else { Err(OTHER_TYPE) }
    }

    pub(crate) fn fixed64(self) -> Result<u64, Malformed> {
        if let Self::Fixed64(number) = self { Ok(number) } else { Err(OTHER_TYPE) }
    }

    pub(crate) fn fixed32(self) -> Result<u32, Malformed> {
        if let Self::Fixed32(number) = self { Ok(number) } else { Err(OTHER_TYPE) }
    }
}
