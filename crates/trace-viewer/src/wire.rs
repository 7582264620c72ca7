//! Reads protobuf's wire format, a field at a time and without a copy.
//!
//! prost's generated messages are not used for what arrives: an event of two bytes becomes a struct of a hundred, and each
//! key and value a heap block of its own. `decode` makes the stored form of these fields directly.

use prost::encoding::{DecodeContext, WireType, decode_varint, skip_field};

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
        let (number, rest) = self.0.split_first_chunk().ok_or(Malformed("a number is cut off"))?;
        self.0 = rest;
        Ok(*number)
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        match self.0 {
            // Most have one byte.
            [byte @ ..0x80, rest @ ..] => {
                self.0 = rest;
                Ok((*byte).into())
            }
            _ => long_varint(&mut self.0),
        }
    }

    // Inlined, so that its result stays in registers.
    #[inline(always)]
    fn read(&mut self) -> Result<Option<(u32, Field<'a>)>, Malformed> {
        while !self.0.is_empty() {
            let key = u32::try_from(self.varint()?).map_err(|_| NO_NUMBER)?;
            let number = key >> 3;
            if number == 0 {
                return Err(NO_NUMBER);
            }
            let field = match key & 7 {
                0 => Field::Varint(self.varint()?),
                1 => Field::Fixed64(u64::from_le_bytes(self.fixed()?)),
                2 => {
                    let length = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
                    Field::Bytes(self.take(length)?)
                }
                5 => Field::Fixed32(u32::from_le_bytes(self.fixed()?)),
                // Groups are of an older protobuf; OTLP has none.
                3 => {
                    skip_group(number, &mut self.0)?;
                    continue;
                }
                _ => return Err(NO_NUMBER),
            };
            return Ok(Some((number, field)));
        }
        Ok(None)
    }
}

const NO_NUMBER: Malformed = Malformed("a field has no valid number");

#[inline(never)]
fn long_varint(bytes: &mut &[u8]) -> Result<u64, Malformed> {
    decode_varint(bytes).map_err(|_| Malformed("a number is cut off"))
}

#[cold]
fn skip_group(number: u32, bytes: &mut &[u8]) -> Result<(), Malformed> {
    skip_field(WireType::StartGroup, number, bytes, DecodeContext::default())
        .map_err(|_| Malformed("a group has no end"))
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Field<'a>), Malformed>;

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

/// A text is something else.
pub(crate) const NOT_UTF8: Malformed = Malformed("a text is not UTF-8");

/// The field has another type than OTLP gives it.
const OTHER_TYPE: Malformed = Malformed("a field has another type than in OTLP");

impl<'a> Field<'a> {
    pub(crate) fn bytes(self) -> Result<&'a [u8], Malformed> {
        if let Self::Bytes(bytes) = self { Ok(bytes) } else { Err(OTHER_TYPE) }
    }

    pub(crate) fn text(self) -> Result<&'a str, Malformed> {
        str::from_utf8(self.bytes()?).map_err(|_| NOT_UTF8)
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
